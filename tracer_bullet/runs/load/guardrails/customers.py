"""How customers fare meanwhile: latency and errors of STANDARD spans, and how fast they use up an error budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tracer_bullet.errors import UsageError
from tracer_bullet.model import Indicator, Objective
from tracer_bullet.runs.load.guardrails.guardrail import Guardrail, seconds
from tracer_bullet.runs.load.guardrails.patience import Look, Patience, Sight
from tracer_bullet.traces.standard import StandardCall, StandardMeter, StandardWindow
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.safety import ErrorBudgetSpec, StandardSpec

_NS_PER_S = 1e9
# What a look takes: nothing is asked, only counted.
_TIMEOUT_S = 1.0


def standard_meter(spec: StandardSpec) -> StandardMeter:
    """What counts for `spec`."""
    return StandardMeter(spec.service, spec.operation, window_s=spec.window_s)


def standard_guardrail(
    spec: StandardSpec, meter: StandardMeter, clock: Callable[[], float] = time.monotonic
) -> Guardrail:
    """Latency and errors of the customers of a service."""
    limits = [f"p{share * 100:g} {seconds(limit)}" for share, limit in spec.percentiles]
    if spec.errors is not None:
        limits.append(f"errors {spec.errors:.3%}")

    async def look() -> Look:
        return judge_standard(spec, meter.window(clock()))

    return Guardrail(
        name=f"customers of {_name(spec.service, spec.operation)}",
        limit=f"{', '.join(limits)} over {seconds(spec.window_s)}",
        every_s=spec.every_s,
        timeout_s=_TIMEOUT_S,
        patience=Patience(for_s=spec.for_s, unknown_for_s=spec.unknown_for_s),
        look=look,
    )


def judge_standard(spec: StandardSpec, window: StandardWindow) -> Look:
    """What a window of calls says. Percentiles are within 2 % (model/distribution.py). Pure."""
    few = _too_few(window, spec.at_least, spec.window_s)
    if few is not None:
        return few
    shown, worst, bad = [], 0.0, False
    for share, limit_s in spec.percentiles:
        found_s = window.durations.quantile_ns(share) / _NS_PER_S
        shown.append(f"p{share * 100:g} {found_s * 1000:.0f} ms")
        worst, bad = max(worst, found_s / limit_s), bad or found_s > limit_s
    if spec.errors is not None:
        found = window.bad / window.calls
        shown.append(f"{window.bad} of {window.calls} failed")
        worst, bad = max(worst, found / max(spec.errors, 1e-9)), bad or found > spec.errors
    return Look(sight=Sight.BAD if bad else Sight.WELL, text=", ".join(shown), badness=worst)


def find_objective(spec: ErrorBudgetSpec, objectives: Sequence[Objective]) -> Objective:
    """The objective that a guardrail names. Raises UsageError TB1061 with the closest name."""
    named = {objective.name: objective for objective in objectives}
    if spec.slo not in named:
        known = f"known: {', '.join(named)}" if named else "the workspace has none: docs/slos.md says how to write one"
        raise UsageError(
            "TB1061",
            f"the workspace has no objective {spec.slo!r}",
            where="load.guardrails.error_budget",
            cure=suggest(spec.slo, named) or known,
        )
    return named[spec.slo]


def budget_meter(spec: ErrorBudgetSpec, objective: Objective) -> StandardMeter:
    """What counts for `spec`: bad calls as the objective has them (graph/sql/slo.py)."""
    return StandardMeter(
        objective.service, objective.operation, window_s=spec.window_s, is_bad=lambda call: is_bad(objective, call)
    )


def is_bad(objective: Objective, call: StandardCall) -> bool:
    """Whether a call uses up the objective's budget. Pure."""
    if objective.indicator is Indicator.LATENCY:
        return call.duration_ns > round((objective.threshold_ms or 0.0) * 1e6)
    return call.failed and (objective.client_errors or not call.client_fault)


def budget_guardrail(
    spec: ErrorBudgetSpec, objective: Objective, meter: StandardMeter, clock: Callable[[], float] = time.monotonic
) -> Guardrail:
    """How fast the customers' error budget goes."""

    async def look() -> Look:
        return judge_burn(spec, objective, meter.window(clock()))

    return Guardrail(
        name=f"error budget of {objective.name}",
        limit=f"burn rate {spec.burn:g} over {seconds(spec.window_s)}",
        every_s=spec.every_s,
        timeout_s=_TIMEOUT_S,
        patience=Patience(for_s=spec.for_s, unknown_for_s=spec.unknown_for_s),
        look=look,
    )


def judge_burn(spec: ErrorBudgetSpec, objective: Objective, window: StandardWindow) -> Look:
    """The share of bad calls over the share allowed: at 1 the budget lasts its period (graph/slo/budget.py). Pure."""
    few = _too_few(window, spec.at_least, spec.window_s)
    if few is not None:
        return few
    # Rounded as there, so that a burn of exactly the limit is still allowed.
    burn = round(window.bad / window.calls / (1 - objective.target), 9)
    text = f"burn rate {burn:.3g} ({window.bad} of {window.calls} calls bad)"
    return Look(sight=Sight.BAD if burn > spec.burn else Sight.WELL, text=text, badness=burn)


def _too_few(window: StandardWindow, at_least: int, window_s: float) -> Look | None:
    if window.calls >= at_least:
        return None
    text = f"{window.calls} calls of customers within {seconds(window_s)} (needed: {at_least})"
    return Look(sight=Sight.UNKNOWN, text=text)


def _name(service: str, operation: str) -> str:
    return f"{service} {operation}".strip()
