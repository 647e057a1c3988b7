"""Bytes of an input, inflated and in UTF-8, chunk by chunk: whatever its size, a few chunks are in memory.

Gzip (RFC 1952) and zstd (RFC 8878) are known by their magic bytes, also one inside the other; UTF-16 and the byte
order marks by theirs, as browsers and PowerShell write them. Damage ends the input where it is and is counted.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Final, Protocol

import zstandard

from tracer_bullet.model.losses import Losses

CHUNK: Final = 1 << 20

CUT_SHORT: Final = "compressed inputs that end too early: the rest is missing"
DAMAGED: Final = "compressed inputs that are damaged: read up to there"
UNREADABLE: Final = "inputs that could not be read to their end"
NO_UNICODE: Final = "bytes that are no UTF-8 or UTF-16: replaced"

_GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
# Compressed twice happens (an archive of compressed files); more is an attack.
_LAYERS: Final = 3
# So little at a time, because four bytes of zstd may inflate to 128 KiB and its API sets no bound.
_ZSTD_PIECE: Final = 1 << 10


class Readable(Protocol):
    """A binary file, or anything that is read like one."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty at the end."""
        ...


def chunks(stream: Readable, losses: Losses, *, size: int = CHUNK) -> Iterator[bytes]:
    """The content of `stream`, inflated and, when it is text, in UTF-8 without a byte order mark."""
    content = _read(stream, losses, size)
    for _ in range(_LAYERS):
        head, content = peek(content, 4)
        if head[:2] == _GZIP:
            content = _gunzip(content, losses, size)
        elif head == ZSTD:
            content = _unzstd(content, losses, size)
        else:
            break
    return _utf8(content, losses)


def peek(content: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Up to `size` first bytes, and the content with them still in it."""
    read: list[bytes] = []
    for chunk in content:
        read.append(chunk)
        if sum(map(len, read)) >= size:
            break
    head = b"".join(read)
    return head[:size], chain([head] if head else [], content)


def _read(stream: Readable, losses: Losses, size: int) -> Iterator[bytes]:
    try:
        while chunk := stream.read(size):
            yield chunk
    except OSError as error:  # a disk or a pipe that fails half way
        losses.lose(UNREADABLE, error)


def _gunzip(content: Iterator[bytes], losses: Losses, size: int) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        for chunk in content:
            while chunk:
                if member.eof:
                    if not chunk.lstrip(b"\0"):  # padding, as tape archives have
                        break
                    member = zlib.decompressobj(_GZIP_WINDOW)
                out = member.decompress(chunk, size)
                if out:
                    yield out
                chunk = member.unused_data or member.unconsumed_tail  # noqa: PLW2901
        while not member.eof and (out := member.decompress(member.unconsumed_tail, size)):
            yield out
    except zlib.error as error:
        losses.lose(DAMAGED, error)
        return
    if not member.eof:
        losses.lose(CUT_SHORT)


def _unzstd(content: Iterator[bytes], losses: Losses, size: int) -> Iterator[bytes]:
    # Its stream reader would not tell a cut frame from a whole one.
    frame = zstandard.ZstdDecompressor().decompressobj()
    gathered: list[bytes] = []
    length = 0
    try:
        for chunk in content:
            for at in range(0, len(chunk), _ZSTD_PIECE):
                piece = chunk[at : at + _ZSTD_PIECE]
                while piece:
                    if frame.eof:
                        frame = zstandard.ZstdDecompressor().decompressobj()
                    gathered.append(frame.decompress(piece))
                    length += len(gathered[-1])
                    piece = frame.unused_data
                if length >= size:
                    yield b"".join(gathered)
                    gathered, length = [], 0
    except zstandard.ZstdError as error:
        losses.lose(DAMAGED, error)
    else:
        if not frame.eof:
            losses.lose(CUT_SHORT)
    yield b"".join(gathered)


def inflate_frame(frame: bytes, most: int) -> bytes:
    """One zstd message of at most `most` bytes, inflated. Raises ValueError."""
    out = b""
    losses = Losses()
    for piece in _unzstd(iter([frame]), losses, CHUNK):
        out += piece
        if len(out) > most:
            raise ValueError(f"inflates to more than {most} bytes")
    if losses.lost:
        raise ValueError(next(iter(losses.lost)))
    return out


def _utf8(content: Iterator[bytes], losses: Losses) -> Iterator[bytes]:
    head, content = peek(content, 4)
    encoding = _utf16(head)
    if encoding is None:
        bom = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        return _without(content, bom)
    return _transcoded(content, encoding, losses)


def _utf16(head: bytes) -> str | None:
    """The kind of UTF-16 that begins so: by its mark, or by ASCII with zeros between."""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(head) == 4 and head[0] and head[2] and head[1] == head[3] == 0 and chr(head[0]) in "{[ \t\r\n":
        return "utf-16-le"
    if len(head) == 4 and head[1] and head[3] and head[0] == head[2] == 0 and chr(head[1]) in "{[":
        return "utf-16-be"
    return None


def _without(content: Iterator[bytes], first: int) -> Iterator[bytes]:
    for chunk in content:
        yield chunk[first:] if first else chunk
        first = 0


def _transcoded(content: Iterator[bytes], encoding: str, losses: Losses) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    replaced = 0
    for chunk in chain(content, [b""]):
        text = decoder.decode(chunk, final=not chunk)
        replaced += text.count("\ufffd")
        if text:
            yield text.encode("utf-8", "replace")
    if replaced:
        losses.repair(NO_UNICODE, count=replaced)
