"""Bytes of inputs: inflated, in UTF-8, bounded."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.stream import (
    CUT_SHORT,
    DAMAGED,
    NO_UNICODE,
    UNREADABLE,
    chunks,
    inflate_frame,
    peek,
)

TEXT = '{"a": "ü€😀"}' + " " * 100
ZSTD = zstandard.ZstdCompressor()


def content(data: bytes, size: int = 7) -> tuple[bytes, Losses]:
    losses = Losses()
    return b"".join(chunks(io.BytesIO(data), losses, size=size)), losses


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT.encode()) + b"\0" * 512,
        gzip.compress(TEXT.encode()[:9]) + gzip.compress(TEXT.encode()[9:]),
        ZSTD.compress(TEXT.encode()),
        ZSTD.compress(TEXT.encode()[:9]) + ZSTD.compress(TEXT.encode()[9:]),
        gzip.compress(ZSTD.compress(TEXT.encode("utf-16"))),
    ],
    ids=["plain", "bom", "utf16", "le", "be", "be-bom", "gzip", "padded", "members", "zstd", "frames", "nested"],
)
def test_every_way_to_write_a_text_gives_the_text(data: bytes, size: int) -> None:
    out, losses = content(data, size)
    assert out.decode() == TEXT
    assert not losses.lost
    assert not losses.repaired


@pytest.mark.parametrize("compress", [gzip.compress, ZSTD.compress], ids=["gzip", "zstd"])
def test_a_cut_file_gives_its_beginning(compress: object) -> None:
    raw = os.urandom(100_000)
    packed = compress(raw)  # type: ignore[operator]
    out, losses = content(packed[:-5_000], 4096)
    assert raw.startswith(out)
    assert losses.lost == {CUT_SHORT: 1}


@pytest.mark.parametrize("compress", [gzip.compress, ZSTD.compress], ids=["gzip", "zstd"])
def test_a_damaged_file_is_told(compress: object) -> None:
    packed = bytearray(compress(bytes(range(256)) * 2000))  # type: ignore[operator]
    packed[12:30] = b"\xff" * 18
    assert sum(content(bytes(packed), 4096)[1].lost[reason] for reason in (DAMAGED, CUT_SHORT)) == 1


@given(st.binary(max_size=50), st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\x1f\x8b\x08\0"]))
def test_any_bytes_raise_nothing(data: bytes, head: bytes) -> None:
    content(head + data)


def bombs() -> list[bytes]:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(512)) + deflate.flush()
    writer = zstandard.ZstdCompressor(level=19).compressobj()
    return [packed, b"".join(writer.compress(bytes(1 << 20)) for _ in range(512)) + writer.flush()]


@pytest.mark.parametrize("bomb", bombs(), ids=["gzip", "zstd"])
def test_what_inflates_without_end_is_never_held(bomb: bytes) -> None:
    assert len(bomb) < 600_000
    tracemalloc.start()
    try:
        size = sum(map(len, chunks(io.BytesIO(bomb), Losses())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 512 << 20
    assert peak < 150 << 20


def test_a_frame_has_a_bound() -> None:
    assert inflate_frame(ZSTD.compress(b"abc"), 3) == b"abc"
    for frame, most in ((ZSTD.compress(b"abcd"), 3), (b"\x28\xb5\x2f\xfdxxx", 9), (ZSTD.compress(b"abcd")[:-2], 9)):
        with pytest.raises(ValueError):
            inflate_frame(frame, most)


def test_half_a_character_of_utf16_is_replaced() -> None:
    out, losses = content('{"a": 1}'.encode("utf-16") + b"x")
    assert out.decode() == '{"a": 1}\ufffd'
    assert losses.repaired == {NO_UNICODE: 1}


def test_an_input_that_fails_half_way_gives_its_beginning() -> None:
    class Failing:
        def __init__(self) -> None:
            self.pieces = [b"[1", b",2"]

        def read(self, size: int) -> bytes:
            if not self.pieces:
                raise OSError("disk gone")
            return self.pieces.pop(0)

    losses = Losses()
    assert b"".join(chunks(Failing(), losses)) == b"[1,2"
    assert losses.lost == {UNREADABLE: 1}


def test_peeking_takes_nothing_away() -> None:
    head, rest = peek(iter([b"ab", b"cd", b"ef"]), 3)
    assert (head, b"".join(rest)) == (b"abc", b"abcdef")
