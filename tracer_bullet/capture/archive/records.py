"""An exchange as a line of JSON, and back. Pure functions; docs/archive.md has the names.

A line begins with `{"started_ns":`, so that lines can be ordered without being read. What has its usual value is left
out. A body is text where it is UTF-8, else base64.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

_PREFIX: Final = b'{"started_ns":'
_AT: Final = len(_PREFIX)
_LACKS: Final = {lack.value: lack for lack in Lack}
_NONE: Final[frozenset[Lack]] = frozenset()
_BOUNDS: Final = range(-(2**63), 2**63)


def encode(exchange: Exchange) -> bytes:
    """The line, without its end. ValueError: `started_ns` does not fit into 64 bits."""
    if exchange.started_ns not in _BOUNDS:
        raise ValueError("started_ns is beyond 64 bits")
    record: dict[str, Any] = {
        "started_ns": exchange.started_ns,
        "id": exchange.id,
        "session": exchange.session,
        "source": exchange.source,
    }
    if exchange.first_byte_ns is not None:
        record["first_byte_ns"] = exchange.first_byte_ns
    if exchange.ended_ns is not None:
        record["ended_ns"] = exchange.ended_ns
    if exchange.lacks:
        record["lacks"] = sorted(lack.value for lack in exchange.lacks)
    if exchange.redacted:
        record["redacted"] = exchange.redacted
    asked = exchange.request
    request: dict[str, Any] = {
        "method": asked.method,
        "scheme": asked.scheme,
        "authority": asked.authority,
        "target": asked.target,
    }
    if asked.http_version != "1.1":
        request["http_version"] = asked.http_version
    _put_message(request, asked)
    record["request"] = request
    if exchange.answer is not None:
        answer: dict[str, Any] = {"status": exchange.answer.status}
        _put_message(answer, exchange.answer)
        record["answer"] = answer
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:  # half a surrogate pair in a text, or a number beyond 64 bits
        return json.dumps(record, separators=(",", ":")).encode()


def decode(line: bytes) -> Exchange:
    """The exchange of a line. ValueError, KeyError or TypeError: it is none of this version."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = json.loads(line)
    asked = record["request"]
    get = asked.get
    answer = record.get("answer")
    lacks = record.get("lacks")
    return Exchange(
        id=record["id"],
        session=record["session"],
        source=record["source"],
        started_ns=record["started_ns"],
        request=Request(
            method=asked["method"],
            scheme=asked["scheme"],
            authority=asked["authority"],
            target=asked["target"],
            http_version=get("http_version", "1.1"),
            headers=_headers(asked, "headers"),
            body=_body(asked),
            trailers=_headers(asked, "trailers"),
        ),
        answer=answer
        if answer is None
        else Answer(
            status=answer["status"],
            headers=_headers(answer, "headers"),
            body=_body(answer),
            trailers=_headers(answer, "trailers"),
        ),
        first_byte_ns=record.get("first_byte_ns"),
        ended_ns=record.get("ended_ns"),
        # A mark that is not known must not be passed over: it may say that the record is not whole.
        lacks=frozenset([_LACKS[lack] for lack in lacks]) if lacks else _NONE,
        redacted=tuple(record.get("redacted", ())),
    )


def started(line: bytes) -> int:
    """`started_ns` of a line that `encode` wrote."""
    return int(line[_AT : line.index(b",", _AT)])


def owner(line: bytes) -> tuple[str, str]:
    """Authority and session of a line."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = json.loads(line)
    return record["request"]["authority"], record["session"]


def id_key(line: bytes) -> bytes:
    """The part of a line that tells its id; one of `id_keys` of it."""
    at = line.index(b",", _AT)
    return line[at : line.index(b',"session":', at) + 1]


def id_keys(identity: str) -> set[bytes]:
    """What `id_key` can be for an id: `encode` has two ways to write a text."""
    texts = {json.dumps(identity), json.dumps(identity, ensure_ascii=False)}
    return {b',"id":' + text.encode(errors="replace") + b"," for text in texts}


def _put_message(to: dict[str, Any], message: Request | Answer) -> None:
    if message.headers:
        to["headers"] = message.headers
    body = message.body
    if body is None:
        to["body"] = None
    elif body:
        try:
            to["body"] = body.decode()
        except UnicodeDecodeError:
            to["body_base64"] = b64encode(body).decode()
    if message.trailers:
        to["trailers"] = message.trailers


def _headers(message: Mapping[str, Any], key: str) -> Headers:
    lines = message.get(key)
    return tuple([(name, value) for name, value in lines]) if lines else ()


def _body(message: Mapping[str, Any]) -> bytes | None:
    if "body" in message:
        text = message["body"]
        return None if text is None else text.encode()
    encoded = message.get("body_base64")
    return b"" if encoded is None else b64decode(encoded, validate=True)
