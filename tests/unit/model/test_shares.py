"""Wilson's interval against published values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model.shares import binomial_tail, calls_needed, wilson


@pytest.mark.parametrize(
    ("good", "calls", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_newcombes_table(good: int, calls: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson(good, calls) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_without_calls_anything_may_be() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10**9), st.data())
def test_the_interval_holds_the_share_and_mirrors(calls: int, data: st.DataObject) -> None:
    good = data.draw(st.integers(0, calls))
    low, high = wilson(good, calls)
    assert 0 <= low <= good / calls <= high <= 1
    assert wilson(calls - good, calls) == (pytest.approx(1 - high, abs=1e-9), pytest.approx(1 - low, abs=1e-9))


@given(st.floats(0.5, 0.9999))
def test_as_many_calls_as_are_needed_and_no_fewer(target: float) -> None:
    needed = calls_needed(target)
    assert wilson(needed, needed)[0] >= target - 1e-12
    assert needed == 1 or wilson(needed - 1, needed - 1)[0] < target
    assert math.isclose(needed, 3.8415 * target / (1 - target), rel_tol=0.5, abs_tol=2)


@given(st.integers(0, 60), st.floats(0.001, 0.999), st.data())
def test_the_binomial_tail_against_its_definition(calls: int, share: float, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, calls + 1))
    wanted = sum(math.comb(calls, k) * share**k * (1 - share) ** (calls - k) for k in range(bad, calls + 1))
    assert binomial_tail(bad, calls, share) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_the_binomial_tail_of_a_million_calls() -> None:
    """A median is not exceeded by half; and what is far out is next to nothing, not an error."""
    assert binomial_tail(500_000, 1_000_000, 0.5) == pytest.approx(0.5, abs=1e-3)
    assert binomial_tail(900_000, 1_000_000, 0.5) == 0.0
    assert binomial_tail(1, 1_000_000, 0.01) == pytest.approx(1.0)
