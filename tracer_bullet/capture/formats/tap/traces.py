"""Tap traces → exchanges. Segments are joined by their trace's id, which may be used again."""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NO_TRACE: Final = "tap records that are no HTTP trace"
NO_REQUEST: Final = "tap traces without a request"
NO_TIMES: Final = "tap traces without times: only their order is kept (record_headers_received_time: true)"
ORPHANS: Final = "tap segments whose trace had gone out before"
AS_STRING: Final = "bodies written as text that may not have been text (use JSON_BODY_AS_BYTES): marked as missing"
_TEXTUAL: Final = re.compile(r"(?i)^text/|json|xml|x-www-form-urlencoded|javascript|graphql|yaml")
_OPEN: Final = 1_000
_OPEN_BYTES: Final = 64 << 20
_NO_BODY: Final = frozenset({204, 304})


@dataclass(slots=True)
class _Part:
    """A request or an answer as far as it came."""

    headers: list[Any] = field(default_factory=list)
    trailers: list[Any] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    has_body: bool = False
    as_text: bool = False
    cut: bool = False
    received_ns: int | None = None

    def add_body(self, value: Any) -> None:
        found = as_dict(value)
        content = _octets(found)
        self.as_text = self.as_text or bool(_get(found, "as_string"))
        self.has_body = self.has_body or bool(content) or found.get("truncated") is not True
        self.body += content
        self.cut = self.cut or found.get("truncated") is True


@dataclass(slots=True)
class _Trace:
    request: _Part = field(default_factory=_Part)
    answer: _Part = field(default_factory=_Part)
    remote: str = ""

    @property
    def size(self) -> int:
        return len(self.request.body) + len(self.answer.body) + 1_000


def exchanges(wrappers: Iterator[Any], losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
    """The exchanges of TraceWrappers in their JSON's shape, in the order in which they are complete."""
    for order, trace in enumerate(_traces(wrappers, losses), start=1):
        found = _exchange(trace, order, losses, options)
        if found is not None:
            yield found


def _traces(wrappers: Iterator[Any], losses: Losses) -> Iterator[_Trace]:
    open_: OrderedDict[str, _Trace] = OrderedDict()
    size = 0
    for wrapper in wrappers:
        found = as_dict(wrapper)
        if (buffered := _get(found, "http_buffered_trace")) is not None:
            yield _buffered(as_dict(buffered))
            continue
        segment = as_dict(_get(found, "http_streamed_trace_segment"))
        key = str(_get(segment, "trace_id") or "0")
        begins = _get(segment, "request_headers") is not None
        if not segment:
            losses.lose(NO_TRACE, ", ".join(map(str, found))[:80])
            continue
        if begins and key in open_:
            size -= open_[key].size
            yield open_.pop(key)
        if not begins and key not in open_:
            losses.lose(ORPHANS)
            continue
        trace = open_.setdefault(key, _Trace())
        size -= 0 if begins else trace.size
        _add(trace, segment)
        size += trace.size
        while open_ and (len(open_) > _OPEN or size > _OPEN_BYTES):
            oldest = open_.popitem(last=False)[1]
            size -= oldest.size
            yield oldest
    yield from open_.values()


def _get(value: dict[str, Any], name: str) -> Any:
    """A member by its proto name, or as JSON spells it."""
    if name in value:
        return value[name]
    head, *rest = name.split("_")
    return value.get(head + "".join(word.title() for word in rest))


def _buffered(found: dict[str, Any]) -> _Trace:
    trace = _Trace()
    for part, name in ((trace.request, "request"), (trace.answer, "response")):
        message = as_dict(found.get(name))
        part.headers = as_list(message.get("headers"))
        part.trailers = as_list(message.get("trailers"))
        part.received_ns = _time(_get(message, "headers_received_time"))
        if "body" in message:
            part.add_body(message["body"])
    address = as_dict(_get(as_dict(_get(found, "downstream_connection")), "remote_address"))
    socket = as_dict(_get(address, "socket_address"))
    if host := as_text(socket.get("address")):
        trace.remote = f"{host}:{_get(socket, 'port_value') or 0}"
    return trace


def _add(trace: _Trace, segment: dict[str, Any]) -> None:
    for part, name in ((trace.request, "request"), (trace.answer, "response")):
        part.headers += as_list(as_dict(_get(segment, f"{name}_headers")).get("headers"))
        part.trailers += as_list(as_dict(_get(segment, f"{name}_trailers")).get("headers"))
        if (body := _get(segment, f"{name}_body_chunk")) is not None:
            part.add_body(body)


def _octets(body: dict[str, Any]) -> bytes:
    raw = _get(body, "as_bytes")
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, str):
        try:
            return base64.b64decode(raw)
        except (binascii.Error, ValueError):
            return b""
    return parts.octets(as_text(_get(body, "as_string")))


def _time(value: Any) -> int | None:
    if isinstance(value, dict):
        seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
        whole = isinstance(seconds, int) and isinstance(nanos, int)
        return parts.bounded_ns(seconds * 10**9 + nanos) if whole else None
    return parts.iso_ns(value)


def _lines(found: list[Any], losses: Losses) -> tuple[Headers, dict[str, str]]:
    return parts.headers(((_get(one, "key"), _header_value(one)) for one in map(as_dict, found)), losses)


def _header_value(one: dict[str, Any]) -> object:
    raw = _get(one, "raw_value")
    if isinstance(raw, bytes) and raw:
        return raw.decode("utf-8", "surrogateescape")
    if isinstance(raw, str) and raw:
        return _octets({"as_bytes": raw}).decode("utf-8", "surrogateescape")
    return one.get("value", "")


def _exchange(trace: _Trace, order: int, losses: Losses, options: ReadOptions) -> Exchange | None:
    headers, pseudo = _lines(trace.request.headers, losses)
    if ":method" not in pseudo:
        losses.lose(NO_REQUEST)
        return None
    lacks: set[Lack] = {Lack.DURATION}
    request = _request(trace.request, headers, pseudo, lacks, losses, options)
    if request is None:
        return None
    started = trace.request.received_ns
    if started is None:
        losses.repair(NO_TIMES)
        lacks.add(Lack.START)
        started = order  # nothing but the order is known
    if not trace.remote:
        lacks.add(Lack.SESSION)
    answer = _answer(trace.answer, request.method, lacks, losses)
    return Exchange(
        id="",
        session=trace.remote,
        source="envoy-tap",
        started_ns=started,
        first_byte_ns=trace.answer.received_ns if answer is not None else None,
        request=request,
        answer=answer,
        lacks=frozenset(lacks),
    )


def _request(
    part: _Part, headers: Headers, pseudo: dict[str, str], lacks: set[Lack], losses: Losses, options: ReadOptions
) -> Request | None:
    method = parts.method(pseudo[":method"], losses)
    if method is None:
        return None
    authority = pseudo.get(":authority", "") or parts.first(headers, "host")
    if not parts.is_authority(authority):
        authority = options.authority
        lacks.add(Lack.AUTHORITY)
    scheme = pseudo.get(":scheme", "").lower() or parts.first(headers, "x-forwarded-proto").lower()
    if scheme not in ("http", "https"):
        scheme = options.scheme
        lacks.add(Lack.SCHEME)
    body = _body(part, headers, losses, has_none=False)
    if body is None:
        lacks.add(Lack.REQUEST_BODY)
    elif part.cut:
        lacks.add(Lack.REQUEST_BODY_CUT)
    target = "/" if method == "CONNECT" else parts.origin_form(pseudo.get(":path", "/"), losses)
    trailers = _lines(part.trailers, losses)[0]
    return Request(
        method=method, scheme=scheme, authority=authority, target=target, headers=headers, body=body, trailers=trailers
    )


def _is_text(body: bytearray, headers: Headers) -> bool:
    """Whether a body that Envoy wrote as text was text: it writes a space for each byte that is no UTF-8."""
    if parts.first(headers, "content-encoding").lower() not in ("", "identity"):
        return False
    return b" " not in body or _TEXTUAL.search(parts.first(headers, "content-type")) is not None


def _body(part: _Part, headers: Headers, losses: Losses, *, has_none: bool) -> bytes | None:
    """Envoy leaves out an empty body; one that it did not keep (a limit of 0) is cut, and empty."""
    if part.as_text and not _is_text(part.body, headers):
        losses.repair(AS_STRING)
        return None
    if part.has_body or has_none:
        return bytes(part.body)
    return None if part.cut or (parts.length_said(headers) or 0) > 0 else b""


def _answer(part: _Part, method: str, lacks: set[Lack], losses: Losses) -> Answer | None:
    headers, pseudo = _lines(part.headers, losses)
    text = pseudo.get(":status", "")
    if not (text.isascii() and text.isdigit() and 100 <= int(text[:4]) < 1000):
        lacks.add(Lack.ANSWER)
        return None
    status = int(text[:4])
    body = _body(part, headers, losses, has_none=method == "HEAD" or status in _NO_BODY)
    if body is None:
        lacks.add(Lack.ANSWER_BODY)
    elif part.cut:
        lacks.add(Lack.ANSWER_BODY_CUT)
    return Answer(status=status, headers=headers, body=body, trailers=_lines(part.trailers, losses)[0])
