"""One run against another: how often it is wrong on data whose truth is known, and what it says when it cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.load.baseline.runs import queue, run, waves
from tracer_bullet.load.baseline import ALL, SavedRun, SavedStep, compare, regressions, worth_at, worth_of_failures
from tracer_bullet.load.confidence import interval
from tracer_bullet.model.load import BaselineResult
from tracer_bullet.model.shares import newcombe
from tracer_bullet.workspace.thresholds import BaselineSpec


def one(results: tuple[BaselineResult, ...], metric: str, step: str = ALL) -> BaselineResult:
    (found,) = [r for r in results if (r.metric, r.step) == (metric, step)]
    return found


def alarms(pairs: list[tuple[SavedRun, SavedRun]], metric: str) -> float:
    """How often a change is seen, of whatever size."""
    spec = BaselineSpec(metrics=(metric,), effect=0.0)
    found = [one(compare(a, b, spec), metric).verdict in ("worse", "better") for a, b in pairs]
    return sum(found) / len(found)


def naive(pairs: list[tuple[SavedRun, SavedRun]], percentile: float) -> float:
    """The same, when requests are taken for independent."""
    found = []
    for a, b in pairs:
        (low_a, high_a), (low_b, high_b) = (interval(r.steps[0].latency, percentile) for r in (a, b))
        found.append(low_a > high_b or low_b > high_a)
    return sum(found) / len(found)


@pytest.mark.parametrize(("load", "metric"), [(0.3, "p99"), (0.8, "p50"), (0.8, "p95")])
def test_no_more_false_alarms_than_it_says_on_queues(load: float, metric: str) -> None:
    """Pairs of runs of one and the same queue. 5 % may be alarms, and up to 10 % of 120 could be by chance."""
    rng = np.random.default_rng(21)
    pairs = [(run(*queue(rng, 8_000, load=load)), run(*queue(rng, 8_000, load=load))) for _ in range(120)]
    assert alarms(pairs, metric) <= 0.1
    if load > 0.5:
        assert naive(pairs, float(metric[1:])) > 0.3, "what it would be without looking at how alike requests are"


def test_no_more_false_alarms_than_it_says_on_waves() -> None:
    rng = np.random.default_rng(22)
    pairs = [
        (run(*waves(rng, 3_000, alike=0.97, rate=100)), run(*waves(rng, 3_000, alike=0.97, rate=100)))
        for _ in range(150)
    ]
    assert alarms(pairs, "p50") <= 0.095
    assert alarms(pairs, "p90") <= 0.095
    assert naive(pairs, 50.0) > 0.4


def test_the_interval_holds_the_true_change() -> None:
    rng = np.random.default_rng(23)
    held = 0
    for _ in range(150):
        before = run(*waves(rng, 3_000, alike=0.8, rate=100))
        after = run(*waves(rng, 3_000, alike=0.8, rate=100, scale=1.3))
        result = one(compare(before, after, BaselineSpec(metrics=("p50",))), "p50")
        held += result.low <= 0.3 <= result.high
    assert held / 150 >= 0.91


@pytest.mark.parametrize(
    ("scale", "verdict"),
    [(1.5, "worse"), (1 / 1.5, "better"), (1.0, "same"), (1.1, "not-enough-data"), (0.9, "not-enough-data")],
)
def test_four_answers(scale: float, verdict: str) -> None:
    """A change of exactly the effect is never told, however long the runs."""
    rng = np.random.default_rng(24)
    before = run(*waves(rng, 8_000, alike=0.5, rate=200))
    after = run(*waves(rng, 8_000, alike=0.5, rate=200, scale=scale))
    result = one(compare(before, after, BaselineSpec(metrics=("p50",), effect=0.1)), "p50")
    assert result.verdict == verdict
    assert result.change == pytest.approx(scale - 1, abs=0.06)
    assert result.low < result.change < result.high
    assert result.samples == (8_000, 8_000)
    assert bool(result.detail) == (verdict == "not-enough-data")


@pytest.mark.parametrize("scale", [1.05, 0.95])
def test_a_small_change_that_is_certain_is_none(scale: float) -> None:
    rng = np.random.default_rng(25)
    before = run(*waves(rng, 20_000, alike=0.0, rate=600))
    after = run(*waves(rng, 20_000, alike=0.0, rate=600, scale=scale))
    result = one(compare(before, after, BaselineSpec(metrics=("p50",), effect=0.1)), "p50")
    assert result.low > 0 or result.high < 0, "there is a change"
    assert result.verdict == "same", "but none that matters"
    assert not regressions((result,))


def test_a_factor_known_from_few_batches_makes_wider_intervals() -> None:
    """Ten seconds: nine degrees of freedom, so Student's t (2.26), not 1.96."""
    rng = np.random.default_rng(34)
    due, ms = waves(rng, 4_000, alike=0.9, rate=400)
    short = run(due, ms, rng.random(due.size) < 0.05)
    step = short.steps[0]
    worth = worth_at(step.blocks, 50.0)
    assert worth is not None
    assert worth.freedom == 9
    low, high = interval(step.latency, 50.0, worth=worth.independent)
    value = step.latency.percentile(50.0)
    normal = math.expm1(math.hypot(math.log(high / value), math.log(value / low)))
    latency, errors = (one(compare(short, short), metric) for metric in ("p50", "error_rate"))
    assert 1.08 * normal < latency.high < 1.4 * normal
    failures = worth_of_failures(step.blocks)
    assert failures is not None
    bad = step.failed / step.sent * failures.independent
    assert errors.high > 1.08 * newcombe(bad, failures.independent, bad, failures.independent)[1]


def with_failures(rng: np.random.Generator, share: float, n: int = 6_000) -> SavedRun:
    due, ms = waves(rng, n, alike=0.0, rate=200)
    return run(due, ms, rng.random(n) < share)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(0.001, 0.05, "worse"), (0.05, 0.001, "better"), (0.002, 0.002, "same"), (0.0, 0.0, "same"),
     (0.01, 0.02, "not-enough-data")],
)  # fmt: skip
def test_error_rates(before: float, after: float, verdict: str) -> None:
    rng = np.random.default_rng(26)
    results = compare(with_failures(rng, before), with_failures(rng, after), BaselineSpec(metrics=("error_rate",)))
    result = one(results, "error_rate")
    assert result.verdict == verdict
    assert result.change == pytest.approx(after - before, abs=0.006)
    assert result.low <= result.change <= result.high


def test_one_burst_of_errors_is_not_yet_a_regression() -> None:
    """Three per cent of the run failed, all in one second: that may happen again, or not."""
    rng = np.random.default_rng(27)
    due, ms = waves(rng, 6_000, alike=0.0, rate=200)
    burst = (due >= 10) & (due < 11)
    result = one(compare(with_failures(rng, 0.0), run(due, ms, burst)), "error_rate")
    assert result.change == pytest.approx(200 / 6_000)
    assert result.verdict == "not-enough-data"
    steady = one(compare(with_failures(rng, 0.0), with_failures(rng, 200 / 6_000)), "error_rate")
    assert steady.verdict == "worse"


def test_too_few_requests_are_told_as_such() -> None:
    rng = np.random.default_rng(28)
    few, many = run(*waves(rng, 300, alike=0.0, rate=10)), run(*waves(rng, 3_000, alike=0.0, rate=100))
    result = one(compare(few, many, BaselineSpec(metrics=("p99",))), "p99")
    assert (result.verdict, result.low, result.high) == ("not-enough-data", 0.0, 0.0)
    assert result.detail.startswith("earlier run: 300 requests")
    assert "are too few for p99" in result.detail
    assert "requests/s" in result.detail, "and the runs did not send at one rate"


def test_short_runs_are_told_as_such() -> None:
    rng = np.random.default_rng(29)
    short = run(*waves(rng, 900, alike=0.0, rate=100))
    for metric in ("p50", "error_rate"):
        result = one(compare(short, short), metric)
        assert result.verdict == "not-enough-data"
        assert "shorter than 10 s" in result.detail


def test_a_step_of_one_run_alone() -> None:
    rng = np.random.default_rng(30)
    both = run(*waves(rng, 3_000, alike=0.0, rate=100))
    gone = SavedRun(run="old", seconds=30, steps=(*both.steps, SavedStep(step="shop / gone", sent=5, failed=0)))
    result = one(compare(gone, both), "p50", "shop / gone")
    assert (result.verdict, result.detail) == ("not-enough-data", "the later run does not have this step")
    assert one(compare(both, gone), "p50", "shop / gone").detail == "the earlier run does not have this step"
    assert {r.step for r in compare(both, both)} == {ALL, "shop / pay"}


def test_a_step_without_latencies() -> None:
    empty = SavedRun(run="e", seconds=30, steps=(SavedStep(step=ALL, sent=0, failed=0),))
    rng = np.random.default_rng(31)
    some = run(*waves(rng, 3_000, alike=0.0, rate=100))
    assert "no latencies" in one(compare(empty, some), "p50").detail
    assert one(compare(some, empty), "error_rate").verdict == "not-enough-data"


def test_what_is_worse_comes_first() -> None:
    rng = np.random.default_rng(32)
    due, ms = waves(rng, 8_000, alike=0.0, rate=200)
    results = compare(run(due, ms), run(due, 1.5 * ms))
    assert [r.verdict for r in results] == ["worse"] * 4 + ["same"] * 2
    assert {r.metric for r in regressions(results)} == {"p50", "p95"}
