"""When an HTTP answer is whole: a client may go on as soon as it has the last byte, before the server knows."""

from __future__ import annotations

_BODILESS = frozenset({204, 304})  # RFC 9110, section 6.4.1; HEAD beside them


class AnswerMeter:
    """Counts an answer's body against its Content-Length. `method` is the request's."""

    def __init__(self, method: str) -> None:
        self._bodiless = method == "HEAD"
        self._left: int | None = None

    def start(self, status: int, content_length: str) -> bool:
        """The status and headers; whether nothing is to follow them. `content_length` may be empty."""
        self._left = int(content_length) if content_length.isascii() and content_length.isdecimal() else None
        self._bodiless = self._bodiless or status in _BODILESS or self._left == 0
        return self._bodiless

    def body(self, size: int) -> bool:
        """`size` more bytes of body; whether the client then has all of it."""
        if self._left is not None:
            self._left -= size
        return self._bodiless or (self._left is not None and self._left <= 0)
