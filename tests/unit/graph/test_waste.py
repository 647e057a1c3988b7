"""Wasteful shapes on traces of which the answer is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.span_makers import make_span, prepared
from tracer_bullet.graph.ceilings import ceiling_of
from tracer_bullet.graph.waste import find_waste
from tracer_bullet.model import Distribution, Pattern, Span, SpanKind, Waste

SERVER, CLIENT = SpanKind.SERVER, SpanKind.CLIENT
STORE = {"db__system": "sqlite", "db__name": "/a.db"}


def page(
    calls: list[tuple[float, float]], *, trace: int = 1, names: str = "", failed: str = "", **more: str
) -> list[Span]:
    """A request with store calls of (start, end) ms; `names` and `failed`: a letter each."""
    end = max(e for _, e in calls) + 5
    names, failed = names or "q" * len(calls), failed or "." * len(calls)
    return [
        make_span(1, None, SERVER, "web", 0, end, name="GET /", trace=trace),
        *(
            make_span(
                10 + i, 1, CLIENT, "web", a, b, name=names[i], failed=failed[i] == "x", trace=trace, **STORE, **more
            )
            for i, (a, b) in enumerate(calls)
        ),
    ]


def found(spans: list[Span], shape: Waste | None = None) -> list[Pattern]:
    with prepared(spans) as engine:
        return [p for p in find_waste(engine) if shape in (None, p.waste)]


def in_a_row(lengths: list[float], gap: float = 0.1, start: float = 5) -> list[tuple[float, float]]:
    calls = []
    for length in lengths:
        calls.append((start, start + length))
        start += length + gap
    return calls


def test_repeated_calls_are_one_finding_with_what_one_call_would_save() -> None:
    spans = [*page(in_a_row([2.0] * 11)), *page(in_a_row([2.0] * 15), trace=2), *page(in_a_row([2.0] * 10), trace=3)]
    (pattern,) = found(spans, Waste.REPEATED)
    assert (pattern.service, pattern.operation, pattern.target) == ("web", "GET /", "store:sqlite//a.db")
    assert (pattern.traces, pattern.times) == (2, 2)
    assert pattern.cost_ms == pytest.approx(20)
    assert pattern.message == "`q` to /a.db: 11 calls under one span, one could ask for all"
    assert pattern.example_trace_ids == (f"{1:032x}", f"{2:032x}")


def test_repeated_calls_are_not_told_again_as_neighbours() -> None:
    spans = [*page(in_a_row([2.0] * 11)), *page(in_a_row([2.0] * 10), trace=2)]
    (pattern,) = found(spans, Waste.SEQUENTIAL)
    assert (pattern.times, pattern.example_trace_ids) == (9, (f"{2:032x}",))


def test_calls_of_other_lengths_names_or_at_once_are_not_that() -> None:
    assert not found(page(in_a_row([2.0] * 10 + [50.0] * 5)), Waste.REPEATED)
    assert not found(page(in_a_row([2.0] * 14), names="abababababababa"), Waste.REPEATED)
    (pattern,) = found(page([(5.0, 7.0)] * 12), Waste.REPEATED)
    assert pattern.cost_ms == 0


def test_messages_sent_one_by_one_are_repeated_but_nobody_waits_for_them() -> None:
    queue = {"messaging__system": "kafka", "messaging__destination__name": "q"}
    sends = [make_span(10 + i, 1, SpanKind.PRODUCER, "web", 5 * i, 5 * i + 5, **queue) for i in range(11)]
    (pattern,) = found([make_span(1, None, SERVER, "web", 0, 60), *sends])
    assert (pattern.waste, pattern.target, pattern.cost_ms) == (Waste.REPEATED, "queue:kafka/q", 50)
    assert not found([make_span(1, None, SERVER, "web", 0, 60), *sends[:9]])


def test_a_retry_costs_until_it_is_sent_again() -> None:
    (pattern,) = found(page([(5, 15), (20, 22), (22, 30)], failed="x.."), Waste.RETRY)
    assert (pattern.times, pattern.cost_ms) == (1, 15)
    assert not found(page([(5, 15), (14, 22)], failed="x."), Waste.RETRY)
    assert not found(page([(5, 15), (20, 22)], names="ab", failed="x."), Waste.RETRY)
    assert not found(page([(5, 15), (20, 22)]), Waste.RETRY)


def test_what_says_that_it_was_sent_again_is_believed() -> None:
    call = {"server__address": "pay", "name": "POST"}
    spans = [
        make_span(1, None, SERVER, "web", 0, 50),
        make_span(2, 1, CLIENT, "web", 1, 10, **call),
        make_span(3, 1, CLIENT, "web", 12, 20, http__request__resend_count="1", **call),
        make_span(4, 1, CLIENT, "web", 30, 40, http__request__resend_count="0", **call),
    ]
    (pattern,) = found(spans, Waste.RETRY)
    assert (pattern.times, pattern.cost_ms, pattern.target) == (1, 11, "peer:pay")


def test_neighbours_could_run_at_the_same_time() -> None:
    (pattern,) = found(page([(5, 15), (15.2, 35)], names="ab"))
    assert (pattern.waste, pattern.times, pattern.cost_ms) == (Waste.SEQUENTIAL, 1, 10)
    assert pattern.message.startswith("`b` to /a.db waits for `a` to /a.db: if it does not need the answer")
    for calls, why in (
        ([(5, 15), (14, 35)], "they overlap"),
        ([(5, 15), (17, 35)], "the caller works between"),
        ([(5, 5.1), (5.1, 90)], "too little to save"),
    ):
        assert not found(page(calls, names="ab")), why
    assert not found(page([(5, 30), (6, 16), (16, 28)], names="abc")), "another call runs beside them"
    assert not found(page([(5, 15), (15, 35)], names="ab", failed="x.")), "the first failed"


def test_a_clock_that_begins_in_1970_does_not_leave_64_bits() -> None:
    now = 1.7e12
    assert not found(page([(0, 20), (now, now + 20)], names="ab"))
    late = 9.2e12
    assert not found(page([(0, late)] * 11), Waste.SEQUENTIAL)


@settings(max_examples=20)
@given(st.lists(st.integers(3, 9), min_size=2, max_size=6))
def test_what_neighbours_save_is_never_more_than_running_all_at_once(lengths: list[int]) -> None:
    names = "abcdef"[: len(lengths)]
    patterns = found(page(in_a_row([float(n) for n in lengths], gap=0, start=0), names=names), Waste.SEQUENTIAL)
    saved = sum(p.cost_ms for p in patterns)
    assert saved <= sum(lengths) - max(lengths) + 1e-9
    wanted = [min(a, b) for a, b in pairwise(lengths) if min(a, b) * 50 >= sum(lengths) + 5]
    assert sorted(p.cost_ms for p in patterns) == sorted(wanted)


def test_work_for_a_caller_that_gave_up() -> None:
    def call(trace: int, gave_up: float, worked: float, *, failed: bool = True, host: str = "") -> list[Span]:
        return [
            make_span(1, None, CLIENT, "web", 0, gave_up, failed=failed, trace=trace, host=host),
            make_span(2, 1, SERVER, "cart", 5, worked, name="GET /cart", trace=trace, host=host),
        ]

    (pattern,) = found([*call(1, 100, 305), *call(2, 100, 405), *call(3, 100, 505)])
    assert (pattern.waste, pattern.service, pattern.target) == (Waste.TIMEOUT, "web", "service:cart")
    assert (pattern.times, pattern.traces, pattern.cost_ms) == (3, 3, 300)
    assert not found(call(1, 100, 305, failed=False)), "the caller did not fail"
    assert not found(call(1, 100, 104)), "two clocks, and no longer than the caller waited"
    (pattern,) = found(call(1, 100, 104, host="h"))
    assert pattern.cost_ms == 4


def test_a_time_out_longer_than_the_callers_one() -> None:
    spans: list[Span] = []
    for trace in range(1, 6):
        spans += [
            make_span(1, None, CLIENT, "web", 0, 1000 + trace / 10, failed=True, trace=trace),
            make_span(2, 1, SERVER, "cart", 1, 900, trace=trace),
            make_span(3, 2, CLIENT, "cart", 2, 5002 + trace / 10, failed=True, trace=trace, server__address="pay"),
        ]
    spans.append(make_span(1, None, CLIENT, "web", 0, 400, trace=9))
    spans.append(make_span(2, 1, SERVER, "cart", 1, 300, trace=9))
    (pattern,) = found(spans, Waste.TIMEOUT)
    assert (pattern.service, pattern.target, pattern.times, pattern.traces) == ("cart", "peer:pay", 5, 5)
    assert pattern.cost_ms == pytest.approx(4000, abs=1)
    assert "after 5,000 ms, but its caller web gives up after 1,000 ms" in pattern.message
    assert len(pattern.example_trace_ids) == 3


def test_a_ceiling_is_where_failed_calls_end_and_none_goes_beyond() -> None:
    def of(*ms: float) -> Distribution:
        return Distribution.of(round(m * 1e6) for m in ms)

    ceiling = ceiling_of(of(100, 1000, 1001, 1002), of(5, 900))
    assert ceiling is not None
    assert ceiling[0] == 1002e6
    assert 900e6 < ceiling[1] <= 1000e6
    assert ceiling_of(of(1000, 1001), of(5)) is None
    assert ceiling_of(of(1000, 1001, 1002), of(2000)) is None
    assert ceiling_of(of(10, 200, 300, 400, 500, 1000, 1001, 1002), of(5)) is None


def test_places_are_few_and_those_that_cost_most() -> None:
    numbers = count(1)
    spans = [s for i in range(1, 131) for s in page([(5, 5 + i), (5 + i, 5 + 2 * i)], names="aa", trace=next(numbers))]
    named = [Span(**{**{f: getattr(s, f) for f in s.__slots__}, "name": f"{s.name}{s.trace_id}"}) for s in spans]
    patterns = found(named)
    assert len(patterns) == 100
    costs = [p.cost_ms for p in patterns]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == 130


def test_a_scenarios_steps_are_no_waste() -> None:
    spans = page(in_a_row([20, 20, 20]))
    assert found(spans, Waste.SEQUENTIAL)
    fired = [replace(s, service="tracer-bullet") if s.service == "web" else s for s in spans]
    assert found(fired) == []
