"""Reading a request body within bounds, inflating it on the way.

The bounds hold while reading: memory never exceeds them by more than one chunk, however
large the body is or however much it would inflate to.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_GZIP = zlib.MAX_WBITS | 16


class BodyError(Exception):
    """A body that is not taken: HTTP `status`, the counter's `reason`, and a `message` for the sender."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class DisconnectedError(Exception):
    """The sender went away in the middle of its body."""


async def read_body(
    receive: Receive, encoding: str, *, max_bytes: int, max_inflated_bytes: int, timeout_s: float
) -> bytes:
    """The whole body, inflated when `encoding` is `gzip`.

    Raises BodyError (413 too large on the wire or inflated, 415 other encoding, 408 slow,
    400 not gzip) and DisconnectedError.
    """
    if encoding not in ("", "identity", "gzip"):
        raise BodyError(415, "unsupported_encoding", f"content-encoding {encoding!r}: gzip or identity is needed")
    sink = _Inflater(max_inflated_bytes) if encoding == "gzip" else _Plain()
    try:
        async with asyncio.timeout(timeout_s):
            await _pump(receive, sink, max_bytes)
    except TimeoutError:
        raise BodyError(408, "slow_body", f"the body did not end within {timeout_s:g} s") from None
    return sink.finish()


async def _pump(receive: Receive, sink: _Plain | _Inflater, max_bytes: int) -> None:
    taken = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        taken += len(chunk)
        if taken > max_bytes:
            raise BodyError(413, "too_large", f"the body is larger than {max_bytes} bytes")
        sink.feed(chunk)


class _Plain:
    def __init__(self) -> None:
        self._content = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._content += chunk

    def finish(self) -> bytes:
        return bytes(self._content)


class _Inflater:
    """gzip (RFC 1952), several members included, never holding more than the limit and one byte."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._member = zlib.decompressobj(_GZIP)
        self._fed = False

    def feed(self, chunk: bytes) -> None:
        try:
            while chunk:
                if self._member.eof:
                    self._member = zlib.decompressobj(_GZIP)
                self._fed = True
                self._content += self._member.decompress(chunk, self._limit + 1 - len(self._content))
                if len(self._content) > self._limit:
                    raise BodyError(413, "inflates_too_large", f"the body inflates to more than {self._limit} bytes")
                chunk = self._member.unused_data or self._member.unconsumed_tail
        except zlib.error as error:
            raise BodyError(400, "bad_gzip", f"the body is not gzip: {error}") from None

    def finish(self) -> bytes:
        if not (self._fed and self._member.eof):
            raise BodyError(400, "bad_gzip", "the gzip body is truncated")
        return bytes(self._content)
