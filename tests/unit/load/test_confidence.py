"""Intervals of percentiles against exact counting and simulation; and the rule that stops a run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.load.confidence import NOTHING, Counts, Known, bounds, interval, student, widened
from tracer_bullet.model.shares import enough_for

latencies = st.lists(st.integers(1, 500), min_size=1, max_size=80)


def probability(n: int, quantile: float, numbers: range) -> float:
    return sum(math.comb(n, k) * quantile**k * (1 - quantile) ** (n - k) for k in numbers)


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ranks_are_those_of_the_definition(n: int, quantile: float, confidence: float) -> None:
    """The l-th and u-th of n values: as close together as each tail of at most α/2 lets them be."""
    tail = (1 - confidence) / 2
    ends = bounds(quantile, n, confidence=confidence)
    low, high = round(ends[0] * n), None if ends[1] > 1 else round(ends[1] * n)
    assert probability(n, quantile, range(low)) <= tail * (1 + 1e-9)
    assert probability(n, quantile, range(low + 1)) > tail * (1 - 1e-9)
    if high is None:
        assert quantile**n > tail * (1 - 1e-9)
    else:
        assert probability(n, quantile, range(high, n + 1)) <= tail * (1 + 1e-9)
        assert probability(n, quantile, range(high - 1, n + 1)) > tail * (1 - 1e-9)


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (40, 14, 27)])
def test_the_medians_of_the_tables(n: int, low: int, high: int) -> None:
    """The sign test's intervals, as every table of them has them."""
    assert bounds(0.5, n) == (low / n, high / n)


def test_many_values_agree_with_the_normal_approximation() -> None:
    exact, normal = bounds(0.99, 10_000_000), bounds(0.99, 10_000_001)
    assert exact == (pytest.approx(normal[0], rel=1e-6), pytest.approx(normal[1], rel=1e-6))


@pytest.mark.parametrize(("percentile", "fewest"), [(50.0, 6), (95.0, 72), (99.0, 368), (99.9, 3_688)])
def test_so_many_values_bound_a_percentile(percentile: float, fewest: int) -> None:
    values = Counts.of_values(range(fewest))
    assert interval(values, percentile)[1] == fewest - 1
    assert interval(Counts.of_values(range(fewest - 1)), percentile)[1] == math.inf
    assert enough_for(percentile / 100, fewest)
    assert not enough_for(percentile / 100, fewest - 1)


def test_200_requests_say_nothing_of_how_high_p999_is() -> None:
    low, high = interval(Counts.of_values(range(200)), 99.9)
    assert 190 < low < 200
    assert high == math.inf


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0])
def test_the_interval_holds_the_truth_as_often_as_it_says(percentile: float) -> None:
    rng = np.random.default_rng(7)
    truth = -math.log(1 - percentile / 100)
    held = 0
    for _ in range(400):
        low, high = interval(Counts.of_values(np.round(rng.exponential(size=600), 6)), percentile)
        held += low <= truth <= high
    assert 0.93 <= held / 400 <= 1.0


@given(st.integers(30, 2_000), st.floats(5, 95))
def test_worth_a_quarter_is_wider(n: int, percentile: float) -> None:
    counts = Counts.of_values(range(4 * n))
    low, high = interval(counts, percentile)
    wider_low, wider_high = interval(counts, percentile, worth=n)
    assert wider_low < low <= counts.percentile(percentile) + 1
    assert counts.percentile(percentile) - 1 <= high < wider_high


@given(latencies, st.floats(0.1, 99.9))
def test_percentiles_are_hdrhistograms(values: list[int], percentile: float) -> None:
    """Rank p·n/100, rounded, at least the first: as engine/histogram and the report have it."""
    wanted = sorted(values)[max(int(percentile * len(values) / 100 + 0.5), 1) - 1]
    assert Counts.of_values(values).percentile(percentile) == wanted


@given(latencies)
def test_counts_from_slots_are_those_of_the_values(values: list[int]) -> None:
    slots = np.bincount(values, minlength=501)
    made, direct = Counts.of(slots, np.arange(501.0)), Counts.of_values(values)
    assert made.values_ms.tolist() == direct.values_ms.tolist()
    assert made.counts.tolist() == direct.counts.tolist()
    assert made.total == len(values)
    assert made.mean() == pytest.approx(sum(values) / len(values))


def test_nothing_has_no_percentile() -> None:
    assert (NOTHING.total, NOTHING.percentile(99), NOTHING.mean()) == (0, 0.0, 0.0)
    assert interval(NOTHING, 50) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("confidence", "freedom", "t"),
    [(0.95, 9, 2.262157), (0.95, 15, 2.131450), (0.95, 30, 2.042272), (0.99, 15, 2.946713), (0.95, 1_000, 1.962339)],
)
def test_students_table(confidence: float, freedom: int, t: float) -> None:
    assert student(confidence, freedom) == pytest.approx(t, rel=1e-3)
    assert confidence < widened(confidence, freedom) < 1


# The stop rule.

MANY = Counts.of_values(np.round(100 + 10 * np.random.default_rng(3).normal(size=20_000), 3))


def test_a_percentile_is_known_after_three_looks_that_lie_apart() -> None:
    known = Known(50, 0.01)
    looks = [known.look(t, MANY, worth=MANY.total) for t in (0, 1, 4.9, 5, 9, 10, 11)]
    assert looks == [False, False, False, False, False, True, True]
    assert known.half < 0.01


def test_one_look_that_is_too_wide_begins_anew() -> None:
    known = Known(50, 0.01)
    worth = [20_000.0, 20_000.0, 300.0, 20_000.0, 20_000.0, 20_000.0]
    assert [known.look(5.0 * n, MANY, worth=w) for n, w in enumerate(worth)] == [False] * 5 + [True]


def test_it_looks_no_more_often_than_it_says() -> None:
    known = Known(50, 0.01)
    assert known.due(0)
    known.look(0, MANY, worth=None)
    assert (known.due(4.9), known.due(5)) == (False, True)


@pytest.mark.parametrize("worth", [None, 90.0])
def test_what_is_worth_little_is_not_known(worth: float | None) -> None:
    """All values are alike, so that even the narrowest width is reached; but too few tell so."""
    same = Counts.of_values([100.0] * 20_000)
    known = Known(50, 0.5)
    assert not any(known.look(5.0 * n, same, worth=worth) for n in range(20))
    assert any(known.look(100 + 5.0 * n, same, worth=200.0) for n in range(3))


def test_a_tail_of_no_requests_is_not_known() -> None:
    known = Known(99.9, 0.9)
    assert not any(known.look(5.0 * n, MANY, worth=MANY.total) for n in range(20)), "only 20 lie beyond p99.9"


def test_what_is_said_to_be_known_is() -> None:
    """Looked at again and again as requests come: of those that stop, 95 % are within what was asked for, and 5 % of
    what may go wrong by chance is not exceeded."""
    rng = np.random.default_rng(11)
    truth, stopped, right = math.exp(0.5 * 1.2815515655), 0, 0
    for _ in range(120):
        values = np.round(np.exp(0.5 * rng.normal(size=12_000)), 4)
        known = Known(90, 0.05)
        for look in range(1, 25):
            seen = Counts.of_values(values[: 500 * look])
            if known.look(5.0 * look, seen, worth=seen.total):
                stopped += 1
                right += abs(seen.percentile(90) / truth - 1) <= 0.05
                break
    assert stopped > 100
    assert right / stopped >= 0.95
