"""Exchanges → `.gor`: a record of type 1 for each request and one of type 2 for its answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.gor.records import SEPARATOR
from tracer_bullet.capture.formats.shared.http1 import chunked, header_block
from tracer_bullet.capture.formats.shared.parts import first, length_said, without
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NOT_SENT: Final = "requests whose body is missing or cut: not written, GoReplay would send them without it"
RECHUNKED: Final = "bodies that hold GoReplay's separator: written in chunks that cut it"
TLS: Final = "requests over TLS: GoReplay's files do not say so, its `--output-http` does"
VERSION: Final = "requests of HTTP/2 or 3: written as HTTP/1.1"
_SESSION: Final = re.compile(r"[0-9a-f]{16}")


class GorWriter:
    """Writes what GoReplay replays with `--input-file`."""

    name = "GoReplay"

    def write(self, exchanges: Iterable[Exchange], stream: BinaryIO, losses: Losses) -> int:
        """Write all; how many. Ids are 24 hexadecimal digits, of which the first 16 are the session's."""
        count = 0
        for exchange in exchanges:
            is_unknown = exchange.request.body is None and exchange.request.is_write
            if is_unknown or Lack.REQUEST_BODY_CUT in exchange.lacks:
                losses.lose(NOT_SENT, exchange.request.target)
                continue
            if exchange.request.scheme == "https":
                losses.repair(TLS)
            name = _name(exchange, count)
            request = _framed(exchange.request, _request_line(exchange.request, losses), losses)
            stream.write(f"1 {name} {exchange.started_ns} 0\n".encode() + request + SEPARATOR)
            if exchange.answer is not None:
                begin = exchange.first_byte_ns if exchange.first_byte_ns is not None else exchange.started_ns
                took = -1 if exchange.ended_ns is None else max(0, exchange.ended_ns - begin)
                answer = _framed(exchange.answer, f"HTTP/1.1 {exchange.answer.status} \r\n".encode(), losses)
                stream.write(f"2 {name} {begin} {took}\n".encode() + answer + SEPARATOR)
            count += 1
        return count


def _name(exchange: Exchange, count: int) -> str:
    session = exchange.session
    if not _SESSION.fullmatch(session):
        session = hashlib.sha256((session or f"#{count}").encode()).hexdigest()[:16]
    return f"{session}{count & 0xFFFFFFFF:08x}"


def _request_line(request: Request, losses: Losses) -> bytes:
    if request.http_version in ("2", "3"):
        losses.repair(VERSION)
    version = "1.0" if request.http_version == "1.0" else "1.1"
    target = request.authority if request.method == "CONNECT" else request.target
    line = f"{request.method} {target} HTTP/{version}\r\n"
    # An absolute target or an HTTP/2 request: the authority has to be said somewhere.
    return (line if first(request.headers, "host") else f"{line}Host: {request.authority}\r\n").encode("latin-1")


def _framed(message: Request | Answer, line: bytes, losses: Losses) -> bytes:
    """The message with headers that fit how its body is written."""
    body = message.body or b""
    headers: Headers = message.headers
    is_chunked = "chunked" in first(headers, "transfer-encoding").lower()
    places = [found.start() + 3 for found in re.finditer(re.escape(SEPARATOR), body)]
    if places:
        losses.repair(RECHUNKED)
    if not is_chunked and (places or message.trailers):
        headers = (*without(headers, "content-length", "transfer-encoding"), ("Transfer-Encoding", "chunked"))
        is_chunked = True
    if is_chunked:
        return line + header_block(headers) + b"\r\n" + chunked(body, places, message.trailers)
    if body and isinstance(message, Request) and length_said(headers) is None:
        headers = (*headers, ("Content-Length", str(len(body))))  # HTTP/2 needs none
    return line + header_block(headers) + b"\r\n" + body
