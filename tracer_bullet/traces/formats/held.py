"""Records kept by trace until the end of an input: in memory, and beyond a limit in temporary files.

A span may need another one of its trace to be whole (a shared id, a separate piece, an event's span), and that
one may come last. Records go to one of `_PARTS` parts by a hash of their key, so that one part at a time is read
back: memory stays below the limit plus one part of the input, whatever the input's length. What comes out does not
depend on the order in which it was put in, nor on whether files were needed.
"""

from __future__ import annotations

import io
import struct
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, Final
from zlib import crc32

_PARTS: Final = 64
_LIMIT: Final = 64 << 20
_FRAME: Final = struct.Struct("<II")


class Held:
    """`add` records under keys, then read `groups` once. Holds `limit` bytes in memory, the rest in files."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        # Packed: as Python objects records would take several times their length.
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._files: dict[int, IO[bytes]] = {}
        weakref.finalize(self, _close, self._files)

    def add(self, key: bytes, record: bytes) -> None:
        """Keep a record."""
        part = self._parts[crc32(key) % _PARTS]
        part += _FRAME.pack(len(key), len(record))
        part += key
        part += record
        self._size += _FRAME.size + len(key) + len(record)
        if self._size > self._limit:
            self._spill()

    def groups(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Each key with its records in the order of their bytes. Forgets what it has given."""
        for number in range(_PARTS):
            groups: dict[bytes, list[bytes]] = {}
            for key, record in self._take(number):
                groups.setdefault(key, []).append(record)
            for key in sorted(groups):
                yield key, sorted(groups.pop(key))

    def _spill(self) -> None:
        for number, part in enumerate(self._parts):
            if part:
                file = self._files.get(number)
                if file is None:
                    file = self._files[number] = tempfile.TemporaryFile(prefix="tracer-bullet-")  # noqa: SIM115
                file.write(part)
                self._parts[number] = bytearray()
        self._size = 0

    def _take(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        file = self._files.pop(number, None)
        if file is not None:
            with file:
                file.seek(0)
                yield from _frames(file)
        part, self._parts[number] = self._parts[number], bytearray()
        yield from _frames(io.BytesIO(part))


def _frames(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    while head := file.read(_FRAME.size):
        key, record = _FRAME.unpack(head)
        yield file.read(key), file.read(record)


def _close(files: dict[int, IO[bytes]]) -> None:
    for file in files.values():
        file.close()
