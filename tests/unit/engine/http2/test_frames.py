"""Frames are cut the same however the bytes come, and no bytes at all upset the connection."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.volley import QUICK, shot
from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.http2.connection import Connection
from tracer_bullet.engine.http2.dialect import PlainHttp, request_fields, status_of
from tracer_bullet.engine.http2.frames import LONGEST, Frame, FrameCutter, FrameError, read_goaway
from tracer_bullet.engine.settings import EngineSettings


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


FRAMES = st.builds(frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 12), st.binary(max_size=60))


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_are_cut_the_same_however_they_come(frames: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    cutter = FrameCutter()
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = [f.raw for piece in pieces for f in cutter.cut(piece)]
    assert found == frames


def test_the_header_is_read() -> None:
    (found,) = FrameCutter().cut(frame(0x7, 1, 0x80000005, b"12345678"))
    assert (found.kind, found.stream_id) == (7, 5)


def test_a_frame_longer_than_allowed_is_refused() -> None:
    with pytest.raises(FrameError):
        list(FrameCutter().cut((LONGEST + 1).to_bytes(3, "big") + bytes(6)))


@given(st.binary(max_size=12), st.integers(0, 3))
def test_a_goaway_is_read_or_refused(payload: bytes, stream: int) -> None:
    raw = frame(0x7, 0, stream, payload)
    if len(payload) < 8 or stream:
        with pytest.raises(FrameError):
            read_goaway(Frame(7, stream, raw))
    else:
        assert read_goaway(Frame(7, stream, raw)).last_stream_id == int.from_bytes(payload[:4], "big") & 0x7FFFFFFF


class _Transport:
    """The few methods of a transport that a connection calls."""

    def __init__(self) -> None:
        self.closed = False
        self.written = b""

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int) -> None: ...


class _Owner:
    settings: EngineSettings = QUICK
    dialect = PlainHttp()
    scheme, authority = b"http", b"shop.test"
    streams = 100

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(1 << 16))
        self.back: list[int] = []

    def ended(self, shot: Shot) -> None:
        self.back.append(shot.number)

    unprocessed = ended

    def room(self) -> None: ...

    def gone(self, connection: Connection) -> None: ...


SETTINGS = frame(0x4, 0, 0, b"")


@given(st.lists(st.one_of(FRAMES, st.binary(max_size=40)), max_size=12))
def test_any_bytes_end_each_shot_exactly_once(parts: list[bytes]) -> None:
    owner, transport = _Owner(), _Transport()
    connection = Connection(owner)
    connection.connection_made(cast("Any", transport))
    for n in range(5):
        connection.start(shot(n, method="POST", body=b"x" * 100_000 if n == 4 else b""))
    for part in [SETTINGS, *parts]:
        if not transport.closed:
            owner.buffer[: len(part)] = part
            connection.buffer_updated(len(part))
    left = [s.number for s in connection.take_back()] if not transport.closed else []
    connection.connection_lost(None)
    assert sorted([*owner.back, *left]) == list(range(5))


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_head_becomes_fields_or_a_value_error(head: bytes, carriers: bytes) -> None:
    try:
        fields = request_fields(head, carriers, b"https", b"a.test")
    except ValueError:
        return
    assert [f[0] for f in fields[:4]] == [b":method", b":scheme", b":authority", b":path"]
    assert all(name == name.lower() and b"\r\n" not in value for name, value in fields)


@given(st.lists(st.tuples(st.sampled_from([b":status", b"a"]), st.binary(max_size=4)), max_size=3))
def test_any_status_is_a_number_of_three_digits_or_none(fields: list[tuple[bytes, bytes]]) -> None:
    assert 0 <= status_of(fields) <= 999


def test_the_loop_is_not_needed_to_read() -> None:
    """`Connection` is driven by its transport alone: what the tests above rely on."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
