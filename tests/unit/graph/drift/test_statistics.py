"""The statistics of drift against definitions, brute force and published examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.drift.samples import distribution
from tracer_bullet.graph.drift.statistics import (
    Floats,
    _levels,
    _ranks,
    benjamini_hochberg,
    cliffs_delta,
    fisher,
    magnitude,
    none_by_chance,
    shift_of,
)
from tracer_bullet.model import Distribution
from tracer_bullet.model.distribution import bucket_of
from tracer_bullet.model.shares import enough_for, newcombe

durations = st.lists(st.integers(1, 10**9), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_newcombes_table(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10."""
    assert newcombe(*second, *first) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_nothing_is_known_of_an_empty_side() -> None:
    assert newcombe(0, 0, 3, 10) == (-1.0, 1.0)


def test_the_lady_tasting_tea() -> None:
    """R. A. Fisher, The Design of Experiments (1935): 3 of 4 cups right is p = 17/35, two-sided 34/70."""
    assert fisher(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert fisher(4, 4, 0, 4) == pytest.approx(2 / 70)


@given(st.integers(0, 12), st.integers(0, 12), st.data())
def test_fisher_by_its_definition(before: int, after: int, data: st.DataObject) -> None:
    bad_before, bad_after = data.draw(st.integers(0, before)), data.draw(st.integers(0, after))
    bad, whole = bad_before + bad_after, before + after
    tables = {k: math.comb(after, k) * math.comb(before, bad - k) for k in range(bad + 1) if k <= after}
    seen = tables[bad_after]
    wanted = sum(n for n in tables.values() if n <= seen) / math.comb(whole, bad)
    assert fisher(bad_before, before, bad_after, after) == pytest.approx(wanted, rel=1e-9)


def test_fisher_of_a_million_calls() -> None:
    assert fisher(10_000, 1_000_000, 10_000, 1_000_000) == pytest.approx(1.0)
    assert fisher(10_000, 1_000_000, 11_000, 1_000_000) < 1e-9


@given(st.integers(0, 30), st.integers(0, 30), st.data())
def test_none_by_chance_by_counting(traces: int, others: int, data: st.DataObject) -> None:
    using = data.draw(st.integers(0, traces))
    wanted = math.comb(traces, using) / math.comb(traces + others, using)
    assert none_by_chance(using, traces, others) == pytest.approx(wanted, rel=1e-9)


def test_benjamini_and_hochbergs_own_example() -> None:
    """Journal of the Royal Statistical Society B 57 (1995), section 3.2: four of fifteen hypotheses fall."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
         0.7590, 1.0]  # fmt: skip
    corrected = benjamini_hochberg(p[::-1])[::-1]
    assert sum(c <= 0.05 for c in corrected) == 4
    assert corrected[0] == pytest.approx(0.0015)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_correcting_never_makes_smaller_and_keeps_order(p_values: list[float]) -> None:
    corrected = benjamini_hochberg(p_values)
    assert all(c >= p and c <= 1 for c, p in zip(corrected, p_values, strict=True))
    for (p, c), (q, d) in product(zip(p_values, corrected, strict=True), repeat=2):
        assert p > q or c <= d


@given(durations, durations)
def test_cliffs_delta_by_comparing_all_pairs(before: list[int], after: list[int]) -> None:
    """Calls of one bucket count as equal."""
    old, new = ([bucket_of(d) for d in some] for some in (before, after))
    wanted = sum((b > a) - (b < a) for a in old for b in new) / (len(old) * len(new))
    found = cliffs_delta(Distribution.of(before), Distribution.of(after))
    assert found == pytest.approx(wanted, abs=1e-12)
    assert cliffs_delta(Distribution.of(after), Distribution.of(before)) == pytest.approx(-wanted, abs=1e-12)


def test_cliffs_delta_at_its_ends_and_without_calls() -> None:
    fast, slow = Distribution.of([1_000] * 5), Distribution.of([9_000] * 7)
    assert (cliffs_delta(fast, slow), cliffs_delta(slow, fast), cliffs_delta(fast, fast)) == (1.0, -1.0, 0.0)
    assert cliffs_delta(Distribution(), slow) == 0.0


@pytest.mark.parametrize(
    ("delta", "word"),
    [(0.146, "negligible"), (-0.147, "small"), (0.33, "medium"), (-0.473, "medium"), (0.474, "large")],
)
def test_the_usual_words(delta: float, word: str) -> None:
    assert magnitude(delta) == word


@pytest.mark.parametrize(("quantile", "calls"), [(0.5, 6), (0.95, 72), (0.99, 368), (0.05, 72)])
def test_how_many_calls_bound_a_quantile(quantile: float, calls: int) -> None:
    assert enough_for(quantile, calls)
    assert not enough_for(quantile, calls - 1)


def test_a_shift_of_a_known_size_is_in_the_interval_as_often_as_is_said() -> None:
    """400 pairs of samples, the second 3 ms slower: about 95 % of the intervals hold 3 ms."""
    rng = np.random.default_rng(11)
    for quantile, size in ((0.5, 60), (0.95, 300), (0.99, 1_500)):
        held = 0
        for _ in range(400):
            old, new = rng.gamma(4, 5, size) + 1, rng.gamma(4, 5, size) + 4
            shift = shift_of(quantile, distribution(old), distribution(new), before_calls=size, after_calls=size)
            assert shift.low_ms <= shift.high_ms
            held += shift.low_ms <= 3 <= shift.high_ms
        assert 0.92 <= held / 400 <= 0.99, (quantile, held)


def test_p_values_without_a_change_are_spread_evenly() -> None:
    rng = np.random.default_rng(12)
    p_values = []
    for _ in range(600):
        old, new = distribution(rng.lognormal(3, 0.7, 200)), distribution(rng.lognormal(3, 0.7, 200))
        p_values.append(shift_of(0.5, old, new, before_calls=200, after_calls=200).p_value)
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(np.array(p_values) <= level) <= level + 0.05
    assert np.mean(np.array(p_values) <= 0.5) >= 0.35


@settings(max_examples=60)
@given(durations, durations, st.sampled_from([0.5, 0.95, 0.99]), st.floats(1, 1e6))
def test_any_two_samples_have_an_interval(before: list[int], after: list[int], quantile: float, worth: float) -> None:
    """No error, in order, mirrored when the sides are changed."""
    old, new = Distribution.of(before), Distribution.of(after)
    shift = shift_of(quantile, old, new, before_calls=worth, after_calls=worth)
    mirror = shift_of(quantile, new, old, before_calls=worth, after_calls=worth)
    assert shift.low_ms <= shift.high_ms
    assert 0 < shift.p_value <= 1
    assert (mirror.low_ms, mirror.high_ms) == pytest.approx((-shift.high_ms, -shift.low_ms), abs=1e-3, rel=1e-3)


def test_equal_samples_show_nothing() -> None:
    same = Distribution.of([5_000_000] * 50)
    shift = shift_of(0.5, same, same, before_calls=50, after_calls=50)
    assert (shift.low_ms, shift.high_ms, shift.p_value) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3), 1.0)


@pytest.mark.parametrize(
    ("quantile", "calls", "cdf"),
    [
        (0.5, 3, lambda x: 3 * x**2 - 2 * x**3),  # Beta(2, 2)
        (0.5, 5, lambda x: 10 * x**3 - 15 * x**4 + 6 * x**5),  # Beta(3, 3)
        (0.25, 5, lambda x: 1 - (1 - x) ** 5 - 5 * x * (1 - x) ** 4),  # Beta(2, 4)
    ],
)
def test_ranks_follow_the_beta_distribution(quantile: float, calls: float, cdf: Callable[[Floats], Floats]) -> None:
    """Where its distribution function is a polynomial."""
    assert cdf(_ranks(quantile, float(calls))) == pytest.approx(_levels(), abs=1e-4)


def test_a_tail_that_grew_is_seen_where_it_is() -> None:
    """3 % of the calls take 100 ms instead of 10: p95 stays, p99 is ten times what it was."""
    old = distribution(np.full(5_000, 10.0))
    new = distribution(np.where(np.arange(5_000) % 100 < 3, 100.0, 10.0))
    p95, p99 = (shift_of(q, old, new, before_calls=5_000, after_calls=5_000) for q in (0.95, 0.99))
    assert (p95.low_ms, p95.high_ms) == pytest.approx((0, 0), abs=0.3)
    assert (p99.low_ms, p99.high_ms) == pytest.approx((90, 90), rel=0.03)
