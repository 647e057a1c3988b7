"""Bytes of a recording: decompressed by magic, without byte order mark, with a head that can be looked at first.

Damage (a torn gzip, a bad zstd frame) ends a stream and is its `problem`; it never raises. Errors of the disk do.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import zstandard

from tracer_bullet.model.losses import Losses

CHUNK: Final = 1 << 18
# What one record (an entry, a flow, a trace) may take; larger ones are passed over and counted.
RECORD_BYTES: Final = 64 << 20

DAMAGED: Final = "compressed recordings that are damaged: read up to there"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LAYERS: Final = 3
# A block of 4 bytes may say 128 KiB: this bounds what one step can give to 16 MiB.
_ZSTD_STEP: Final = 512
_UTF8_BOM: Final = b"\xef\xbb\xbf"


class RecordingStream(io.RawIOBase):
    """A read-only stream over chunks. `problem` says why it ended early, empty when it did not."""

    def __init__(self, content: Iterator[bytes], problems: list[str], source: BinaryIO | None = None) -> None:
        super().__init__()
        self._content = content
        self._held = b""
        self._problems = problems
        self._source = source

    @property
    def problem(self) -> str:
        """Why the stream ended before its end."""
        return "; ".join(self._problems)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the buffer protocol has no name yet
        """Fill the buffer, or a part of it; 0 at the end."""
        while not self._held:
            chunk = next(self._content, None)
            if chunk is None:
                return 0
            self._held = chunk
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def close(self) -> None:
        """Close what was opened for it."""
        if self._source is not None and not self.closed:
            self._source.close()
        super().close()


def chunks(stream: BinaryIO, losses: Losses) -> Iterator[bytes]:
    """The stream in chunks; at its end its problem, if it has one, is counted."""
    while chunk := stream.read(CHUNK):
        yield chunk
    if problem := problem_of(stream):
        losses.lose(DAMAGED, problem)


def problem_of(stream: BinaryIO) -> str:
    """Why a stream of ours ended early; empty when it did not, and for other streams."""
    return str(getattr(getattr(stream, "raw", stream), "problem", ""))


def lines(stream: BinaryIO, losses: Losses, limit: int = RECORD_BYTES) -> Iterator[bytes]:
    """The lines of a stream without their ends; what is longer than `limit` bytes is passed over and counted."""
    held = bytearray()
    skipping = False
    for chunk in chunks(stream, losses):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            if not skipping:
                yield bytes(held + part).rstrip(b"\r")
            held.clear()
            skipping = False
        if not skipping:
            held += rest
            if len(held) > limit:
                losses.lose("lines that are too long")
                held.clear()
                skipping = True
    if held:
        yield bytes(held).rstrip(b"\r")


def expanded(source: BinaryIO, *, owned: bool) -> tuple[bytes, BinaryIO]:
    """The first bytes of what a source holds, up to CHUNK, and all of it as a stream, both decompressed and in UTF-8.

    `owned`: the stream's close() closes the source.
    """
    problems: list[str] = []
    content = _plain(source)
    for _ in range(_LAYERS):
        head, content = _peek(content, len(_ZSTD))
        if head.startswith(_GZIP):
            content = _gunzip(content, problems)
        elif head.startswith(_ZSTD):
            content = _unzstd(content, problems)
        else:
            break
    head, content = _peek(content, len(_UTF8_BOM))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = _recoded(content)
    elif head.startswith(_UTF8_BOM):
        content = _without(content, len(_UTF8_BOM))
    head, content = _peek(content, CHUNK)
    return head, buffered(RecordingStream(content, problems, source if owned else None))


def buffered(raw: RecordingStream) -> BinaryIO:
    """With readline and all that a binary stream has."""
    return io.BufferedReader(raw, CHUNK)


def _plain(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _peek(content: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    held: list[bytes] = []
    length = 0
    while length < size and (chunk := next(content, None)) is not None:
        held.append(chunk)
        length += len(chunk)
    return b"".join(held)[:size], _chain(held, content)


def _chain(held: list[bytes], content: Iterator[bytes]) -> Iterator[bytes]:
    while held:
        yield held.pop(0)
    yield from content


def _without(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in content:
        yield chunk[size:]
        size = max(0, size - len(chunk))


def _recoded(content: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for chunk in content:
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _gunzip(content: Iterator[bytes], problems: list[str]) -> Iterator[bytes]:
    expander = zlib.decompressobj(wbits=31)
    for chunk in content:
        rest = chunk
        while rest:
            if expander.eof:
                if not (rest := rest.lstrip(b"\0")):  # padding, as tar leaves it
                    break
                expander = zlib.decompressobj(wbits=31)
            try:
                part = expander.decompress(rest, CHUNK)
            except zlib.error as error:
                problems.append(f"gzip: {error}")
                return
            rest = expander.unused_data if expander.eof else expander.unconsumed_tail
            if part:
                yield part
    if not expander.eof:
        yield from _rest(expander, problems)


def _rest(expander: zlib._Decompress, problems: list[str]) -> Iterator[bytes]:
    """What zlib still holds when its input was cut off."""
    try:
        if part := expander.flush():
            yield part
    except zlib.error:
        pass
    problems.append("gzip: it is cut off")


def _unzstd(content: Iterator[bytes], problems: list[str]) -> Iterator[bytes]:
    maker = zstandard.ZstdDecompressor()
    expander = maker.decompressobj()
    begun = False
    for chunk in content:
        rest = chunk
        while rest:
            step, rest = rest[:_ZSTD_STEP], rest[_ZSTD_STEP:]
            try:
                part = expander.decompress(step)
            except zstandard.ZstdError as error:
                problems.append(f"zstd: {error}")
                return
            begun = True
            if expander.eof:
                rest = expander.unused_data + rest
                expander = maker.decompressobj()
                begun = False
            if part:
                yield part
    if begun:
        problems.append("zstd: it is cut off")
