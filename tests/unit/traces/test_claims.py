"""Claim: a trace that is not of the share can be claimed for a while, whole, and memory is bounded."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.otlp import PROTOBUF, to_protobuf
from tests.unit.traces.test_receiver import a_span, post
from tracer_bullet.model import Span
from tracer_bullet.traces import Limits, Receiver, Recent
from tracer_bullet.traces.buffer import SpanBuffer
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.ids import in_share, trace_halves
from tracer_bullet.traces.recent import RecentSpans

IDS = [f"{n % 3:016x}{n * 2**64 // 12:016x}" for n in range(1, 12)]
STEPS = st.lists(
    st.tuples(st.just("add"), st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    | st.tuples(st.just("claim"), st.lists(st.sampled_from(IDS), max_size=3)),
    max_size=20,
)


def columns(trace_ids: list[str], first: int) -> SpanColumns:
    made = SpanColumns()
    for n, trace_id in enumerate(trace_ids):
        made.add_span(a_span(trace_id, f"{first + n:016x}"))
    return made


@settings(max_examples=60)
@given(STEPS, st.sampled_from([0.0, 0.3, 0.7]))
def test_what_is_held_is_the_share_and_what_was_claimed(steps: list[tuple[str, list[str]]], share: float) -> None:
    buffer = SpanBuffer(10_000)
    buffer.keep_share(share, recent=Recent())
    sent: dict[str, list[str]] = {trace_id: [] for trace_id in IDS}
    claimed: set[str] = set()
    number = 1
    for what, trace_ids in steps:
        if what == "claim":
            assert buffer.claim(trace_ids) == len(set(trace_ids) - claimed)
            claimed |= set(trace_ids)
            continue
        assert buffer.add(columns(trace_ids, number))
        for trace_id in trace_ids:
            sent[trace_id].append(f"{number:016x}")
            number += 1
    found = buffer.spans(IDS)
    for trace_id in IDS:
        kept = trace_id in claimed or in_share(trace_halves(trace_id)[1], share)
        assert sorted(s.span_id for s in found[trace_id]) == (sent[trace_id] if kept else []), trace_id
    assert buffer.table().num_rows == sum(map(len, found.values()))


def test_over_the_wire() -> None:
    early, late, other = (f"{n:032x}".replace("0" * 17, "f" * 17, 1) for n in (1, 2, 3))
    with Receiver() as receiver:
        receiver.keep_share(0.0, recent=Recent())
        post(receiver, to_protobuf([a_span(early), a_span(other)]), PROTOBUF)
        assert receiver.spans([early]) == {early: []}
        before = receiver.wait(0, 0)
        assert receiver.claim([early.upper(), late]) == 2
        assert receiver.wait(before, 0) > before, "whoever waits for spans is told"
        post(receiver, to_protobuf([a_span(late), a_span(early, "2" * 16)]), PROTOBUF)
        found = receiver.spans([early, late, other])
        assert {trace_id: len(spans) for trace_id, spans in found.items()} == {early: 2, late: 1, other: 0}
        assert receiver.claim([early]) == 0, "a claim is one"
        with pytest.raises(ValueError, match="hex"):
            receiver.claim(["no id"])


def test_without_recent_nothing_can_be_claimed() -> None:
    with Receiver() as receiver:
        receiver.keep_share(0.0)
        post(receiver, to_protobuf([a_span()]), PROTOBUF)
        assert receiver.claim(["a" * 32]) == 0
        assert receiver.spans(["a" * 32]) == {"a" * 32: []}


def test_claims_are_bounded() -> None:
    buffer = SpanBuffer(100)
    buffer.keep_share(0.0, recent=Recent(claims=3))
    assert buffer.claim(IDS[:2]) == 2
    assert buffer.claim(IDS) == 1
    assert buffer.claim(IDS) == 0


def test_claims_never_pass_the_limit_of_spans() -> None:
    buffer = SpanBuffer(5)
    buffer.keep_share(0.0, recent=Recent())
    for n in range(4):
        assert buffer.add(columns([IDS[0]] * 4, 10 * n + 1))
    buffer.claim([IDS[0]])
    assert len(buffer.spans([IDS[0]])[IDS[0]]) == 4, "of parts that came together, those that fit"


def batch(trace_ids: list[str], first: int = 1) -> object:
    return columns(trace_ids, first).to_arrow()


def test_time_and_memory_bound_what_waits() -> None:
    now = 0.0
    recent = RecentSpans(Recent(seconds=10), clock=lambda: now)
    recent.add(batch([IDS[0]]))
    now = 5.0
    recent.add(batch([IDS[1]]))
    now = 10.5
    halves = [trace_halves(i) for i in IDS[:2]]
    assert [b.num_rows for b in recent.take(halves)] == [1], "the first is too old"
    assert recent.bytes == 0
    small = RecentSpans(Recent(bytes=4000), clock=lambda: now)
    for n in range(200):
        small.add(batch([IDS[0]], n + 1))
        assert small.bytes <= 4000
    assert 0 < sum(b.num_rows for b in small.take(halves)) < 200


def test_same_low_half_is_not_the_same_trace() -> None:
    one, other = "1" * 16 + "a" * 16, "2" * 16 + "a" * 16
    recent = RecentSpans(Recent())
    recent.add(batch([one, other]))
    (taken,) = recent.take([trace_halves(one)])
    assert taken.num_rows == 1
    assert [b.num_rows for b in recent.take([trace_halves(other)])] == [1]


def test_senders_and_claims_at_once() -> None:
    buffer = SpanBuffer(100_000)
    buffer.keep_share(0.0, recent=Recent())
    ids = [f"{n:016x}{'f' * 16}" for n in range(1, 200)]

    def send() -> None:
        for n, trace_id in enumerate(ids):
            buffer.add(columns([trace_id] * 3, 3 * n + 1))

    thread = threading.Thread(target=send)
    thread.start()
    for trace_id in ids:
        buffer.claim([trace_id])
    thread.join()
    found: dict[str, list[Span]] = buffer.spans(ids)
    assert {len(spans) for spans in found.values()} == {3}


def test_limits_do_not_refuse_what_is_not_held() -> None:
    with Receiver(limits=Limits(max_spans=10)) as receiver:
        receiver.keep_share(0.0, recent=Recent())
        for n in range(5):
            body = to_protobuf([a_span(f"{n + 1:016x}{'f' * 16}", f"{k + 1:016x}") for k in range(8)])
            assert post(receiver, body, PROTOBUF).status_code == 200
