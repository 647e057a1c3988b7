"""Two runs compared, step by step: worse, better, the same, or not enough data. Pure, and without chance.

A change of a percentile is the ratio of two, and its interval is put together from those of both on a logarithmic scale
(square-and-add: G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
Statistics in Medicine 27 (2008), 1693-1702; of two shares it is Newcombe's). Each percentile's own interval is that of
order statistics (confidence.py), with as many requests as the run is worth (variance.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tracer_bullet.load.baseline.saved import SavedRun, SavedStep
from tracer_bullet.load.baseline.variance import FEWEST, Worth, worth_at, worth_of_failures
from tracer_bullet.load.confidence import bounds, widened
from tracer_bullet.model.load import BaselineResult
from tracer_bullet.model.shares import newcombe
from tracer_bullet.workspace.thresholds import BaselineSpec

_ORDER: Final = {"worse": 0, "better": 1, "not-enough-data": 2, "same": 3}
_OTHER_RATE: Final = 0.1
_LEAST_MS: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A percentile of one run and its interval, in ms; `why` not, if it cannot be told."""

    value: float
    low: float = 0.0
    high: float = math.inf
    why: str = ""


def compare(before: SavedRun, after: SavedRun, spec: BaselineSpec | None = None) -> tuple[BaselineResult, ...]:
    """The metrics of `spec`, for all requests and for each step of either run; what is worse first.

    `worse` or `better`: the whole interval of the change lies beyond the effect. `same`: the whole of it lies within
    ± the effect. Anything else is `not-enough-data`, with the reason in `detail`.
    """
    spec = spec or BaselineSpec()
    names = dict.fromkeys([*(s.step for s in after.steps), *(s.step for s in before.steps)])
    note = _other_rate(before, after)
    results = [
        _with(result, note) for name in names for result in _step(name, before.step(name), after.step(name), spec)
    ]
    return tuple(sorted(results, key=lambda r: _ORDER[r.verdict]))


def _step(name: str, old: SavedStep | None, new: SavedStep | None, spec: BaselineSpec) -> Iterator[BaselineResult]:
    for metric in spec.metrics:
        if old is None or new is None:
            side = "earlier" if old is None else "later"
            yield _unknown(name, metric, f"the {side} run does not have this step", samples=_samples(metric, old, new))
        elif metric == "error_rate":
            yield _errors(name, old, new, spec)
        else:
            yield _latency(name, metric, old, new, spec)


def _latency(name: str, metric: str, old: SavedStep, new: SavedStep, spec: BaselineSpec) -> BaselineResult:
    percentile = float(metric.removeprefix("p"))
    samples = _samples(metric, old, new)
    before, after = (_side(step, percentile, spec.confidence) for step in (old, new))
    why = "; ".join(f"{which} run: {side.why}" for which, side in (("earlier", before), ("later", after)) if side.why)
    if why:
        return _unknown(name, metric, why, samples=samples, before=before.value, after=after.value)
    b, b_low, b_high = _logs(before)
    a, a_low, a_high = _logs(after)
    low = math.expm1(a - b - math.hypot(a - a_low, b_high - b))
    high = math.expm1(a - b + math.hypot(a_high - a, b - b_low))
    return _result(
        name, metric, before.value, after.value, math.expm1(a - b), (low, high), effect=spec.effect, samples=samples
    )


def _side(step: SavedStep, percentile: float, confidence: float) -> _Side:
    value = step.latency.percentile(percentile)
    if not step.latency.total:
        return _Side(value=0.0, why="no latencies")
    worth = worth_at(step.blocks, percentile)
    if worth is None:
        return _Side(value=value, why=f"shorter than {FEWEST} s, so how much its requests are alike cannot be told")
    low, high = bounds(percentile / 100, worth.independent, confidence=widened(confidence, worth.freedom))
    if low <= 0 or high > 1:
        return _Side(value=value, why=_too_few(worth, f"p{percentile:g}"))
    return _Side(value=value, low=min(step.latency.at_share(low), value), high=max(step.latency.at_share(high), value))


def _too_few(worth: Worth, what: str) -> str:
    alike = f", worth {worth.independent:,.0f} independent ones" if worth.factor > 1.5 else ""
    return f"{worth.n:,} requests{alike} are too few for {what}"


def _logs(side: _Side) -> tuple[float, float, float]:
    value, low, high = (math.log(max(v, _LEAST_MS)) for v in (side.value, side.low, side.high))
    return value, low, high


def _errors(name: str, old: SavedStep, new: SavedStep, spec: BaselineSpec) -> BaselineResult:
    samples = _samples("error_rate", old, new)
    worths = [worth_of_failures(step.blocks) for step in (old, new)]
    rates = [step.failed / step.sent if step.sent else 0.0 for step in (old, new)]
    known = [w for w in worths if w is not None]
    if len(known) < 2:
        why = f"one of the runs is shorter than {FEWEST} s, so how much its requests are alike cannot be told"
        return _unknown(name, "error_rate", why, samples=samples, before=rates[0], after=rates[1])
    low, high = newcombe(
        rates[0] * known[0].independent, known[0].independent, rates[1] * known[1].independent, known[1].independent,
        confidence=widened(spec.confidence, min(w.freedom for w in known)),
    )  # fmt: skip
    change = rates[1] - rates[0]
    return _result(
        name, "error_rate", rates[0], rates[1], change, (low, high), effect=spec.error_effect, samples=samples
    )


def _result(
    name: str,
    metric: str,
    before: float,
    after: float,
    change: float,
    interval: tuple[float, float],
    *,
    effect: float,
    samples: tuple[int, int],
) -> BaselineResult:
    low, high = interval
    if low > effect:
        verdict, detail = "worse", ""
    elif high < -effect:
        verdict, detail = "better", ""
    elif -effect < low and high < effect:
        verdict, detail = "same", ""
    else:
        verdict = "not-enough-data"
        detail = f"the change lies between {100 * low:+.3g} % and {100 * high:+.3g} %: a longer run would tell"
    return BaselineResult(
        step=name, metric=metric, before=before, after=after, change=change, low=low, high=high, verdict=verdict,
        samples=samples, detail=detail,
    )  # fmt: skip


def _unknown(
    name: str, metric: str, why: str, *, samples: tuple[int, int], before: float = 0.0, after: float = 0.0
) -> BaselineResult:
    """Without an interval: its bounds are 0."""
    change = after - before if metric == "error_rate" else (after / before - 1 if before > 0 else 0.0)
    return BaselineResult(
        step=name, metric=metric, before=before, after=after, change=change, low=0.0, high=0.0,
        verdict="not-enough-data", samples=samples, detail=why,
    )  # fmt: skip


def _samples(metric: str, old: SavedStep | None, new: SavedStep | None) -> tuple[int, int]:
    def of(step: SavedStep | None) -> int:
        if step is None:
            return 0
        return step.sent if metric == "error_rate" else step.latency.total

    return of(old), of(new)


def _other_rate(before: SavedRun, after: SavedRun) -> str:
    """A word of warning when the runs did not send at one rate: then a change may be that of the load."""
    rates = [sum(s.sent for s in run.steps[:1]) / run.seconds if run.seconds > 0 else 0.0 for run in (before, after)]
    if not all(rates) or abs(math.log(rates[1] / rates[0])) <= math.log1p(_OTHER_RATE):
        return ""
    return f"the runs sent {rates[0]:,.3g} and {rates[1]:,.3g} requests/s"


def _with(result: BaselineResult, note: str) -> BaselineResult:
    if not note:
        return result
    return replace(result, detail="; ".join(part for part in (result.detail, note) if part))


def regressions(results: Iterable[BaselineResult]) -> tuple[BaselineResult, ...]:
    """Those that are worse."""
    return tuple(r for r in results if r.verdict == "worse")
