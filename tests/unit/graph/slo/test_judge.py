"""Objectives on calls of which the answer is known: exact counts, windows, and when calls are too few to tell."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.slo.calls import HOUR, MINUTE, MS, START, availability, call, engine_of, latency
from tracer_bullet.graph.slo import judge_objectives
from tracer_bullet.model import Objective, ObjectiveVerdict, Span


def judged(spans: list[Span], *objectives: Objective) -> list[ObjectiveVerdict]:
    with engine_of(spans) as engine:
        return list(judge_objectives(engine, objectives))


def test_the_threshold_is_exact_to_the_nanosecond() -> None:
    """A bucket of the analysis is 2 % wide; 300 ms and one nanosecond more are in the same one."""
    spans = [call(i, i * MINUTE, ms=300) for i in range(990)] + [
        replace(call(i, i * MINUTE, ms=300), end_ns=START + i * MINUTE + 300 * MS + 1) for i in range(990, 1000)
    ]
    (verdict,) = judged(spans, latency(0.99, 300))
    assert (verdict.calls, verdict.good, verdict.measured_ms) == (1000, 990, 300.0)


@pytest.mark.parametrize(
    ("calls", "slow", "met"),
    [(20, 0, None), (380, 0, None), (381, 0, True), (20, 1, None), (100, 10, False), (10_000, 60, True)],
)
def test_too_few_calls_are_no_verdict(calls: int, slow: int, met: bool | None) -> None:
    """381 calls without a bad one are the fewest that show 99 %: n / (n + 1.96²) ≥ 0.99."""
    spans = [call(i, i * 100 * MS, ms=500 if i < slow else 5) for i in range(calls)]
    (verdict,) = judged(spans, latency(0.99, 300, window_s=3600))
    assert verdict.met is met
    assert verdict.message.startswith("too few calls to tell") is (met is None)
    assert ("it takes 381 calls" in verdict.message) is (met is None and calls < 381)


def test_windows_are_aligned_to_the_epoch_and_the_worst_one_is_named() -> None:
    """Ten windows of five minutes, the seventh of them bad; a call counts where it began."""
    spans = [
        call(100 * w + i, w * 5 * MINUTE + i * 2_900 * MS, ms=400 if w == 6 and i < 40 else 20)
        for w in range(10)
        for i in range(100)
    ]
    (verdict,) = judged(spans, latency(0.9, 300))
    assert (verdict.windows, verdict.windows_missed, verdict.worst_share) == (10, 1, 0.6)
    assert verdict.worst_start_ns == START + 6 * 5 * MINUTE
    assert verdict.share == 0.96
    assert verdict.met is False, "the whole is good enough, but one window is clearly not"
    assert "too few in 1 window of 300 s" in verdict.message


def test_a_window_that_looks_bad_by_chance_is_counted_but_condemns_nothing() -> None:
    """Of 500 windows of 20 calls at a true 99 % many have one bad call."""
    rng = random.Random(5)
    spans = [call(i, i * 15_000 * MS, ms=400 if rng.random() < 0.004 else 20) for i in range(10_000)]
    (verdict,) = judged(spans, latency(0.99, 300))
    assert verdict.windows == 500
    assert verdict.windows_missed > 10
    assert verdict.met is True


def test_a_clients_fault_counts_only_when_said() -> None:
    """4xx in either spelling, gRPC's codes of that kind; a 404 that did not fail the span is good anyway."""
    faults = [
        {"http__response__status_code": "404"},
        {"http__status_code": "429"},
        {"rpc__grpc__status_code": "5"},
        {"http__response__status_code": "500"},
        {"rpc__grpc__status_code": "14"},
        {},
    ]
    spans = [call(i, i * MS, failed=True, **more) for i, more in enumerate(faults)]
    spans += [call(i, i * MS) for i in range(6, 100)]
    usual, strict = judged(spans, availability(0.9), availability(0.9, client_errors=True, name="b"))
    assert (usual.calls - usual.good, strict.calls - strict.good) == (3, 6)


def test_only_entry_spans_of_the_operation_count_and_a_consumer_is_one() -> None:
    spans = [
        call(0, 0, kind="CLIENT", failed=True),
        call(1, 0, kind="INTERNAL", failed=True),
        call(2, 0, kind="CONSUMER"),
        call(3, 0, name="POST /"),
        call(4, 0, service="other", failed=True),
    ]
    everything, one = judged(spans, availability(0.5), availability(0.5, operation="POST /", name="b"))
    assert (everything.calls, everything.good, one.calls) == (2, 2, 1)


def test_an_unknown_service_or_operation_is_told_with_the_closest_name() -> None:
    spans = [call(0, 0)]
    service, operation = judged(
        spans, availability(0.9, service="shopp"), availability(0.9, operation="GET //", name="b")
    )
    assert (service.met, service.calls) == (None, 0)
    assert "no span of a service 'shopp'; did you mean 'shop'?" in service.message
    assert "shop has no operation 'GET //'; did you mean 'GET /'?" in operation.message


def test_nothing_asked_and_nothing_seen() -> None:
    assert judged([call(0, 0)]) == []
    (verdict,) = judged([], availability(0.9))
    assert verdict.met is None


def test_every_objective_is_judged_for_itself() -> None:
    """Ten objectives at once give what each gives alone."""
    rng = random.Random(3)
    spans = [
        call(i, rng.randrange(HOUR), ms=rng.lognormvariate(3, 1), failed=rng.random() < 0.1, name=rng.choice("ab"))
        for i in range(500)
    ]
    objectives = [latency(0.5 + i / 30, 10 * i + 5, operation="ab"[i % 2], window_s=60 + i) for i in range(8)]
    objectives += [availability(0.9), availability(0.9, service="none")]
    assert judged(spans, *objectives) == [judged(spans, o)[0] for o in objectives]


@settings(max_examples=25)
@given(
    durations=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 3_000_000)), min_size=1, max_size=60),
    target=st.sampled_from([0.5, 0.9, 0.99]),
    threshold=st.integers(0, 3_000),
    order=st.randoms(use_true_random=False),
)
def test_counts_agree_with_counting_by_hand(
    durations: list[tuple[int, int]], target: float, threshold: int, order: random.Random
) -> None:
    """Against plain Python over the same calls, whatever their order, with copies."""
    spans = [call(i, at * 1_000 * MS, ms=us / 1_000) for i, (at, us) in enumerate(durations)]
    shuffled = spans + spans[:3]
    order.shuffle(shuffled)
    (verdict,) = judged(shuffled, latency(target, threshold, window_s=600))
    windows: dict[int, list[bool]] = {}
    for at, us in durations:
        windows.setdefault((START + at * 1_000 * MS) // (600_000 * MS), []).append(us <= threshold * 1_000)
    shares = [sum(w) / len(w) for w in windows.values()]
    assert verdict.good == sum(sum(w) for w in windows.values())
    assert (verdict.windows, verdict.windows_missed) == (len(windows), sum(s < target - 1e-12 for s in shares))
    assert verdict.worst_share == min(shares)
    assert verdict.measured_ms is not None
    assert (verdict.measured_ms <= threshold) == (verdict.share >= target - 1e-12), "one says the other"
