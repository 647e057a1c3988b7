"""Claim: errors, latency and bytes past their bounds are reasons to stop; a few requests are not."""

from __future__ import annotations

import pytest

from tests.unit.report.replayed import quantiles
from tracer_bullet.engine.histogram import Window
from tracer_bullet.model.replay import Quantiles
from tracer_bullet.runs.replay.guardrails import MIN_REQUESTS, judge_budget, judge_window
from tracer_bullet.workspace.sending import GuardrailsSpec, LimitsSpec

NONE = Quantiles()


def window(requests: int, bad: int = 0, latency: Quantiles = NONE) -> Window:
    return Window(requests=requests, bad=bad, latency=latency)


def test_errors_past_the_share() -> None:
    spec = GuardrailsSpec(errors=0.1, window_s=5)
    assert judge_window(window(100, 10), spec, 3.0) is None, "the share itself is allowed"
    stop = judge_window(window(100, 11), spec, 3.0)
    assert stop is not None
    assert (stop.reason, stop.after_s) == ("guardrail", 3.0)
    assert stop.detail == "11 of 100 requests failed within 5 s (allowed: 10%)"


def test_a_few_say_nothing() -> None:
    assert judge_window(window(MIN_REQUESTS - 1, MIN_REQUESTS - 1), GuardrailsSpec(), 1.0) is None
    assert judge_window(window(0), GuardrailsSpec(errors=0.0), 1.0) is None
    assert judge_window(window(MIN_REQUESTS, MIN_REQUESTS), GuardrailsSpec(), 1.0) is not None


def test_latency_counts_when_it_is_asked_for() -> None:
    slow = window(50, latency=quantiles(100.0))  # p99 is 500 ms
    assert judge_window(slow, GuardrailsSpec(), 1.0) is None
    assert judge_window(slow, GuardrailsSpec(latency_p99_ms=500), 1.0) is None
    stop = judge_window(slow, GuardrailsSpec(latency_p99_ms=499), 1.0)
    assert stop is not None
    assert "p99 was 500 ms" in stop.detail


@pytest.mark.parametrize(("used", "stops"), [(0, False), (999, False), (1000, True), (5000, True)])
def test_bytes(used: int, stops: bool) -> None:
    stop = judge_budget(used, LimitsSpec.model_validate({"bytes": "1 kB"}), 1.0)
    assert (stop is not None) == stops
    assert stop is None or stop.reason == "budget"
    assert judge_budget(used, LimitsSpec(), 1.0) is None
