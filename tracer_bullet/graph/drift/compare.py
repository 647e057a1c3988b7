"""Two sets of traces compared: edges, latencies, errors. Significance and a least effect together make a change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from tracer_bullet.graph.drift.side import Calls, Side
from tracer_bullet.graph.drift.statistics import (
    QuantileShift,
    benjamini_hochberg,
    cliffs_delta,
    fisher,
    magnitude,
    none_by_chance,
    shift_of,
)
from tracer_bullet.graph.drift.words import regressions
from tracer_bullet.model import Change, Drift, EdgeDrift, ErrorDrift, LatencyDrift
from tracer_bullet.model.shares import enough_for, newcombe

QUANTILES: Final = (0.5, 0.95, 0.99)
_ORDER: Final = {change: place for place, change in enumerate((
    Change.WENT, Change.CAME, Change.MORE_ERRORS, Change.SLOWER, Change.FASTER, Change.FEWER_ERRORS, Change.UNKNOWN,
    Change.SAME,
))}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """When a difference is a change, and which changes are regressions.

    `alpha`: the share of false alarms among alarms that is allowed (Benjamini-Hochberg, for edges, latencies and errors
    each). A latency must move by `least_share` of what it was and by `least_ms`; errors by `least_errors` of all calls.
    """

    alpha: float = 0.05
    least_share: float = 0.10
    least_ms: float = 1.0
    least_errors: float = 0.005
    fail_on: frozenset[Change] = frozenset({Change.SLOWER, Change.MORE_ERRORS})

    def least_shift_ms(self, before_ms: float) -> float:
        """By how much a latency must move."""
        return max(self.least_share * before_ms, self.least_ms)


def compare(before: Side, after: Side, rules: DriftRules | None = None) -> Drift:
    """What changed from `before` to `after`. Uses counts and bucketed durations alone; the same input gives the same.

    An operation that only one side has is told through its edges. docs/drift.md has the method.
    """
    rules = rules or DriftRules()
    edges = _edges(before, after, rules)
    both = sorted(before.operations.keys() & after.operations.keys())
    latencies = _latencies([(key, before.operations[key], after.operations[key]) for key in both], rules)
    errors = _errors([(key, before.operations[key], after.operations[key]) for key in both], rules)
    changes = [e.change for e in edges] + [r.change for r in latencies] + [r.change for r in errors]
    unknown = changes.count(Change.UNKNOWN)
    drift = Drift(
        before=before.name,
        after=after.name,
        edges=edges,
        latencies=latencies,
        errors=errors,
        unknown=unknown,
        judged=len(changes) - unknown,
        before_traces=before.traces,
        after_traces=after.traces,
    )
    return replace(drift, regressed=regressions(drift, rules.fail_on))


def _edges(before: Side, after: Side, rules: DriftRules) -> tuple[EdgeDrift, ...]:
    found = [_missing(ends, before, after, Change.WENT) for ends in before.edges.keys() - after.edges.keys()]
    found += [_missing(ends, after, before, Change.CAME) for ends in after.edges.keys() - before.edges.keys()]
    found.sort(key=lambda e: (e.source, e.target))
    shared = len(before.edges.keys() & after.edges.keys())
    corrected = benjamini_hochberg([e.p_value for e in found] + [1.0] * shared)
    rows = [
        replace(e, p_value=p, change=e.change if p <= rules.alpha else Change.UNKNOWN)
        for e, p in zip(found, corrected[: len(found)], strict=True)
    ]
    return tuple(sorted(rows, key=lambda e: (_ORDER[e.change], -e.expected, e.source, e.target)))


def _missing(ends: tuple[str, str], seen: Side, other: Side, change: Change) -> EdgeDrift:
    """An edge that `seen` has and `other` has not."""
    source, target = ends
    uses = seen.edges[ends]
    here, there = max(seen.chances(source), uses.traces), other.chances(source)
    expected = uses.calls * there / here
    message = (
        f"{uses.calls:,} calls in {uses.traces:,} of {here:,} traces of {seen.name}; "
        f"{expected:,.1f} were to be expected in {there:,} traces of {other.name}, and there are none"
    )
    if source not in other.called:
        message += f"; {source} is not in {other.name} at all"
    return EdgeDrift(
        source=source,
        target=target,
        change=change,
        calls=uses.calls,
        expected=expected,
        p_value=none_by_chance(uses.traces, here, there),
        message=message,
    )


Pair = tuple[tuple[str, str], Calls, Calls]


def _latencies(pairs: list[Pair], rules: DriftRules) -> tuple[LatencyDrift, ...]:
    rows: list[tuple[LatencyDrift, QuantileShift | None]] = []
    for (service, name), old, new in pairs:
        effect = cliffs_delta(old.durations, new.durations)
        for quantile in QUANTILES:
            told = enough_for(quantile, old.worth) and enough_for(quantile, new.worth)
            shift = (
                shift_of(quantile, old.durations, new.durations, before_calls=old.worth, after_calls=new.worth)
                if told
                else None
            )
            rows.append((_latency(service, name, quantile, old, new, effect, shift), shift))
    corrected = iter(benjamini_hochberg([s.p_value for _, s in rows if s is not None]))
    decided = [row if s is None else replace(row, change=_moved(s, next(corrected), rules)) for row, s in rows]
    return tuple(
        sorted(
            decided,
            key=lambda r: (
                _ORDER[r.change], -abs(r.difference_ms) * r.after_calls, r.service, r.operation, r.quantile,
            ),
        )
    )  # fmt: skip


def _latency(
    service: str, name: str, quantile: float, old: Calls, new: Calls, effect: float, shift: QuantileShift | None
) -> LatencyDrift:
    before_ms, after_ms = (side.durations.quantile_ns(quantile) / 1e6 for side in (old, new))
    return LatencyDrift(
        service=service,
        operation=name,
        quantile=quantile,
        before_calls=old.calls,
        after_calls=new.calls,
        before_ms=before_ms,
        after_ms=after_ms,
        difference_ms=after_ms - before_ms,
        # Without enough calls the interval is all that is possible: what was met on either side.
        low_ms=shift.low_ms if shift else (new.durations.min_ns - old.durations.max_ns) / 1e6,
        high_ms=shift.high_ms if shift else (new.durations.max_ns - old.durations.min_ns) / 1e6,
        effect=effect,
        magnitude=magnitude(effect),
        change=Change.UNKNOWN,
    )


def _moved(shift: QuantileShift, p_value: float, rules: DriftRules) -> Change:
    """A change needs significance and size; the answer "same" needs an interval that holds no change of that size."""
    difference, least = shift.after_ms - shift.before_ms, rules.least_shift_ms(shift.before_ms)
    if p_value <= rules.alpha and abs(difference) >= least:
        return Change.SLOWER if difference > 0 else Change.FASTER
    return Change.SAME if -least < shift.low_ms and shift.high_ms < least else Change.UNKNOWN


def _errors(pairs: list[Pair], rules: DriftRules) -> tuple[ErrorDrift, ...]:
    rows: list[ErrorDrift] = []
    p_values: list[float] = []
    for (service, name), old, new in pairs:
        bad_old, bad_new = _worth_of_errors(old), _worth_of_errors(new)
        low, high = newcombe(bad_old, old.worth, bad_new, new.worth)
        p_values.append(fisher(round(bad_old), old.worth, round(bad_new), new.worth))
        before, after = old.errors / max(old.calls, 1), new.errors / max(new.calls, 1)
        rows.append(
            ErrorDrift(
                service=service, operation=name, before_calls=old.calls, after_calls=new.calls,
                before=before, after=after, low=low, high=high, change=Change.UNKNOWN,
            )
        )  # fmt: skip
    decided = [
        replace(row, change=_failing(row, p, rules)) for row, p in zip(rows, benjamini_hochberg(p_values), strict=True)
    ]
    return tuple(
        sorted(
            decided,
            key=lambda r: (_ORDER[r.change], -abs(r.after - r.before) * r.after_calls, r.service, r.operation),
        )
    )


def _worth_of_errors(calls: Calls) -> float:
    return calls.errors * calls.worth / max(calls.calls, 1)


def _failing(row: ErrorDrift, p_value: float, rules: DriftRules) -> Change:
    difference, least = row.after - row.before, rules.least_errors
    if p_value <= rules.alpha and abs(difference) >= least:
        return Change.MORE_ERRORS if difference > 0 else Change.FEWER_ERRORS
    return Change.SAME if -least < row.low and row.high < least else Change.UNKNOWN


def changes_of(names: Iterable[str]) -> frozenset[Change]:
    """The changes of these names. Raises ValueError for a name that is none."""
    return frozenset(Change(name) for name in names)
