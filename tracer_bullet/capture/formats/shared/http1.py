"""A raw HTTP/1 message, as it was on the wire, taken apart (RFC 9112). Pure; what is odd is counted, nothing raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.model.exchange import Headers
from tracer_bullet.model.losses import Losses

NO_HTTP: Final = "messages that are no HTTP/1"
INTERIM: Final = "interim answers (1xx): left out"
TOO_LONG: Final = "bytes behind the end of a message: left out"
FOLDED: Final = "header lines that were folded: joined"
BAD_CHUNKS: Final = "bodies whose chunks are cut off or broken: kept up to there, and marked as cut"
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_REQUEST: Final = re.compile(rb"([!-~]{1,40}) (\S.{0,1000000}?) (?:HTTP/(\d(?:\.\d)?))", re.DOTALL)
_STATUS: Final = re.compile(rb"HTTP/(\d(?:\.\d)?) (\d{3})(?: .*)?", re.DOTALL)
_CHUNK: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request (`method`, `target` as in its line) or an answer (`status`). `body` is without transfer coding.

    `cut`: the body ends before its own length; `waits`: it is cut, and none of it is there."""

    method: str = ""
    target: str = ""
    status: int = 0
    http_version: str = "1.1"
    headers: Headers = ()
    body: bytes = b""
    trailers: Headers = ()
    cut: bool = False

    @property
    def waits(self) -> bool:
        """Whether none of the body that it announces is there."""
        return self.cut and not self.body


def request(raw: bytes, losses: Losses) -> Message | None:
    """A request; None, and counted, when it is none."""
    line, lines, rest = _parts(raw)
    found = _REQUEST.fullmatch(line)
    if found is None:
        losses.lose(NO_HTTP, line[:80].decode("latin-1"))
        return None
    headers = _headers(lines, losses)
    message = Message(
        method=found.group(1).decode("latin-1"),
        target=found.group(2).decode("utf-8", "surrogateescape"),
        http_version=parts.http_version(found.group(3).decode()),
        headers=headers,
    )
    return _with_body(message, rest, 0, losses)


def answer(raw: bytes, method: str, losses: Losses) -> Message | None:
    """An answer to a request of `method`; interim ones before it are left out. None when there is none."""
    while True:
        line, lines, rest = _parts(raw)
        found = _STATUS.fullmatch(line)
        if found is None:
            if raw:
                losses.lose(NO_HTTP, line[:80].decode("latin-1"))
            return None
        status = int(found.group(2))
        if not 100 <= status < 200 or status == 101:
            break
        losses.repair(INTERIM)
        raw = rest
    message = Message(
        status=status, http_version=parts.http_version(found.group(1).decode()), headers=_headers(lines, losses)
    )
    if method == "HEAD" or status in (101, 204, 304):
        if rest:
            losses.repair(TOO_LONG)
        return message
    return _with_body(message, rest, None, losses)


def _parts(raw: bytes) -> tuple[bytes, list[bytes], bytes]:
    """First line, header lines, and what follows."""
    raw = raw.lstrip(b"\r\n")
    end = _HEAD_END.search(raw)
    head, rest = (raw[: end.start()], raw[end.end() :]) if end else (raw.rstrip(b"\r\n"), b"")
    line, _, lines = head.partition(b"\n")
    return line.rstrip(b"\r"), [lines] if lines else [], rest


def _headers(blocks: list[bytes], losses: Losses) -> Headers:
    text = b"\n".join(blocks)
    if _FOLD.search(text):
        losses.repair(FOLDED)
        text = _FOLD.sub(b" ", text)
    pairs: list[tuple[object, object]] = []
    for line in text.split(b"\n"):
        name, colon, value = line.rstrip(b"\r").partition(b":")
        if colon:
            pairs.append((name.decode("latin-1"), value.decode("latin-1")))
        elif line.strip():
            losses.lose(parts.BAD_HEADER, line[:80].decode("latin-1"))
    return parts.headers(pairs, losses, as_bytes=True)[0]


def _with_body(message: Message, rest: bytes, default: int | None, losses: Losses) -> Message:
    """`default`: the length when none is said; None for everything until the end (RFC 9112, 6.3)."""
    codings = ",".join(v for k, v in message.headers if k.lower() == "transfer-encoding").lower()
    if codings.rpartition(",")[2].strip() == "chunked":
        return _dechunked(message, rest, losses)
    length = parts.length_said(message.headers)
    if length is None:
        length = default
    if length is None:
        return replace(message, body=rest)
    if len(rest) > length:
        losses.repair(TOO_LONG, rest[length : length + 60])
    return replace(message, body=rest[:length], cut=len(rest) < length)


def _dechunked(message: Message, rest: bytes, losses: Losses) -> Message:
    body: list[bytes] = []
    at = 0
    while (found := _CHUNK.match(rest, at)) is not None:
        size = int(found.group(1), 16)
        at = found.end()
        if size == 0:
            end = _HEAD_END.search(rest, at - 1)
            trailers = rest[at : end.start()] if end and end.start() > at else b""
            behind = end.end() if end else at + 2 if rest[at : at + 2] == b"\r\n" else len(rest)
            if len(rest) > behind:
                losses.repair(TOO_LONG, rest[behind : behind + 60])
            blocks = [trailers] if trailers.strip() else []
            return replace(message, body=b"".join(body), trailers=_headers(blocks, losses))
        body.append(rest[at : at + size])
        at += size
        if at > len(rest):
            break
        if rest[at : at + 2] == b"\r\n":
            at += 2
        elif rest[at : at + 1] == b"\n":
            at += 1
    losses.repair(BAD_CHUNKS)
    return replace(message, body=b"".join(body), cut=True)


def chunked(body: bytes, sizes: list[int], trailers: Headers) -> bytes:
    """A body in chunks that end at the places `sizes` (ascending, within it), and its trailers."""
    out: list[bytes] = []
    begin = 0
    for end in [*sizes, len(body)]:
        if end > begin:
            out.append(b"%x\r\n%s\r\n" % (end - begin, body[begin:end]))
            begin = end
    out.append(b"0\r\n" + header_block(trailers) + b"\r\n")
    return b"".join(out)


def header_block(lines: Headers) -> bytes:
    """Header lines as they stand on the wire."""
    return b"".join(f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in lines)
