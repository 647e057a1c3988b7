"""The universal scalability law, recovered from what it made; and which service saturates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.load.capacity import fit_usl, saturated

Parameters = tuple[float, float, float]
COUNTS = (1, 2, 4, 8, 16, 32, 64)


def throughput(n: float, law: Parameters) -> float:
    lambda_, sigma, kappa = law
    return lambda_ * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


@given(st.floats(1, 5_000), st.floats(0, 0.5), st.floats(0, 0.01))
def test_it_finds_what_made_the_points(lambda_: float, sigma: float, kappa: float) -> None:
    law = (lambda_, sigma, kappa)
    usl = fit_usl([(n, throughput(n, law)) for n in COUNTS])
    assert usl is not None
    assert usl.lambda_ == pytest.approx(lambda_, rel=1e-6)
    assert usl.sigma == pytest.approx(sigma, abs=1e-6)
    assert usl.kappa == pytest.approx(kappa, abs=1e-7)
    assert usl.r2 == pytest.approx(1, abs=1e-6)


def test_with_noise_it_is_near() -> None:
    rng = np.random.default_rng(5)
    law = (200.0, 0.03, 0.0004)
    found = []
    for _ in range(60):
        usl = fit_usl([(n, throughput(n, law) * float(np.exp(rng.normal(0, 0.03)))) for n in COUNTS * 3])
        assert usl is not None
        assert usl.r2 > 0.9
        assert usl.peak_n == pytest.approx(np.sqrt(0.97 / 0.0004), rel=0.3)
        found.append((usl.lambda_, usl.sigma, usl.kappa))
    assert np.median(np.asarray(found), axis=0).tolist() == pytest.approx(list(law), rel=0.1)


def test_the_peak_is_the_highest() -> None:
    law = (100.0, 0.05, 0.001)
    usl = fit_usl([(n, throughput(n, law)) for n in COUNTS])
    assert usl is not None
    assert usl.peak_n is not None
    assert usl.peak_n == pytest.approx(np.sqrt(0.95 / 0.001))
    assert usl.peak_rate == pytest.approx(max(throughput(n, law) for n in np.linspace(1, 100, 10_000)))


@pytest.mark.parametrize(
    "points",
    [
        [(n, 50.0 * n) for n in COUNTS],  # linear
        [(n, 50.0 * n**1.2) for n in COUNTS],  # better than linear: the law has no such thing
        [(n, 1_000 * n / (n + 9)) for n in COUNTS],  # queueing alone
    ],
)
def test_without_a_fall_there_is_no_peak_and_nothing_is_below_0(points: list[tuple[float, float]]) -> None:
    usl = fit_usl(points)
    assert usl is not None
    assert usl.sigma >= 0
    assert usl.kappa == pytest.approx(0, abs=1e-9)
    assert usl.peak_n is None or usl.peak_n > 1_000
    assert usl.lambda_ > 0


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1, 10.0), (2, 18.0)],
        [(1, 10.0), (2, 18.0), (2.01, 18.1), (1.0, 10.1)],  # two points, told four times
        [(0, 0.0), (0, 5.0), (3, 0.0), (4, 9.0)],
        [(1, 10.0), (2, float("nan")), (float("inf"), 9.0), (3, 20.0)],
    ],
)
def test_too_few_points_say_nothing(points: list[tuple[float, float]]) -> None:
    assert fit_usl(points) is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(1e-3, 1e4), st.floats(1e-3, 1e6)), max_size=12))
def test_whatever_the_points_it_ends_and_makes_sense(points: list[tuple[float, float]]) -> None:
    usl = fit_usl(points)
    if usl is not None:
        numbers = [usl.lambda_, usl.sigma, usl.kappa, usl.r2]
        assert np.isfinite(numbers).all()
        assert usl.lambda_ > 0
        assert usl.sigma >= 0
        assert usl.kappa >= 0
        assert usl.r2 <= 1


# Which service saturates first.


def test_the_service_whose_own_time_grew_most_comes_first() -> None:
    low = {"gate": (1.0, 500), "cart": (4.0, 500), "stock": (10.0, 500), "cache": (0.01, 500)}
    high = {"gate": (1.2, 500), "cart": (60.0, 500), "stock": (70.0, 500), "cache": (0.4, 500)}
    assert saturated([100, 10], [high, low]) == (("cart", 15.0), ("stock", 7.0))


def test_the_lowest_and_the_highest_rate_with_enough_calls_count() -> None:
    steps = [
        {"a": (50.0, 3), "b": (2.0, 100)},
        {"a": (1.0, 100), "b": (2.0, 100)},
        {"a": (9.0, 100), "b": (3.0, 100)},
        {"a": (99.0, 5), "b": (4.0, 100)},
    ]
    assert saturated([10, 20, 40, 80], steps) == (("a", 9.0), ("b", 2.0))


def test_where_nothing_grew_nothing_saturates() -> None:
    assert saturated([1, 2], [{"a": (5.0, 100)}, {"a": (4.0, 100)}]) == ()
    assert saturated([1], [{"a": (5.0, 100)}]) == ()
    assert saturated([], []) == ()
    assert saturated([1, 2], [{"a": (5.0, 100)}, {"b": (50.0, 100)}]) == ()
