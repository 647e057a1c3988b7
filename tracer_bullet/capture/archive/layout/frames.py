"""One frame of an archive as bytes. Pure functions; docs/archive.md is the format.

A frame begins with a header inside a zstd skippable frame (RFC 8878, section 3.1.2), so that `zstd -dc` on an archive
prints its JSON lines. In a data frame a zstd frame with the lines follows; in the others the payload is skipped too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import zstandard

VERSION: Final = 1
MAGIC: Final = b"\x5b\x2a\x4d\x18"  # 0x184D2A5B, one of the sixteen skippable magics
TAG: Final = b"TBA"

HEAD: Final = 0x48  # "H": who wrote, and under which rules
DATA: Final = 0x44  # "D": exchanges
INDEX: Final = 0x49  # "I": the table of data frames

# magic, skipped bytes, tag, version, kind, lengths of summary and payload, crc32 of the payload, its length once
# decompressed, count, 0, exchanges before, first and last start; then the crc32 of all this and the summary.
_FIXED: Final = struct.Struct("<4sI3sBB3xIIIIIIQqq")
_CRC: Final = struct.Struct("<I")
FIXED_BYTES: Final = _FIXED.size + _CRC.size
_SKIP_FROM: Final = 8
VERSION_AT: Final = 11

TRAILER: Final = struct.Struct("<Q8s")
TRAILER_TAG: Final = b"TBA:END\n"

# No line may make a frame that cannot be opened again in a small process.
MAX_LINE: Final = 256 << 20
_MAX_RAW: Final = 1 << 30
_MAX_SUMMARY: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHead:
    """A frame's header. `before`: exchanges that were written to the archive before this frame."""

    kind: int
    payload_bytes: int
    payload_crc: int
    raw_bytes: int
    count: int = 0
    before: int = 0
    min_ns: int = 0
    max_ns: int = 0
    summary: bytes = b""

    @property
    def head_bytes(self) -> int:
        """Where the payload begins, from the start of the frame."""
        return FIXED_BYTES + len(self.summary)

    @property
    def length(self) -> int:
        """The whole frame's."""
        return self.head_bytes + self.payload_bytes


class FrameDamagedError(ValueError):
    """The bytes are not the frame that was written."""


def pack(
    kind: int,
    payload: bytes,
    *,
    raw_bytes: int,
    count: int = 0,
    before: int = 0,
    min_ns: int = 0,
    max_ns: int = 0,
    summary: bytes = b"",
) -> bytes:
    """A frame: its header, `summary` (JSON) and `payload`, which is compressed already."""
    skipped = FIXED_BYTES - _SKIP_FROM + len(summary) + (0 if kind == DATA else len(payload))
    fixed = _FIXED.pack(
        MAGIC, skipped, TAG, VERSION, kind, len(summary), len(payload), crc32(payload), raw_bytes, count, 0, before,
        min_ns, max_ns,
    )  # fmt: skip
    return b"".join((fixed, _CRC.pack(crc32(summary, crc32(fixed))), summary, payload))


def parse_head(data: bytes | memoryview, at: int = 0) -> FrameHead | None:
    """The header that begins at `at`, or None when there is none, or no whole one. Its payload may be missing."""
    if len(data) - at < FIXED_BYTES or data[at : at + 4] != MAGIC:
        return None
    fixed = bytes(data[at : at + _FIXED.size])
    (_, _, tag, version, kind, summary_bytes, payload_bytes, payload_crc, raw_bytes, count, _, before, low, high) = (
        _FIXED.unpack(fixed)
    )
    if tag != TAG or version != VERSION or summary_bytes > _MAX_SUMMARY:
        return None
    from_, to = at + FIXED_BYTES, at + FIXED_BYTES + summary_bytes
    summary = bytes(data[from_:to])
    if len(summary) != summary_bytes or _CRC.unpack_from(data, at + _FIXED.size)[0] != crc32(summary, crc32(fixed)):
        return None
    return FrameHead(
        kind=kind, payload_bytes=payload_bytes, payload_crc=payload_crc, raw_bytes=raw_bytes, count=count,
        before=before, min_ns=low, max_ns=high, summary=summary,
    )  # fmt: skip


def summary_missing(data: bytes | memoryview, at: int = 0) -> int:
    """How many bytes of the header's summary lie beyond `data`; 0 when it is whole, or no header at all."""
    if len(data) - at < FIXED_BYTES:
        return 0
    summary_bytes: int = _FIXED.unpack_from(data, at)[5]
    return max(0, at + FIXED_BYTES + summary_bytes - len(data)) if summary_bytes <= _MAX_SUMMARY else 0


def compress(raw: bytes, level: int) -> bytes:
    """A payload, with its length written in."""
    return zstandard.ZstdCompressor(level=level).compress(raw)


def unpack(data: bytes) -> tuple[FrameHead, bytes]:
    """The header of a whole frame and its payload, decompressed. Raises FrameDamagedError."""
    head = parse_head(data)
    if head is None:
        raise FrameDamagedError("its header is not what was written")
    payload = memoryview(data)[head.head_bytes : head.length]
    if len(payload) != head.payload_bytes or crc32(payload) != head.payload_crc:
        raise FrameDamagedError("its checksum does not fit")
    # The frame's own word for its length is what the library would allocate.
    try:
        if head.raw_bytes > _MAX_RAW or zstandard.frame_content_size(payload) != head.raw_bytes:
            raise FrameDamagedError("its length does not fit")
        return head, zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError as error:
        raise FrameDamagedError(f"it cannot be decompressed: {error}") from None
