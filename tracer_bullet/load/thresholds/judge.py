"""Whether a threshold is met: yes, no, or not enough data. Pure.

What is estimated (percentiles, the average, the error rate) has a 95 % interval. When all of it meets the demand, or
none of it, that decides. When the limit lies within, the measured figure decides if there is enough data for the
interval to have two ends at all; else it cannot be told. What is a fact of the run (its longest latency, its rate, a
count) is compared as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracer_bullet.load.confidence import interval, student
from tracer_bullet.load.thresholds.figures import Figures
from tracer_bullet.load.thresholds.threshold import Threshold
from tracer_bullet.model.load import ThresholdResult
from tracer_bullet.model.shares import CONFIDENCE, calls_needed, enough_for, wilson
from tracer_bullet.workspace.demands import Demand

_FEWEST_OF_AVERAGE = 30
_SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A value with its interval. `enough`: the value itself may decide; `needed`: how many samples it would take."""

    value: float
    samples: int
    low: float
    high: float
    enough: bool = True
    needed: int = 0
    what: str = "requests"


def judge(
    threshold: Threshold, figures: Figures, *, confidence: float = CONFIDENCE, running: bool = False
) -> ThresholdResult:
    """What the figures say of a threshold; `met` None: not enough data, or nothing measured.

    `running`: the run goes on, so a count that still grows decides nothing but that too many is too many.
    """
    demand = threshold.demand
    measured = _measure(demand, figures, confidence)
    if measured is None:
        return ThresholdResult(
            expect=demand.text, scope=threshold.scope, value=None, unit=demand.unit, met=None,
            detail="nothing was measured",
        )  # fmt: skip
    met = _met(demand, measured)
    if running and demand.metric in ("count", "errors", "iterations"):
        met = False if demand.comparison in ("<", "<=") and not met else None
    return ThresholdResult(
        expect=demand.text,
        scope=threshold.scope,
        value=measured.value,
        unit=demand.unit,
        met=met,
        samples=measured.samples,
        detail=_detail(demand, figures, measured, met=met, confidence=confidence),
    )


def certainly_broken(threshold: Threshold, figures: Figures, *, confidence: float) -> bool:
    """Whether not even the better end of the interval meets the demand, while the run goes on."""
    measured = _measure(threshold.demand, figures, confidence)
    if measured is None or threshold.demand.holds(measured.low) or threshold.demand.holds(measured.high):
        return False
    return judge(threshold, figures, confidence=confidence, running=True).met is False


def verdict(results: Iterable[ThresholdResult]) -> bool | None:
    """Of several thresholds: no when one is broken, else not enough data when one has not, else yes."""
    met = [result.met for result in results]
    if False in met:
        return False
    return None if None in met else True


def _met(demand: Demand, measured: _Measured) -> bool | None:
    low, high = demand.holds(measured.low), demand.holds(measured.high)
    if low == high:
        return low
    return demand.holds(measured.value) if measured.enough else None


def _measure(demand: Demand, figures: Figures, confidence: float) -> _Measured | None:
    match demand.metric:
        case "percentile":
            return _percentile(demand.percentile or 0.0, figures, confidence)
        case "avg":
            return _average(figures, confidence)
        case "min" | "max":
            values = figures.latency.values_ms
            return _fact(float(values[0 if demand.metric == "min" else -1]), figures) if values.size else None
        case "error_rate":
            return _error_rate(demand.limit, figures, confidence)
        case "rate":
            return _rate(figures.sent / figures.share, figures) if figures.share > 0 else None
        case "iteration_rate":
            return _rate(float(figures.iterations), figures)
        case "iterations":
            return _fact(float(figures.iterations), figures)
    number = figures.sent if demand.metric == "count" else figures.failed
    return _fact(number / figures.share, figures) if figures.share > 0 else None


def _percentile(percentile: float, figures: Figures, confidence: float) -> _Measured | None:
    latency = figures.latency
    n, quantile = latency.total, percentile / 100
    if not n:
        return None
    low, high = interval(latency, percentile, confidence=confidence)
    return _Measured(
        value=latency.percentile(percentile),
        samples=n,
        low=low,
        high=high,
        enough=enough_for(quantile, n),
        needed=math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(quantile, 1 - quantile))),
    )


def _average(figures: Figures, confidence: float) -> _Measured | None:
    latency = figures.latency
    n = latency.total
    if not n:
        return None
    mean, half = latency.mean(), math.inf
    if n > 3:
        variance = float(latency.counts @ np.square(latency.values_ms - mean)) / (n - 1)
        half = student(confidence, n - 1) * math.sqrt(variance / n)
    return _Measured(
        value=mean,
        samples=n,
        low=max(mean - half, 0.0),
        high=mean + half,
        enough=n >= _FEWEST_OF_AVERAGE,
        needed=_FEWEST_OF_AVERAGE,
    )


def _error_rate(limit: float, figures: Figures, confidence: float) -> _Measured | None:
    n = figures.sent
    if not n:
        return None
    value = figures.failed / n
    if not 0 < limit < 1:  # of none, or of all: what was seen is the answer, since no number of requests could show it
        return _fact(value, figures)
    low, high = wilson(figures.failed, n, confidence=confidence)
    # As many as would show, without one that failed, that fewer fail; and the same from the other side.
    needed = max(calls_needed(1 - limit), calls_needed(limit))
    return _Measured(value=value, samples=n, low=low, high=high, enough=n >= needed, needed=needed)


def _rate(number: float, figures: Figures) -> _Measured | None:
    return _fact(number / figures.seconds, figures) if figures.seconds >= _SHORTEST_S else None


def _fact(value: float, figures: Figures) -> _Measured:
    return _Measured(value=value, samples=figures.sent, low=value, high=value)


def _detail(demand: Demand, figures: Figures, measured: _Measured, *, met: bool | None, confidence: float) -> str:
    parts = []
    if measured.low < measured.high:
        bounds = [_say(demand, end) for end in (measured.low, measured.high) if 0 < end < math.inf]
        if len(bounds) == 2:
            parts.append(f"the true one lies between {bounds[0]} and {bounds[1]} ({confidence * 100:g} %)")
        if met is None:
            parts.append(f"not enough data: {measured.samples:,} requests, {measured.needed:,} would tell")
        elif demand.holds(measured.low) != demand.holds(measured.high):
            parts.append("the limit lies within, so the measured figure decides")
    if figures.share < 1:
        parts.append(f"of {figures.share * 100:.3g} % of the traces")
    return "; ".join(parts)


def _say(demand: Demand, value: float) -> str:
    if demand.unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.4g} {demand.unit}".strip()
