"""Bytes of Envoy's admin interface → whole documents. Pure: no socket, any cutting of the bytes gives the same."""

from __future__ import annotations

from typing import Final

# Envoy writes each document indented, so that only its last line begins with a brace.
_END: Final = b"\n}\n"
_CRLF: Final = b"\r\n"
# Of a chunk's first line: 16 hex digits and whatever extensions; ours have none.
_MAX_LINE: Final = 4096


class Malformed(Exception):  # noqa: N818 - a state of the stream, told as an error elsewhere
    """The bytes are not what the protocol says."""


class Dechunker:
    """Takes HTTP/1.1's chunked coding off (RFC 9112, 7.1). `ended` once the last chunk has been seen."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._left = 0  # of the chunk under way, with its CRLF
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The content of what is whole so far. Raises Malformed."""
        self._held += data
        found = bytearray()
        while not self.ended:
            if self._left:
                if not self._content(found):
                    break
            elif not self._head():
                break
        return bytes(found)

    def _content(self, found: bytearray) -> bool:
        part = bytes(self._held[: self._left])
        if not part:
            return False
        del self._held[: len(part)]
        # The last two bytes of what is left are the chunk's CRLF.
        content = max(0, self._left - 2)
        found += part[:content]
        self._left -= len(part)
        return True

    def _head(self) -> bool:
        end = self._held.find(_CRLF)
        if end < 0:
            if len(self._held) > _MAX_LINE:
                raise Malformed("a chunk without a size")
            return False
        size = bytes(self._held[:end]).partition(b";")[0].strip()
        del self._held[: end + 2]
        try:
            self._left = int(size, 16)
        except ValueError:
            raise Malformed("a chunk without a size") from None
        if self._left == 0:
            self.ended = True
        else:
            self._left += 2
        return True


class Documents:
    """Cuts a stream of indented JSON documents, without anything between them, into its documents.

    A document that has grown past `limit` bytes is given up, and counted in `oversized`.
    """

    def __init__(self, limit: int) -> None:
        self._held = bytearray()
        self._searched = 0
        self._limit = limit
        self._skipping = False
        self.oversized = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The documents that have become whole."""
        self._held += data
        found = []
        while (end := self._held.find(_END, self._searched)) >= 0:
            if self._skipping:
                self._skipping = False
            else:
                found.append(bytes(self._held[: end + len(_END)]))
            del self._held[: end + len(_END)]
            self._searched = 0
        self._searched = max(0, len(self._held) - len(_END) + 1)
        if len(self._held) > self._limit:
            self.oversized += not self._skipping
            self._skipping = True
            del self._held[: self._searched]
            self._searched = 0
        return found

    @property
    def is_torn(self) -> bool:
        """Whether a document has begun, and not ended."""
        return bool(self._held)
