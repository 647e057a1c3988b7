"""Objectives judged by the calls in the prepared tables (graph/prepare.py): exactly, not from buckets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.slo.budget import MINUTE_NS, Minutes, budget_left, burn_rates
from tracer_bullet.graph.sql import slo
from tracer_bullet.model import Indicator, Objective, ObjectiveVerdict
from tracer_bullet.model.shares import CONFIDENCE, binomial_tail, calls_needed, wilson
from tracer_bullet.workspace.mistakes import suggest

_NS_PER_S: Final = 1e9
_NS_PER_MS: Final = 1e6
_COLUMNS: Final = (
    ("objective_id", "INTEGER"), ("service", "VARCHAR"), ("operation", "VARCHAR"), ("threshold_ns", "BIGINT"),
    ("window_ns", "BIGINT"), ("client_errors", "INTEGER"),
)  # fmt: skip
Counts = npt.NDArray[np.int64]


def judge_objectives(engine: Engine, objectives: Sequence[Objective]) -> tuple[ObjectiveVerdict, ...]:
    """What the calls say of each objective, in the order given. `engine` has the table `span`.

    A call is an entry span (server, consumer). Of latency a call within the threshold is good, failed or not; of
    availability one that did not fail, or failed by its client's fault. `met` is True when the Wilson interval of the
    share of good calls lies at or above the target and no window is clearly below it; False when the interval lies
    below, or one window has more bad calls than chance gives; else None. docs/slos.md has the formulas.
    """
    if not objectives:
        return ()
    first_ns, last_ns, _ = engine.rows(slo.EXTENT)[0]
    engine.fill("objective", _COLUMNS, [_row(number, objective) for number, objective in enumerate(objectives)])
    engine.define("client_fault", slo.CLIENT_FAULTS)
    engine.define("judged", slo.JUDGED)
    try:
        windows = _by_objective(engine.table(slo.WINDOWS.format(window="window_ns")), len(objectives))
        minutes = _by_objective(engine.table(slo.WINDOWS.format(window=MINUTE_NS)), len(objectives))
        verdicts = []
        for number, objective in enumerate(objectives):
            if not len(windows[number].calls):
                verdicts.append(_unseen(engine, objective))
                continue
            covered = Minutes(
                minute=minutes[number].begin_ns // MINUTE_NS,
                calls=minutes[number].calls,
                bad=minutes[number].bad,
                first=first_ns // MINUTE_NS,
                last=last_ns // MINUTE_NS,
            )
            measured_ms = _measured_ms(engine, number, objective, int(windows[number].calls.sum()))
            verdicts.append(_verdict(objective, windows[number], covered, measured_ms))
    finally:
        for name in ("judged", "client_fault", "objective"):
            engine.drop(name)
    return tuple(verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """Windows with calls, by time."""

    begin_ns: Counts
    calls: Counts
    bad: Counts


def _row(number: int, objective: Objective) -> tuple[int, str, str, int, int, int]:
    threshold_ns = -1 if objective.threshold_ms is None else round(objective.threshold_ms * _NS_PER_MS)
    window_ns = max(round(objective.window_s * _NS_PER_S), 1)
    return number, objective.service, objective.operation, threshold_ns, window_ns, int(objective.client_errors)


def _by_objective(table: pa.Table, objectives: int) -> list[_Windows]:
    columns = {name: np.asarray(table[name].to_numpy(), dtype=np.int64) for name in table.column_names}
    borders = np.searchsorted(columns["objective_id"], np.arange(objectives + 1))
    return [
        _Windows(
            begin_ns=columns["begin_ns"][a:b],
            calls=columns["calls"][a:b],
            bad=columns["bad"][a:b],
        )
        for a, b in pairwise(borders)
    ]


def _measured_ms(engine: Engine, number: int, objective: Objective, calls: int) -> float | None:
    """The observed quantile: the shortest duration that `target` of the calls did not exceed."""
    if objective.indicator is not Indicator.LATENCY:
        return None
    beyond = calls - max(math.ceil(objective.target * calls - 1e-9), 1)
    rows = engine.rows(slo.QUANTILE.format(objective=number, beyond=beyond))
    return float(rows[0][0]) / _NS_PER_MS


def _verdict(objective: Objective, windows: _Windows, minutes: Minutes, measured_ms: float | None) -> ObjectiveVerdict:
    calls, bad = int(windows.calls.sum()), int(windows.bad.sum())
    good = calls - bad
    low, high = wilson(good, calls)
    shares = (windows.calls - windows.bad) / windows.calls
    missed = int(np.sum(shares < objective.target - 1e-12))
    worst = int(np.lexsort((windows.begin_ns, -windows.calls, shares))[0])
    clearly = _clearly_missed(windows, objective.target)
    met = None if low < objective.target <= high else low >= objective.target
    if clearly:
        met = False
    return ObjectiveVerdict(
        objective=objective,
        calls=calls,
        good=good,
        met=met,
        share=good / calls,
        low=low,
        high=high,
        windows=len(shares),
        windows_missed=missed,
        worst_share=float(shares[worst]),
        worst_start_ns=int(windows.begin_ns[worst]),
        budget_left=budget_left(minutes, target=objective.target, budget_s=objective.budget_s),
        burn_rates=burn_rates(minutes, target=objective.target, budget_s=objective.budget_s),
        measured_ms=measured_ms,
        message=_message(objective, calls, bad, (low, high), met=met, clearly=clearly),
    )


def _clearly_missed(windows: _Windows, target: float) -> int:
    """How many windows have more bad calls than chance gives (Bonferroni: of many, one looks bad by chance)."""
    limit = (1 - CONFIDENCE) / 2 / len(windows.calls)
    pairs, times = np.unique(np.stack((windows.bad, windows.calls)), axis=1, return_counts=True)
    return sum(
        int(number)
        for (bad, calls), number in zip(pairs.T.tolist(), times, strict=True)
        if binomial_tail(bad, calls, 1 - target) < limit
    )


def _message(
    objective: Objective, calls: int, bad: int, interval: tuple[float, float], *, met: bool | None, clearly: int
) -> str:
    good = "did not fail" if objective.threshold_ms is None else f"took at most {objective.threshold_ms:g} ms"
    said = f"{calls - bad:,} of {calls:,} calls ({_percent((calls - bad) / calls)}) {good}"
    asked = f"{_percent(objective.target)} are asked for"
    if met is None:
        needed = calls_needed(objective.target)
        why = f"it takes {needed:,} calls, none of them bad, to show it" if calls < needed else "more calls would tell"
        lies = f"the true share lies between {_percent(interval[0])} and {_percent(interval[1])}"
        return f"too few calls to tell: {said}, {asked}; {lies}, and {why}"
    if not met and interval[1] >= objective.target:
        return f"{said}, {asked}: too few in {clearly} window{'s' if clearly != 1 else ''} of {objective.window_s:g} s"
    return f"{said}, {asked}"


def _percent(share: float) -> str:
    """With as many digits as keep it from looking like 100 % when it is not."""
    for digits in range(1, 6):
        text = f"{100 * share:.{digits}f}"
        if share >= 1 or float(text) < 100:
            return f"{text.rstrip('0').rstrip('.')} %"
    return f"{100 * share} %"


def _unseen(engine: Engine, objective: Objective) -> ObjectiveVerdict:
    """The verdict on an objective of which there is no call, with what may have been meant."""
    services = [str(row[0]) for row in engine.rows(slo.CALLED_SERVICES)]
    if objective.service not in services:
        message = f"no span of a service {objective.service!r}"
        close = suggest(objective.service, services)
    else:
        names = [str(name) for service, name in engine.rows(slo.CALLED_OPERATIONS) if service == objective.service]
        what = f"operation {objective.operation!r}" if objective.operation else "server or consumer span"
        message = f"{objective.service} has no {what}"
        close = suggest(objective.operation, names) if objective.operation else ""
    low, high = wilson(0, 0)
    return ObjectiveVerdict(
        objective=objective, calls=0, good=0, met=None, share=0.0, low=low, high=high, windows=0, windows_missed=0,
        worst_share=0.0, worst_start_ns=0, budget_left=1.0, burn_rates=(), measured_ms=None,
        message=f"too few calls to tell: {message}" + (f"; {close}" if close else ""),
    )  # fmt: skip
