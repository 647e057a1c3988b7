"""Bucketed durations: near the exact quantiles, and the same however they were put together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import Distribution
from tracer_bullet.model.codec import decode, encode
from tracer_bullet.model.distribution import GROWTH, bucket_of

durations = st.lists(st.integers(0, 10**14), max_size=60)


@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_lies_within_a_bucket_of_the_exact_one(values: list[int], q: float) -> None:
    exact = sorted(values)[int(q * (len(values) - 1))]
    found = Distribution.of(values).quantile_ns(q)
    assert max(exact, 1) / GROWTH * (1 - 1e-12) <= max(found, 1) <= max(exact, 1) * GROWTH * (1 + 1e-12)
    assert min(values) <= found <= max(values)


@given(durations, durations, durations)
def test_merging_is_the_same_as_counting_at_once(a: list[int], b: list[int], c: list[int]) -> None:
    one, two, three = map(Distribution.of, (a, b, c))
    assert one.merge(two).merge(three) == Distribution.of(a + b + c) == three.merge(one.merge(two))


@given(durations)
def test_nothing_is_lost_on_the_way_through_json(values: list[int]) -> None:
    found = Distribution.of(values)
    assert found.count == len(values)
    assert decode(Distribution, encode(found)) == found


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=100), st.integers(1, 10**12))
def test_the_share_within_a_limit_is_wrong_by_the_limits_own_bucket_at_most(values: list[int], limit: int) -> None:
    surely = sum(bucket_of(v) < bucket_of(limit) for v in values) / len(values)
    perhaps = sum(bucket_of(v) <= bucket_of(limit) for v in values) / len(values)
    assert surely - 1e-9 <= Distribution.of(values).share_within(limit) <= perhaps + 1e-9


def test_quantiles_of_a_usual_load_are_within_one_percent() -> None:
    rng = random.Random(1)
    values = sorted(int(rng.lognormvariate(16, 1.2)) for _ in range(100_000))
    found = Distribution.of(values)
    for q in (0.5, 0.9, 0.95, 0.99, 0.999):
        assert found.quantile_ns(q) == pytest.approx(values[round(q * (len(values) - 1))], rel=0.01)


def test_nothing_at_all_is_zero() -> None:
    empty = Distribution()
    assert (empty.count, empty.mean_ns, empty.quantile_ns(0.5), empty.share_within(5)) == (0, 0.0, 0.0, 0.0)
    assert empty.merge(Distribution.of([5])) == Distribution.of([5])
