"""Columns of shots become the right figures: what counts as sent, failed, late, held, drifting."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import SECOND, START, batch, shot
from tracer_bullet.engine.histogram import Histograms, SecondSeries
from tracer_bullet.engine.histogram.buckets import slots_of_ns
from tracer_bullet.engine.histogram.punctuality import Punctuality
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.shots import SHOT_ERRORS

MS = 1_000_000
ENDPOINTS = [
    Endpoint(number=0, method="GET", name="/products"),
    Endpoint(number=1, method="POST", name="/orders"),
    Endpoint(number=2, method="GET", name="/never"),
]


def recorded(*rows: dict[str, int]) -> Histograms:
    histograms = Histograms()
    histograms.record(batch(rows))
    return histograms


def test_latency_counts_from_the_intended_time_and_service_from_the_sending() -> None:
    (result,) = recorded(shot(held=30 * MS, late=5 * MS, service=10 * MS)).endpoint_results(ENDPOINTS)
    assert result.latency.p50_ms == pytest.approx(45, rel=1e-3)
    assert result.service.p50_ms == pytest.approx(10, rel=1e-3)
    assert result.held.p50_ms == pytest.approx(30, rel=1e-3)


def test_each_endpoint_has_its_own_and_overall_has_all() -> None:
    histograms = recorded(shot(), shot(status=404), shot(endpoint=1, status=503), shot(endpoint=1, error="reset"))
    products, orders = histograms.endpoint_results(ENDPOINTS)
    assert (products.endpoint, orders.endpoint) == ("GET /products", "POST /orders")
    assert (products.sent, products.failed, dict(products.statuses)) == (2, 0, {"200": 1, "404": 1})
    assert (orders.sent, orders.failed, dict(orders.statuses), dict(orders.errors)) == (2, 1, {"503": 1}, {"reset": 1})
    overall = histograms.overall()
    assert (overall.sent, overall.failed, overall.latency.count) == (4, 1, 4)


def test_what_was_not_sent_is_neither_sent_nor_slow_nor_late() -> None:
    histograms = recorded(shot(error="stopped", sent=False), shot(error="slot", sent=False), shot())
    overall = histograms.overall()
    assert (overall.sent, overall.failed, overall.latency.count) == (1, 0, 1)
    assert histograms.not_sent() == {"slot": 1, "stopped": 1}
    assert histograms.punctuality.lateness.count == 1


def test_an_unexpected_answer_was_sent_and_failed_and_has_its_status() -> None:
    histograms = recorded(
        shot(), shot() | {"error": SHOT_ERRORS.index("unexpected"), "status": 404}, shot(error="reset"),
        shot(error="skipped", sent=False), shot(error="stale", sent=False),
    )  # fmt: skip
    overall = histograms.overall()
    assert (overall.sent, overall.failed, overall.latency.count) == (3, 2, 3)
    assert dict(overall.statuses) == {"200": 1, "404": 1}
    assert dict(overall.errors) == {"reset": 1, "unexpected": 1}
    assert histograms.outcomes(0) == {"": 1, "reset": 1, "unexpected": 1}
    assert histograms.not_sent() == {"skipped": 1, "stale": 1}
    assert histograms.series.window(10**6).bad == 2


@pytest.mark.parametrize("error", ["stopped", "lost"])
def test_what_the_end_cut_off_was_sent_but_says_nothing_of_latency(error: str) -> None:
    overall = recorded(shot(error=error, sent=True)).overall()
    assert (overall.sent, overall.failed, overall.latency.count, overall.service.count) == (1, 1, 0, 0)


def test_time_outs_are_slow_answers_and_refused_connections_have_no_service() -> None:
    overall = recorded(
        shot(error="answer-timeout", service=30_000 * MS), shot(error="connect", sent=False, service=MS)
    ).overall()
    assert (overall.sent, overall.failed, overall.latency.count, overall.service.count) == (2, 2, 2, 1)
    assert overall.latency.max_ms == pytest.approx(30_000, rel=1e-2)


def test_held_requests_do_not_make_the_run_late() -> None:
    histograms = recorded(*[shot(late=MS) for _ in range(90)], *[shot(held=500 * MS, late=40 * MS) for _ in range(10)])
    timing = histograms.timing(bound_ms=10)
    assert timing.valid
    assert (timing.lateness.count, timing.held.count) == (90, 10)
    assert timing.lateness.max_ms == pytest.approx(1, rel=1e-3)
    assert histograms.punctuality.lateness_of_all.quantiles().max_ms == pytest.approx(40, rel=1e-3)


def test_a_late_run_is_invalid() -> None:
    assert not recorded(*[shot(late=11 * MS) for _ in range(10)]).timing(bound_ms=10).valid


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**11), st.sampled_from(SHOT_ERRORS)), max_size=40))
def test_batches_however_cut_and_merged_say_the_same(shots: list[tuple[int, int, str]]) -> None:
    rows = [shot(endpoint=e, due=START + t, service=t, error=error) for e, t, error in shots]
    whole, left, right = recorded(*rows), recorded(*rows[::2]), recorded(*rows[1::2])
    left.merge(right)
    assert left.endpoint_results(ENDPOINTS) == whole.endpoint_results(ENDPOINTS)
    assert left.overall() == whole.overall()
    assert left.timing(10) == whole.timing(10)
    assert left.series.seconds() == whole.series.seconds()
    assert whole.overall().sent == len(rows)
    assert whole.overall().failed == sum(error != "" for _, _, error in shots)


def punctuality(lateness_at: list[tuple[int, int]]) -> Punctuality:
    found = Punctuality()
    for n in range(0, len(lateness_at), 1000):
        part = lateness_at[n : n + 1000]
        due = np.array([due for due, _ in part], np.int64) + START
        found.record(due, due, due + np.array([late for _, late in part], np.int64))
    return found


@pytest.mark.parametrize("span_s", [0.05, 5, 3600, 7 * 86_400])
def test_drift_is_the_growth_from_the_first_tenth_to_the_last(span_s: float) -> None:
    span = int(span_s * SECOND)
    n = 5000
    growing = punctuality([(i * span // n, MS + i * 9 * MS // n) for i in range(n)])
    # Medians of the first and of the last tenth, of a line from 1 to 10 ms.
    assert growing.drift_ms == pytest.approx(8.1, abs=0.1)
    steady = punctuality([(i * span // n, MS) for i in range(n)])
    assert steady.drift_ms == 0


def test_drift_needs_little_memory_and_no_order() -> None:
    rows = [(i * SECOND // 10, MS + (i > 50_000) * MS) for i in range(100_000)]
    random.Random(1).shuffle(rows)
    found = punctuality(rows)
    assert found.drift_ms == pytest.approx(1, abs=0.01)
    assert len(found._by_due.rows()) <= 1024


def test_one_moment_alone_has_no_drift() -> None:
    assert punctuality([]).drift_ms == 0
    assert punctuality([(0, MS)]).drift_ms == 0


def test_windows_of_different_length_merge() -> None:
    n = 4000
    line = [(i * SECOND, MS + i * 9 * MS // n) for i in range(n)]
    left, right = punctuality(line[:10]), punctuality(line[10:])
    left.merge(right)
    assert left.drift_ms == pytest.approx(punctuality(line).drift_ms)
    right_first = punctuality(line[10:])
    right_first.merge(punctuality(line[:10]))
    assert right_first.drift_ms == pytest.approx(left.drift_ms)


def test_the_series_counts_each_second_and_the_window_only_the_last() -> None:
    histograms = Histograms()
    for second in range(30):
        errors = second >= 25
        histograms.record(
            batch(
                shot(
                    due=START + second * SECOND + i * MS,
                    service=2 * MS if errors else MS,
                    status=500 if errors else 200,
                )
                for i in range(10)
            )
        )
    seconds = histograms.series.seconds()
    assert [s.requests for s in seconds] == [10] * 30
    assert [s.bad for s in seconds] == [0] * 25 + [10] * 5
    assert seconds[0].p99_ms < 1.1 < 2 < seconds[-1].p99_ms
    window = histograms.series.window(10)
    assert (window.requests, window.bad, window.bad_share) == (100, 50, 0.5)
    assert window.latency.count == 100
    assert histograms.series.window(1).bad_share == 1


def test_an_empty_window_is_nothing_bad() -> None:
    assert SecondSeries().window(10).bad_share == 0


def test_a_long_series_keeps_figures_and_forgets_histograms() -> None:
    series = SecondSeries(detail_s=60)
    for second in range(1000):
        at = np.full(5, second, np.int64)
        series.record(at, slots_of_ns(np.full(5, (1 + second % 2) * MS, np.int64)), np.zeros(5, np.int64))
    seconds = series.seconds()
    assert [s.requests for s in seconds] == [5] * 1000
    assert [round(s.p99_ms) for s in seconds] == [1, 2] * 500
    assert len(series._latency.rows()) <= 121


def test_what_comes_for_a_second_long_past_is_still_counted() -> None:
    series = SecondSeries(detail_s=60)
    zero = np.zeros(1, np.int64)
    for second, latency in ((0, MS), (1000, MS), (0, 9 * MS)):
        series.record(zero + second, slots_of_ns(zero + latency), zero + 1)
    assert [(s.second, s.requests, s.bad) for s in series.seconds()] == [(0, 2, 2), (1000, 1, 1)]
    assert series.seconds()[0].p99_ms == pytest.approx(1, rel=1e-3)
