"""Filling slots: what is around them stays byte by byte, and the head stays a head."""

from __future__ import annotations

import base64
import json
import random
import re
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.schedule.carriers import Carriers
from tracer_bullet.engine.schedule.slots import SlotError, encode, fill
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Slot
from tracer_bullet.traces.ids import in_share, rows_in_share

TOKEN = st.binary(min_size=1, max_size=20).map(lambda raw: raw.hex().encode())
TEXT = st.text(st.characters(codec="utf-8"), max_size=20).map(str.encode)
DECODE = {
    "raw": lambda raw: raw,
    "percent": unquote_to_bytes,
    "json": lambda raw: json.loads(b'"' + raw + b'"').encode(),
    "base64": base64.b64decode,
}


@given(TEXT, st.sampled_from(sorted(DECODE)))
def test_a_value_comes_back_out_of_its_encoding(value: bytes, encoding: str) -> None:
    assert DECODE[encoding](encode(value, encoding)) == value


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[Slot], dict[str, bytes], bytes]:
    """A body, its slots, their values, and what must come of it."""
    before, after, slots, values = b"", b"", [], {}
    for n in range(draw(st.integers(0, 5))):
        between, captured, value = draw(TEXT), draw(TOKEN), draw(TEXT)
        encoding = draw(st.sampled_from(sorted(DECODE)))
        slots.append(Slot("body", len(before + between), len(captured), f"v{n}", encoding))
        values[f"v{n}"] = value
        before, after = before + between + captured, after + between + encode(value, encoding)
    tail = draw(TEXT)
    return before + tail, draw(st.permutations(slots)), values, after + tail


@given(bodies(), TOKEN, TOKEN, st.booleans(), st.sampled_from(["content-length", "Content-Length", "CONTENT-LENGTH"]))
def test_only_slots_change_and_the_length_is_right(
    made: tuple[bytes, list[Slot], dict[str, bytes], bytes], captured: bytes, value: bytes, in_target: bool, name: str
) -> None:
    body, slots, values, expected = made
    head = (
        f"POST /a/{captured.decode()}/b HTTP/1.1\r\nhost: h\r\nx-content-length: 7\r\n{name}: {len(body)}\r\n"
        f"authorization: Bearer {captured.decode()}\r\n"
    ).encode()
    at = head.index(captured) if in_target else head.rindex(captured)
    slots = [*slots, Slot("head", at, len(captured), "head")]
    new_head, new_body = fill(head, body, slots, {**values, "head": value})
    assert new_body == expected
    wanted = head[:at] + value + head[at + len(captured) :]
    lines = [f"\r\n{name}: {len(text)}\r\n".encode() for text in (body, expected)]
    assert new_head == wanted.replace(*lines)


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\0b", b"a HTTP/1.1"])
def test_a_value_cannot_break_the_head_apart(value: bytes) -> None:
    head = b"GET /CAPTURED HTTP/1.1\r\nhost: h\r\n"
    with pytest.raises(SlotError):
        fill(head, b"", [Slot("head", 5, 8, "v")], {"v": value})
    assert fill(head, b"", [Slot("head", 5, 8, "v", "percent")], {"v": value})[0].count(b"\r\n") == 2


@pytest.mark.parametrize("value", [b"", b".", b".."])
def test_a_value_cannot_make_the_path_another_one(value: bytes) -> None:
    head = b"DELETE /orders/17/items?after=17 HTTP/1.1\r\nhost: h\r\nx-order: 17\r\n"
    with pytest.raises(SlotError):
        fill(head, b"", [Slot("head", head.index(b"17/"), 2, "v", "percent")], {"v": value})
    with pytest.raises(SlotError):
        fill(b"DELETE /orders/17 HTTP/1.1\r\n", b"", [Slot("head", 15, 2, "v", "percent")], {"v": value})
    for at in (head.index(b"17 "), head.index(b"17\r")):
        assert fill(head, b"", [Slot("head", at, 2, "v", "percent")], {"v": value})[0] == (
            head[:at] + value + head[at + 2 :]
        )


@pytest.mark.parametrize("slots", [[(0, 99)], [(0, 5), (3, 4)]])
def test_slots_that_lie_outside_or_over_one_another_are_refused(slots: list[tuple[int, int]]) -> None:
    with pytest.raises(SlotError):
        fill(b"GET / HTTP/1.1\r\n", b"0123456789", [Slot("body", *s, "v") for s in slots], {"v": b""})


@given(st.integers(), st.booleans(), st.lists(TOKEN.map(bytes.decode), max_size=3))
def test_carriers_are_header_lines_with_ids_of_their_own(seed: int, flagged: bool, tokens: list[str]) -> None:
    settings = EngineSettings(baggage="a=b" if flagged else "", flag_lines=tuple(f"x-{t}: {t}" for t in tokens))
    carriers = Carriers(settings, random.Random(seed).randbytes)
    seen = set()
    for n in range(600):  # more than one draw
        shot = Shot(n, 0, 0, 0, 0, b"", b"")
        carriers.stamp(shot, carriers.new_trace())
        lines = shot.carriers.decode().split("\r\n")
        assert lines.pop() == ""
        trace, span = shot.trace.decode(), shot.span.decode()
        assert (len(bytes.fromhex(trace)), len(bytes.fromhex(span))) == (16, 8)
        assert lines.pop(0) == f"traceparent: 00-{trace}-{span}-01"
        if flagged:
            assert lines.pop(0) == f"baggage: a=b,request_id={span}"
        assert lines == [f"x-{t}: {t}" for t in tokens]
        seen.add(shot.span)
    assert len(seen) == 600


SHARES = st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]) | st.floats(0, 1)


@given(st.integers(), SHARES, SHARES, st.booleans())
def test_the_flag_of_a_trace_follows_from_its_id_as_everybody_else_chooses(
    seed: int, share: float, smaller: float, flagged: bool
) -> None:
    settings = EngineSettings(baggage="a=b" if flagged else "", flag_lines=("x: y",), trace_share=share)
    carriers, plain = Carriers(settings), Carriers(replace(settings, trace_share=1.0))
    chance = random.Random(seed)
    edges = [int(share * 2**64) + d for d in (-1, 0, 1)] + [0, 2**64 - 1]
    for low in [*(e % 2**64 for e in edges), *(chance.getrandbits(64) for _ in range(20))]:
        trace = f"{chance.getrandbits(64):016x}{low:016x}".encode()
        shots = [Shot(n, 0, 0, 0, 0, b"", b"") for n in range(3)]
        for shot in shots:
            carriers.stamp(shot, trace)
        flags = {shot.carriers.split(b"\r\n")[0][-2:] for shot in shots}
        assert flags == {b"01" if in_share(low, share) else b"00"}  # all requests of a trace agree
        assert bool(rows_in_share(np.array([low], np.uint64), share)[0]) == in_share(low, share)
        if smaller <= share and in_share(low, smaller):
            assert flags == {b"01"}  # what a receiver or an audit chooses of them was sampled
        plain.stamp(shots[0], trace)
        same = re.sub(rb"-0[01]\r\n", b"-0?\r\n", shots[1].carriers.replace(shots[1].span, b"S"))
        assert re.sub(rb"-0[01]\r\n", b"-0?\r\n", shots[0].carriers.replace(shots[0].span, b"S")) == same


def test_the_share_is_a_share() -> None:
    carriers, sampled = Carriers(EngineSettings(trace_share=0.2), random.Random(7).randbytes), 0
    for n in range(5000):
        shot = Shot(n, 0, 0, 0, 0, b"", b"")
        carriers.stamp(shot, carriers.new_trace())
        sampled += shot.carriers.endswith(b"-01\r\n")
    assert 900 < sampled < 1100
