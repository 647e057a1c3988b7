"""Clocks: known offsets are found and put right, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.graph.clocks import Bond, settle_clocks
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.paths import find_critical_paths
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew, read_clock
from tracer_bullet.model import ClockSkew, Span, SpanKind, System
from tracer_bullet.traces import spans_to_table

MS = 1_000_000
SECOND = 1_000 * MS


def call(
    number: int, caller: str, callee: str, at: int, waited: int, out: int, took: int, ahead: int = 0
) -> list[Span]:
    """A client span of `waited` ns and its server, `out` ns after it by true time and on a clock `ahead` ns."""
    trace = f"{number + 1:032x}"
    begin = SECOND * 1000 + at

    def span(index: int, parent: int | None, kind: SpanKind, machine: str, start: int, end: int) -> Span:
        return Span(
            trace_id=trace,
            span_id=f"{index:016x}",
            parent_id=None if parent is None else f"{parent:016x}",
            name="n",
            kind=kind,
            service=machine,
            start_ns=start,
            end_ns=end,
            resource={"host.name": machine},
        )

    return [
        span(1, None, SpanKind.CLIENT, caller, begin, begin + waited),
        span(2, 1, SpanKind.SERVER, callee, begin + out + ahead, begin + out + took + ahead),
    ]


def calls(count: int, caller: str, callee: str, ahead: Callable[[int], int], seed: int = 1) -> list[Span]:
    """Calls one a second, with 0.1 to 2 ms on the way each way."""
    rng = random.Random(f"{seed}{caller}{callee}")
    found: list[Span] = []
    for index in range(count):
        out, took, back = rng.randrange(MS // 10, 2 * MS), rng.randrange(MS, 20 * MS), rng.randrange(MS // 10, 2 * MS)
        number = int.from_bytes((caller + callee).encode(), "big") * 100_000 + index
        found += call(number, caller, callee, index * SECOND, out + took + back, out, took, ahead(index))
    return found


def measured(spans: list[Span]) -> tuple[dict[tuple[str, str], ClockSkew], dict[str, int]]:
    with DuckEngine(spans_to_table(spans)) as engine:
        prepare(engine, System())
        skews = measure_skew(engine)
        return {(s.caller, s.callee): s for s in skews}, read_clock(engine)


@pytest.mark.parametrize("ahead", [50 * MS, -50 * MS, 3 * MS, 3600 * SECOND])
def test_a_known_offset_is_found_and_put_right(ahead: int) -> None:
    skews, clock = measured(calls(100, "a", "b", lambda _: ahead))
    skew = skews["a", "b"]
    assert skew.corrected
    assert skew.low_ms * MS <= ahead <= skew.high_ms * MS
    assert abs(skew.offset_ms * MS - ahead) < MS / 2
    # One is as good as the other: the first name's clock is right.
    assert clock == {"b": round(skew.offset_ms * MS)}


def test_equal_clocks_stay() -> None:
    skews, clock = measured(calls(100, "a", "b", lambda _: 0))
    assert (skews["a", "b"].offset_ms, skews["a", "b"].corrected, clock) == (0.0, False, {})
    assert skews["a", "b"].low_ms <= 0 <= skews["a", "b"].high_ms


def test_one_machine_of_many_is_moved_and_not_the_others() -> None:
    spans = [
        *calls(50, "a", "z", lambda _: 70 * MS),
        *calls(50, "b", "z", lambda _: 70 * MS),
        *calls(50, "a", "b", lambda _: 0),
        *calls(50, "z", "c", lambda _: -70 * MS),
        *calls(50, "b", "c", lambda _: 0),
    ]
    skews, clock = measured(spans)
    assert list(clock) == ["z"]
    assert abs(clock["z"] - 70 * MS) < MS / 2
    assert {ends for ends, s in skews.items() if s.corrected} == {("a", "z"), ("b", "z"), ("z", "c")}


def test_drift_is_marked_and_not_corrected() -> None:
    skews, clock = measured(calls(200, "a", "b", lambda i: 20 * MS + i * MS))
    assert not clock
    assert "drifts" in skews["a", "b"].reason
    skews, clock = measured(calls(200, "a", "b", lambda i: (20 if i < 100 else 25) * MS))
    assert not clock
    assert not skews["a", "b"].corrected
    assert "changes over time" in skews["a", "b"].reason


def test_too_few_calls_move_nothing() -> None:
    skews, clock = measured(calls(19, "a", "b", lambda _: 50 * MS))
    assert not clock
    assert "too few calls: 19" in skews["a", "b"].reason


def test_a_jumping_clock_is_marked() -> None:
    skews, clock = measured(calls(200, "a", "b", lambda i: 50 * MS * (i % 2)))
    assert not clock
    assert "drifts or jumps" in skews["a", "b"].reason


def test_a_few_strange_calls_do_not_matter() -> None:
    skews, clock = measured(calls(200, "a", "b", lambda i: 50 * MS + (500 * MS if i % 80 == 3 else 0)))
    assert skews["a", "b"].corrected
    assert abs(clock["b"] - 50 * MS) < MS / 2


def test_work_after_the_answer_is_no_skew() -> None:
    """Servers that answer at once and work on: some longer than their callers waited, some not."""
    rng = random.Random(3)
    spans: list[Span] = []
    for index in range(200):
        took = rng.randrange(2 * MS, 12 * MS)
        spans += call(index, "a", "b", index * SECOND, 10 * MS, rng.randrange(MS, 8 * MS), took)
    skews, clock = measured(spans)
    assert not clock
    assert not skews["a", "b"].corrected


def test_one_machine_or_unknown_machines_never_move() -> None:
    for machine in ("", "a"):
        skews, clock = measured(calls(100, machine, machine, lambda _: 50 * MS))
        assert (skews, clock) == ({}, {})


def test_contradicting_ways_move_nothing() -> None:
    spans = [
        *calls(50, "a", "b", lambda _: 50 * MS),
        *calls(50, "b", "c", lambda _: 50 * MS),
        *calls(50, "a", "c", lambda _: 0),
    ]
    skews, clock = measured(spans)
    assert not clock
    assert not any(s.corrected for s in skews.values())
    assert {s.reason for s in skews.values() if s.offset_ms} == {"calls by way of other machines say otherwise"}
    skews, clock = measured([*calls(50, "a", "b", lambda _: 50 * MS), *calls(50, "b", "a", lambda _: 50 * MS)])
    assert not clock
    assert {s.reason for s in skews.values()} == {"calls the other way say otherwise"}
    drifting = calls(200, "b", "a", lambda i: (-50 if i < 100 else -55) * MS)
    skews, clock = measured([*calls(50, "a", "b", lambda _: 50 * MS), *drifting])
    assert not clock
    assert skews["a", "b"].reason == "calls the other way say otherwise"
    assert "changes over time" in skews["b", "a"].reason
    skews, clock = measured([*calls(50, "a", "b", lambda _: 50 * MS), *calls(50, "b", "a", lambda _: -50 * MS)])
    assert list(clock) == ["b"]
    assert all(s.corrected for s in skews.values())


def test_few_calls_go_along_with_those_who_know() -> None:
    """c shares b's clock and is called by it alone, too seldom to be judged: both are moved together."""
    many = [span for machine in "adef" for span in calls(50, machine, "b", lambda _: 50 * MS)]
    skews, clock = measured([*many, *calls(5, "b", "c", lambda _: 0)])
    assert set(clock) == {"b", "c"}
    assert clock["b"] == clock["c"]
    assert not skews["b", "c"].corrected


def test_the_critical_path_is_that_of_corrected_times() -> None:
    spans = calls(100, "a", "b", lambda _: 0)
    skewed = calls(100, "a", "b", lambda _: 30 * MS)

    def shares(some: list[Span], *, correct: bool) -> dict[str, float]:
        with DuckEngine(spans_to_table(some)) as engine:
            prepare(engine, System())
            measure_skew(engine)
            if not correct:
                engine.fill("clock", (("machine", "VARCHAR"), ("offset_ns", "BIGINT")), [])
            return {s.service: s.exclusive_ms for s in find_critical_paths(engine).shares}

    true = shares(spans, correct=False)
    assert shares(skewed, correct=True)["b"] == pytest.approx(true["b"], rel=0.05)
    assert shares(skewed, correct=False).get("b", 0) < 0.5 * true["b"]


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from((0, 0, 5, -7, 40)), min_size=2), st.data())
def test_true_offsets_come_back_whatever_the_bonds(true: dict[str, int], data: st.DataObject) -> None:
    """Firm bonds around the truth, at least a tree of them, in any order: no conflict, and differences within them."""
    names = sorted(true)
    ends = [(names[data.draw(st.integers(0, i - 1))], names[i]) for i in range(1, len(names))]
    ends += [(a, b) for a in names for b in names if a < b and data.draw(st.booleans())]
    bonds = [
        Bond(one=a, other=b, calls=data.draw(st.integers(1, 9)), firm=True, low_ns=ns, high_ns=ns)
        for a, b in ends
        for ns in (true[b] - true[a],)
    ]
    clock, conflicts = settle_clocks(data.draw(st.permutations(bonds)))
    assert not conflicts
    assert 0 not in clock.values()
    shift = {true[n] - clock.get(n, 0) for n in names}
    assert len(shift) == 1
    assert shift <= set(true.values())
