"""Exchanges → HAR 1.2, one entry at a time. What HAR has no place for stands in members that begin with `_`."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qsl

import orjson

from tracer_bullet.capture.formats.har.bodies import decoded
from tracer_bullet.capture.formats.shared.parts import first, iso_text
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

CODED: Final = "bodies whose content coding cannot be taken off: written as they are, in base64"
_MS: Final = 10**6
_VERSIONS: Final = {"1.0": "HTTP/1.0", "2": "HTTP/2.0", "3": "HTTP/3.0"}
_BEGIN: Final = b'{"log":{"version":"1.2","creator":{"name":"tracer-bullet","version":"1"},"entries":['


class HarWriter:
    """Writes what `Har` reads, and browsers and proxies too. Bodies lose their content coding, as HAR has them."""

    name = "HAR"

    def write(self, exchanges: Iterable[Exchange], stream: BinaryIO, losses: Losses) -> int:
        """Write all; how many. The stream is a whole document only when this returns."""
        count = 0
        stream.write(_BEGIN)
        for exchange in exchanges:
            stream.write(b",\n" if count else b"\n")
            stream.write(orjson.dumps(_entry(exchange, losses)))
            count += 1
        stream.write(b"\n]}}\n")
        return count


def _entry(exchange: Exchange, losses: Losses) -> dict[str, Any]:
    start, end = exchange.started_ns, exchange.ended_ns
    entry: dict[str, Any] = {
        "startedDateTime": iso_text(start),
        "time": None if end is None else (end - start) / _MS,
        "request": _request(exchange.request),
        "response": _response(exchange, losses),
        "cache": {},
        "timings": _timings(exchange),
        "_lacks": sorted(lack.value for lack in exchange.lacks),
    }
    if exchange.id:
        entry["_id"] = exchange.id
    if exchange.session:
        entry["connection"] = exchange.session
    if exchange.redacted:
        entry["_redacted"] = list(exchange.redacted)
    return entry


def _timings(exchange: Exchange) -> dict[str, float]:
    # send, wait and receive are required; -1 is the specification's word for "does not apply".
    start, byte, end = exchange.started_ns, exchange.first_byte_ns, exchange.ended_ns
    return {
        "blocked": -1,
        "dns": -1,
        "connect": -1,
        "ssl": -1,
        "send": 0 if byte is not None else -1,
        "wait": -1 if byte is None else (byte - start) / _MS,
        "receive": -1 if end is None or byte is None else (end - byte) / _MS,
    }


def _headers(lines: Headers) -> list[dict[str, str]]:
    return [_header(name, value) for name, value in lines]


def _header(name: str, value: str) -> dict[str, str]:
    """Text where the bytes are UTF-8, as other tools have it."""
    try:
        return {"name": name, "value": value.encode("latin-1").decode("utf-8")}
    except UnicodeError:
        return {"name": name, "value": value, "_encoding": "latin-1"}


def _request(request: Request) -> dict[str, Any]:
    connects = request.method == "CONNECT"
    url = request.authority if connects else f"{request.scheme}://{request.authority}{request.target}"
    said: dict[str, Any] = {
        "method": request.method,
        "url": url,
        "httpVersion": _VERSIONS.get(request.http_version, "HTTP/1.1"),
        "cookies": [],
        "headers": _headers(request.headers),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(request.target.partition("?")[2], keep_blank_values=True, max_num_fields=None)
        ],
        "headersSize": -1,
        "bodySize": -1 if request.body is None else len(request.body),
    }
    if request.target == "*":
        said["url"], said["_target"] = f"{request.scheme}://{request.authority}/", "*"
    if request.trailers:
        said["_trailers"] = _headers(request.trailers)
    if request.body:
        said["postData"] = {"mimeType": first(request.headers, "content-type"), **_sent(request)}
    return said


def _sent(request: Request) -> dict[str, Any]:
    body = request.body or b""
    if not first(request.headers, "content-encoding"):
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            # A reader would encode it by the charset that it is said to be in.
            if "charset" not in first(request.headers, "content-type").lower() and "\ufffd" not in text:
                return {"text": text}
    return {"text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}


def _response(exchange: Exchange, losses: Losses) -> dict[str, Any]:
    answer = exchange.answer
    if answer is None:
        none: dict[str, Any] = {"status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
                                "content": {"size": -1, "mimeType": ""}, "redirectURL": "", "headersSize": -1,
                                "bodySize": -1}  # fmt: skip
        return none if Lack.ANSWER in exchange.lacks else {**none, "_error": "no answer"}
    said: dict[str, Any] = {
        "status": answer.status,
        "statusText": "",
        "httpVersion": _VERSIONS.get(exchange.request.http_version, "HTTP/1.1"),
        "cookies": [],
        "headers": _headers(answer.headers),
        "content": _content(answer, losses),
        "redirectURL": first(answer.headers, "location"),
        "headersSize": -1,
        "bodySize": -1 if answer.body is None else len(answer.body),
    }
    if answer.trailers:
        said["_trailers"] = _headers(answer.trailers)
    return said


def _content(answer: Answer, losses: Losses) -> dict[str, Any]:
    mime = first(answer.headers, "content-type")
    if answer.body is None:
        return {"size": -1, "mimeType": mime}
    body = decoded(answer.body, first(answer.headers, "content-encoding"))
    if body is None:
        losses.repair(CODED)
        text = base64.b64encode(answer.body).decode("ascii")
        return {"size": len(answer.body), "mimeType": mime, "text": text, "encoding": "base64", "_encoded": True}
    content: dict[str, Any] = {"size": len(body), "mimeType": mime, "compression": len(body) - len(answer.body)}
    try:
        text = body.decode("utf-8")
        if "charset" in mime.lower():
            text.encode("ascii")  # the same in every charset that matters
    except UnicodeError:
        return {**content, "text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}
    return {**content, "text": text}
