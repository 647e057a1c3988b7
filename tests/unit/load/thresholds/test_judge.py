"""Yes, no, or not enough data: what is said of figures whose truth is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.load.confidence import Counts
from tracer_bullet.load.thresholds import Figures, Threshold, figures_of_spans, judge, parse, verdict
from tracer_bullet.model.distribution import Distribution
from tracer_bullet.model.load import ThresholdResult
from tracer_bullet.model.shares import wilson
from tracer_bullet.workspace.thresholds import ThresholdSpec


def threshold(text: str) -> Threshold:
    return parse(ThresholdSpec(expect=text))


def figures(*latencies_ms: float, failed: int = 0, sent: int | None = None, seconds: float = 10.0) -> Figures:
    n = len(latencies_ms) if sent is None else sent
    return Figures(latency=Counts.of_values(latencies_ms), sent=n, failed=failed, seconds=seconds)


def even(n: int, top_ms: float = 100.0) -> Figures:
    """Evenly spread from just above 0 to `top_ms`."""
    return figures(*(top_ms * (i + 1) / n for i in range(n)))


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p(99) < 120ms", True),  # all of the interval is below
        ("p(99) < 90ms", False),
        ("p(99) < 99.2ms", True),  # within the interval: the measured 99.0 decides
        ("p(99) < 98.9ms", False),
        ("p(99) <= 99.0ms", True),
        ("p(99) < 99.0ms", False),
        ("p(50) > 40ms", True),
        ("p(50) >= 60ms", False),
    ],
)
def test_percentiles_of_enough_requests(text: str, *, met: bool) -> None:
    result = judge(threshold(text), even(1_000))
    assert result.met is met
    assert (result.unit, result.samples, result.scope) == ("ms", 1_000, "all")
    assert result.value == pytest.approx(99.0 if "99)" in text else 50.0)


def test_it_says_when_the_measured_figure_decided() -> None:
    told = judge(threshold("p(99) < 99.2ms"), even(1_000)).detail
    assert told.startswith("the true one lies between 98.")
    assert told.endswith("(95 %); the limit lies within, so the measured figure decides")
    assert "decides" not in judge(threshold("p(99) < 120ms"), even(1_000)).detail


def test_p999_of_200_requests_is_not_enough_data_however_good_it_looks() -> None:
    result = judge(threshold("p(99.9) < 1s"), even(200))
    assert result.met is None
    assert result.value == 100.0
    assert "not enough data: 200 requests, 3,688 would tell" in result.detail
    assert judge(threshold("p(99.9) < 1s"), even(3_688)).met is True
    assert judge(threshold("p(99.9) < 1s"), even(3_687)).met is None


def test_few_requests_can_break_what_they_cannot_show() -> None:
    """Of 30 requests half took longer than the p99 that is asked for: no luck explains that."""
    assert judge(threshold("p(99) < 50ms"), even(30)).met is False
    assert judge(threshold("p(99) < 200ms"), even(30)).met is None
    assert judge(threshold("p(50) > 1ms"), even(5)).met is None


def test_nothing_measured_is_not_met() -> None:
    for text in ("p(99) < 1s", "avg < 1s", "max < 1s", "error_rate < 1%", "error_rate <= 0"):
        result = judge(threshold(text), Figures(seconds=10))
        assert (result.met, result.value, result.detail) == (None, None, "nothing was measured")
    assert judge(threshold("rate > 1/s"), Figures(seconds=0.5, sent=100)).met is None
    assert judge(threshold("count > 0"), Figures(seconds=10)).met is False


@pytest.mark.parametrize(
    ("failed", "sent", "text", "met"),
    [
        (0, 100, "error_rate < 0.1%", None),  # a hundred good ones do not show one in a thousand
        (0, 3_838, "error_rate < 0.1%", True),
        (0, 3_837, "error_rate < 0.1%", None),
        (3, 100, "error_rate < 0.1%", False),  # even so few are too many
        (1, 100, "error_rate < 0.1%", False),
        (4, 5_000, "error_rate < 0.1%", True),  # within the interval: 0.08 % decides
        (6, 5_000, "error_rate < 0.1%", False),
        (1, 100_000, "error_rate <= 0", False),
        (0, 10, "error_rate <= 0", True),
        (60, 100, "error_rate > 50%", True),
    ],
)
def test_error_rates(failed: int, sent: int, text: str, *, met: bool | None) -> None:
    result = judge(threshold(text), figures(failed=failed, sent=sent))
    assert result.met is met
    assert result.value == pytest.approx(failed / sent)
    assert (result.unit, result.samples) == ("share", sent)


@given(st.integers(0, 300), st.integers(1, 20_000), st.floats(0.0005, 0.5))
def test_an_error_rate_is_never_decided_against_its_interval(failed: int, sent: int, limit: float) -> None:
    failed = min(failed, sent)
    met = judge(threshold(f"error_rate < {limit:.6f}"), figures(failed=failed, sent=sent)).met
    low, high = wilson(failed, sent)
    assert not (met is True and low >= limit)
    assert not (met is False and high < limit)


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=300), st.sampled_from([50, 90, 99]), st.integers(1, 1_000))
def test_a_percentile_and_its_opposite_never_agree(values: list[int], percentile: int, limit: int) -> None:
    below, above = (judge(threshold(f"p{percentile} {sign} {limit}ms"), figures(*values)) for sign in ("<", ">="))
    assert (below.met is None) == (above.met is None)
    if below.met is not None:
        assert below.met is not above.met


def test_averages() -> None:
    assert judge(threshold("avg < 60ms"), even(1_000)).met is True
    assert judge(threshold("avg < 40ms"), even(1_000)).met is False
    assert judge(threshold("avg < 50.2ms"), even(1_000)).met is True
    assert judge(threshold("avg < 60ms"), even(20)).met is None
    assert judge(threshold("avg < 200ms"), even(20)).met is True
    assert judge(threshold("avg < 200ms"), even(3)).met is None
    result = judge(threshold("avg < 60ms"), even(1_000))
    assert result.value == pytest.approx(50.05)
    half = 1.96 * (100 / math.sqrt(12)) / math.sqrt(1_000)
    assert f"between {50.05 - half:.4g} ms and {50.05 + half:.4g} ms" in result.detail


def test_what_is_a_fact_needs_no_interval() -> None:
    some = figures(5.0, 7.0, 1_900.0, failed=1, seconds=2.0)
    answers = {
        "max < 2s": True,
        "max < 1.9s": False,
        "min > 4ms": True,
        "count > 2": True,
        "count > 3": False,
        "errors <= 1": True,
        "errors == 0": False,
        "rate > 1.4/s": True,
        "rate > 91/min": False,
    }
    found = {text: judge(threshold(text), some) for text in answers}
    assert {text: result.met for text, result in found.items()} == answers
    assert all(result.detail == "" for result in found.values())
    assert found["rate > 1.4/s"].value == 1.5


def test_iterations_are_their_own_number() -> None:
    some = Figures(sent=40, seconds=5.0, iterations=10)
    assert judge(threshold("iterations >= 10"), some).met is True
    assert judge(threshold("iterations/s >= 2/s"), some).met is True
    assert judge(threshold("iterations/s > 2/s"), some).met is False


def test_a_count_that_still_grows_decides_only_that_it_is_too_many() -> None:
    some = figures(1.0, 2.0, failed=2)
    asked = ("count > 5", "count < 5", "count < 2", "errors == 0", "errors <= 1", "iterations > 1")
    running = [judge(threshold(text), some, running=True).met for text in asked]
    assert running == [None, None, False, None, False, None]


# Services, from the traces.


def test_a_service_by_its_spans() -> None:
    durations = Distribution.of(int(ns) for ns in np.linspace(1e6, 100e6, 2_000))
    some = figures_of_spans(durations, errors=20, seconds=10.0, share=0.1)
    spec = ThresholdSpec(expect="p(99) < 150ms", service="cart")
    result = judge(parse(spec), some)
    assert (result.met, result.scope, result.samples) == (True, "service cart", 2_000)
    assert result.value == pytest.approx(99, rel=0.02)
    assert result.detail.endswith("of 10 % of the traces")
    assert judge(threshold("count > 15000"), some).value == 20_000
    assert judge(threshold("errors < 100"), some).value == 200
    assert judge(threshold("rate > 1000/s"), some).value == 2_000
    assert judge(threshold("error_rate < 5%"), some).value == 0.01


def test_a_service_without_spans() -> None:
    some = figures_of_spans(Distribution(), errors=0, seconds=10.0, share=0.1)
    assert judge(threshold("p(99) < 150ms"), some).met is None
    assert judge(threshold("max < 150ms"), some).met is None


# Several.


@pytest.mark.parametrize(
    ("met", "whole"),
    [([], True), ([True, True], True), ([True, None], None), ([True, None, False], False), ([None], None)],
)
def test_of_several(met: list[bool | None], *, whole: bool | None) -> None:
    results = [ThresholdResult(expect="", scope="", value=None, unit="", met=m) for m in met]
    assert verdict(results) is whole
