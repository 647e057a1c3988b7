"""Reading an HTTP/1.x answer out of its bytes. Pure: what the connection does by callbacks, done once over all of it.

llhttp (by httptools) does the parsing, but for what httptools leaves out: answers to HEAD, and those that end with the
connection.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from tracer_bullet.model.exchange import Answer

_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"\r\n(?:content-length[ \t]*:|transfer-encoding[ \t]*:[^\r\n]*chunked)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection[ \t]*:[^\r\n]*\bclose\b", re.IGNORECASE)
_SET_COOKIE: Final = re.compile(rb"\nset-cookie[ \t]*:([^\r\n]*)", re.IGNORECASE)
_KEEP: Final = re.compile(rb"\r\nconnection[ \t]*:[^\r\n]*\bkeep-alive\b", re.IGNORECASE)


class AnswerError(ValueError):
    """The bytes are no HTTP/1.x answer."""


def final_head(raw: bytes | bytearray) -> tuple[int, int]:
    """Where the final answer's header section begins and ends (after its empty line), past all 1xx ones.

    (-1, -1) when it is not all there yet. Raises AnswerError when it is none.
    """
    start = 0
    while True:
        while raw[start : start + 2] == b"\r\n":
            start += 2
        end = raw.find(_HEAD_END, start)
        if end < 0:
            return -1, -1
        line = _STATUS.match(raw, start)
        if line is None:
            raise AnswerError("no status line")
        if line[2][0] != ord("1") or line[2] == b"101":
            return start, end + 4
        start = end + 4


def stays_open(head: bytes | bytearray) -> bool:
    """Whether the connection may be used again after this header section (RFC 9112, 9.3)."""
    if _CLOSE.search(head):
        return False
    return head[5:8] == b"1.1" or _KEEP.search(head) is not None


def ends_with_connection(head: bytes | bytearray) -> bool:
    """Whether the answer's length is told by nothing but the connection's end (RFC 9112, 6.3, rule 8)."""
    return _LENGTH.search(head) is None


def cookies_of(raw: bytes | bytearray | memoryview, status: int) -> Answer | None:
    """Of the final answer, whose header section lies in `raw`, the Set-Cookie lines and nothing else, if it has any."""
    data = bytes(raw)
    if _SET_COOKIE.search(data) is None:  # most have none
        return None
    try:
        start, end = final_head(data)
    except AnswerError:
        return None
    lines = _SET_COOKIE.findall(data, start, end)
    headers = tuple(("set-cookie", line.strip(b" \t").decode("latin-1")) for line in lines)
    return Answer(status=status, headers=headers, body=None) if headers else None


def read_answer(raw: bytes | bytearray, keep_bytes: int, *, is_head: bool = False) -> tuple[Answer, bool]:
    """The final answer in `raw`, which holds it from its first byte on, perhaps not to its end; and whether it was cut.

    1xx answers before it are left out. The body is without transfer coding, at most `keep_bytes` long. Raises
    AnswerError when `raw` is no answer, or its header section is not whole.
    """
    start, end = final_head(raw)
    if start < 0:
        raise AnswerError("the header section is not whole")
    reader = _Reader(keep_bytes)
    parser = httptools.HttpResponseParser(reader)
    try:
        parser.feed_data(memoryview(raw)[start:end] if is_head else memoryview(raw)[start:])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        if not reader.headed:
            raise AnswerError(str(error)) from None
    status = int(raw[start + 9 : start + 12])
    body = b"" if is_head else b"".join(reader.body)
    answer = Answer(status=status, headers=tuple(reader.headers), body=body, trailers=tuple(reader.trailers))
    return answer, reader.cut and not is_head


class _Reader:
    """What httptools calls; the first message counts."""

    def __init__(self, keep_bytes: int) -> None:
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self.body: list[bytes] = []
        self.headed = self.cut = self.done = False
        self._room = keep_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.done:
            lines = self.trailers if self.headed else self.headers
            lines.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, data: bytes) -> None:
        if self.done:
            return
        if len(data) > self._room:
            self.cut = True
            data = data[: self._room]
        self._room -= len(data)
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.done = True
