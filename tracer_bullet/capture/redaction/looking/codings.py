"""Content codings (RFC 9110, 8.4.1): gzip, deflate, br and zstd, opened up to a limit and never beyond it."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_CHUNK: Final = 256  # a block of zstd makes 128 KiB of four bytes
_MOST_CODINGS: Final = 4


class OpenError(ValueError):
    """Content cannot be opened: its coding is unknown, it is damaged, or longer than the limit. The text says which."""


def open_content(data: bytes, codings: Sequence[str], limit: int) -> bytes:
    """Content without its codings. `codings`: as Content-Encoding lists them, in the order in which they were applied.

    Raises OpenError.
    """
    if len(codings) > _MOST_CODINGS:
        raise OpenError("too many content codings")
    for coding in reversed(codings):
        opener = _OPENERS.get(coding)
        if opener is None:
            raise OpenError(f"unknown content coding {coding[:20]!r}")
        data = opener(data, limit)
    if len(data) > limit:
        raise OpenError("over the limit")
    return data


def codings_of(lines: Sequence[str]) -> list[str]:
    """The codings that Content-Encoding lines list, without `identity`."""
    names = [name.strip().lower() for line in lines for name in line.split(",")]
    return [name for name in names if name and name != "identity"]


def gunzip(data: bytes, limit: int) -> bytes:
    """The content of gzip members (RFC 1952), one after the other. Raises OpenError."""
    out = bytearray()
    while data:
        opener = zlib.decompressobj(wbits=31)
        out += _run(opener, data, limit - len(out))
        data = opener.unused_data.lstrip(b"\0")  # members may be padded
    return bytes(out)


def inflate(data: bytes, limit: int) -> bytes:
    """zlib's format (RFC 1950), or bare deflate (RFC 1951), which some servers send. Raises OpenError."""
    try:
        return _whole(zlib.decompressobj(), data, limit)
    except OpenError:
        if len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0:
            raise
    return _whole(zlib.decompressobj(wbits=-15), data, limit)


def unzstd(data: bytes, limit: int) -> bytes:
    """zstd frames (RFC 8878). Raises OpenError, also where the `zstandard` package is not installed."""
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ImportError:
        raise OpenError("no decoder for zstd") from None
    out = bytearray()
    try:
        while data:
            opener = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            for at in range(0, len(data), _CHUNK):
                out += opener.decompress(data[at : at + _CHUNK])
                if len(out) > limit:
                    raise OpenError("over the limit")
                if opener.eof:
                    data = opener.unused_data + data[at + _CHUNK :]
                    break
            else:
                raise OpenError("damaged zstd content")
    except zstandard.ZstdError:
        raise OpenError("damaged zstd content") from None
    return bytes(out)


def unbrotli(data: bytes, limit: int) -> bytes:
    """Brotli (RFC 7932). Raises OpenError, also where the `brotli` package is not installed."""
    try:
        brotli: Any = importlib.import_module("brotli")
    except ImportError:
        raise OpenError("no decoder for br") from None
    opener = brotli.Decompressor()
    out = bytearray()
    try:
        out += opener.process(data, output_buffer_limit=limit + 1)
        while len(out) <= limit and not opener.can_accept_more_data():
            out += opener.process(b"", output_buffer_limit=limit + 1 - len(out))
        finished = bool(opener.is_finished())
    except TypeError:  # before 1.2 it cannot be bounded
        raise OpenError("no decoder for br that can be bounded") from None
    except brotli.error:
        raise OpenError("damaged br content") from None
    if len(out) > limit:
        raise OpenError("over the limit")
    if not finished:
        raise OpenError("damaged br content")
    return bytes(out)


def peek(data: bytes, limit: int) -> bytes:
    """What can be decompressed of data that begins as gzip, zlib or zstd, whatever follows. Never raises."""
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        for end in (len(data), len(data) - 1, len(data) - 2):
            try:
                return unzstd(data[:end], limit)
            except OpenError:
                continue
        return b""
    try:
        return zlib.decompressobj(wbits=47).decompress(data, limit)
    except zlib.error:
        return b""


def _whole(opener: Any, data: bytes, limit: int) -> bytes:
    out = _run(opener, data, limit)
    if opener.unused_data:
        raise OpenError("damaged deflate content")
    return out


def _run(opener: Any, data: bytes, limit: int) -> bytes:
    try:
        out: bytes = opener.decompress(data, max(limit, 0) + 1)
    except zlib.error:
        raise OpenError("damaged compressed content") from None
    if len(out) > limit:
        raise OpenError("over the limit")
    if not opener.eof:
        raise OpenError("damaged compressed content")
    return out


_OPENERS: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    "gzip": gunzip,
    "x-gzip": gunzip,
    "deflate": inflate,
    "br": unbrotli,
    "zstd": unzstd,
}
