"""mitmproxy's flows → exchanges. Old layouts are read as they are: what mitmproxy/io/compat.py would rename is looked
for under its old name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.mitmproxy.tnetstring import values
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NO_HTTP: Final = "flows that are not HTTP's"
REPLAYED: Final = "flows that mitmproxy replayed: their times are the replay's"
WEBSOCKET: Final = "messages of WebSockets"
NO_REQUEST: Final = "flows without a request"
NEWER: Final = "flows of a newer version of mitmproxy's format than 21: read as far as they are known"
_VERSION: Final = 21
_S: Final = 10**9
_HEAD: Final = re.compile(rb"\d{2,12}:\d{1,2}:[a-z_]{2,20}[;,]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Mitmproxy:
    """The reader."""

    name = "mitmproxy"
    glue = b""

    def recognises(self, head: bytes) -> bool:
        """Whether it begins with a dictionary whose first key is a word."""
        return _HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:  # noqa: ARG002
        """One exchange an HTTP flow, in the order of the file."""
        for value in values(stream, losses):
            flow = _texts(value)
            if flow.get("type", "http") != "http" or not isinstance(value, dict):
                losses.lose(NO_HTTP, flow.get("type", ""))
            elif (found := _exchange(flow, losses)) is not None:
                yield found


def _texts(value: Any) -> dict[str, Any]:
    """A dictionary whose keys are text: bytes come from Python 2."""
    found: dict[Any, Any] = as_dict(value)
    texts = {_text(key): one for key, one in found.items()}
    kind = texts.get("type")
    return {**texts, "type": kind.decode("latin-1")} if isinstance(kind, bytes) else texts


def _exchange(flow: dict[str, Any], losses: Losses) -> Exchange | None:
    asked, client = _texts(flow.get("request")), _texts(flow.get("client_conn"))
    if not asked:
        losses.lose(NO_REQUEST)
        return None
    _count_oddities(flow, asked, losses)
    lacks: set[Lack] = set()
    request = _request(asked, lacks, losses)
    started = _started(flow, asked, losses)
    if request is None or started is None:
        return None
    said = _texts(flow.get("response"))
    answer = _answer(said, lacks, losses) if said else None
    if not said and not flow.get("error"):
        lacks.add(Lack.ANSWER)  # nothing says that there was none: the dump was written before it came
    first_byte, ended = _times(flow, said if answer else None)
    if ended is None:
        lacks.add(Lack.DURATION)
    session = _session(client)
    if not session:
        lacks.add(Lack.SESSION)
    name = flow.get("id")
    return Exchange(
        id=name.decode("latin-1") if isinstance(name, bytes) else parts.as_text(name),
        session=session,
        source="mitmproxy",
        started_ns=started,
        first_byte_ns=first_byte,
        ended_ns=ended,
        request=request,
        answer=answer,
        lacks=frozenset(lacks),
    )


def _count_oddities(flow: dict[str, Any], asked: dict[str, Any], losses: Losses) -> None:
    version = flow.get("version")
    if isinstance(version, int) and version > _VERSION:
        losses.repair(NEWER, version)
    if flow.get("is_replay") or asked.get("is_replay"):
        losses.repair(REPLAYED)
    if messages := as_list(_texts(flow.get("websocket")).get("messages")):
        losses.lose(WEBSOCKET, count=len(messages))


def _started(flow: dict[str, Any], asked: dict[str, Any], losses: Losses) -> int | None:
    for value in (asked.get("timestamp_start"), flow.get("timestamp_created")):
        if (found := parts.scaled_ns(value, _S)) is not None:
            return found
    losses.lose(parts.NO_TIME, asked.get("timestamp_start"))
    return None


def _times(flow: dict[str, Any], said: dict[str, Any] | None) -> tuple[int | None, int | None]:
    """The first byte and the end of the answer; without one, when it failed."""
    if said is None:
        return None, parts.scaled_ns(_texts(flow.get("error")).get("timestamp"), _S)
    return parts.scaled_ns(said.get("timestamp_start"), _S), parts.scaled_ns(said.get("timestamp_end"), _S)


def _session(client: dict[str, Any]) -> str:
    """The client's connection: its id since format 5, before that its address and the time it was opened."""
    name = client.get("id")
    if isinstance(name, bytes | str) and name:
        return _text(name)
    place = _address(client.get("address"))
    began = client.get("timestamp_start")
    return f"{place}@{began}" if place and began is not None else ""


def _address(value: Any) -> str:
    value = _texts(value).get("address") if isinstance(value, dict) else value  # before format 2.0
    return ":".join(_text(v) for v in as_list(value)[:2])


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _request(asked: dict[str, Any], lacks: set[Lack], losses: Losses) -> Request | None:
    method = parts.method(_text(asked.get("method", b"")), losses)
    if method is None:
        return None
    headers, pseudo = _headers(asked.get("headers"), losses)
    scheme = _text(asked.get("scheme") or b"").lower()
    if scheme not in _DEFAULT_PORTS:
        lacks.add(Lack.SCHEME)
        scheme = "https" if asked.get("port") == 443 else "http"
    authority = _authority(asked, scheme, headers, pseudo)
    if not authority:
        lacks.add(Lack.AUTHORITY)
    path = asked.get("path")
    target = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else parts.as_text(path)
    content = asked.get("content", asked.get("body"))
    if not isinstance(content, bytes):
        lacks.add(Lack.REQUEST_BODY)
    return Request(
        method=method,
        scheme=scheme,
        authority=authority,
        target="/" if method == "CONNECT" else parts.origin_form(target, losses),
        http_version=_version(asked),
        headers=headers,
        body=content if isinstance(content, bytes) else None,
        trailers=_headers(asked.get("trailers"), losses)[0],
    )


def _authority(asked: dict[str, Any], scheme: str, headers: Headers, pseudo: dict[str, str]) -> str:
    """What the client said (Host, or `:authority`), else where mitmproxy connected to."""
    host, port = _text(asked.get("host") or b""), asked.get("port")
    connected = f"{host}:{port}" if host and isinstance(port, int) and port != _DEFAULT_PORTS[scheme] else host
    candidates = [_text(asked.get("authority") or b""), pseudo.get(":authority", ""), parts.first(headers, "host")]
    return next((c for c in [*candidates, connected] if parts.is_authority(c)), "")


def _version(message: dict[str, Any]) -> str:
    old = message.get("httpversion")  # a list of two numbers until 0.13
    return parts.http_version(".".join(_text(v) for v in old) if isinstance(old, list) else _text(
        message.get("http_version", b"")))  # fmt: skip


def _headers(value: Any, losses: Losses) -> tuple[Headers, dict[str, str]]:
    pairs = (
        (_text(pair[0]), _text(pair[1])) if isinstance(pair, list) and len(pair) == 2 else (None, None)
        for pair in as_list(value)
    )
    return parts.headers(pairs, losses, as_bytes=True)


def _answer(said: dict[str, Any], lacks: set[Lack], losses: Losses) -> Answer | None:
    status = said.get("status_code", said.get("code"))
    if not isinstance(status, int) or not 100 <= status < 1000:
        lacks.add(Lack.ANSWER)
        return None
    content = said.get("content", said.get("body"))
    if not isinstance(content, bytes):
        lacks.add(Lack.ANSWER_BODY)
    return Answer(
        status=status,
        headers=_headers(said.get("headers"), losses)[0],
        body=content if isinstance(content, bytes) else None,
        trailers=_headers(said.get("trailers"), losses)[0],
    )
