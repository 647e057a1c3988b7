"""A threshold as it is judged, and where it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracer_bullet.errors import UsageError
from tracer_bullet.model.load import StepKey
from tracer_bullet.workspace.demands import Demand, parse_demand
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.thresholds import ThresholdSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A demand on all requests, or on those of a scenario, a step, or a service (from its spans)."""

    demand: Demand
    scenario: str | None = None
    step: str | None = None
    service: str | None = None
    abort: bool = False
    after_s: float = 10.0

    @property
    def scope(self) -> str:
        """As people say it."""
        if self.service is not None:
            return f"service {self.service}"
        if self.step is not None:
            return f"step {self.scenario} / {self.step}" if self.scenario else f"step {self.step}"
        return f"scenario {self.scenario}" if self.scenario else "all"


def parse(spec: ThresholdSpec) -> Threshold:
    """The threshold of a spec. Raises ValueError in words when its text is none."""
    return Threshold(
        demand=parse_demand(spec.expect),
        scenario=spec.scenario,
        step=spec.step,
        service=spec.service,
        abort=spec.abort,
        after_s=spec.after_s,
    )


def parse_all(specs: Iterable[ThresholdSpec], steps: Sequence[StepKey]) -> tuple[Threshold, ...]:
    """The thresholds of a run with these steps. Raises UsageError (TB1030) for a scenario or step that it has not."""
    found = tuple(parse(spec) for spec in specs)
    for threshold in found:
        numbers_of(threshold, steps)
    return found


def numbers_of(threshold: Threshold, steps: Sequence[StepKey], *, where: str = "") -> tuple[int, ...]:
    """The numbers of the steps that it is about; none for a service. `where` it is written, as `file:line`.

    Raises UsageError (TB1030) for a scenario or a step that is not there, or a step that several scenarios have.
    """
    if threshold.service is not None:
        return ()
    scenarios = list(dict.fromkeys(s.scenario for s in steps))
    if threshold.scenario is not None and threshold.scenario not in scenarios:
        raise _unknown(threshold, "scenario", threshold.scenario, scenarios, where)
    inside = [n for n, s in enumerate(steps) if threshold.scenario in (None, s.scenario)]
    if threshold.step is None:
        return tuple(inside)
    chosen = [n for n in inside if steps[n].step == threshold.step]
    if not chosen:
        raise _unknown(threshold, "step", threshold.step, [steps[n].step for n in inside], where)
    of = list(dict.fromkeys(steps[n].scenario for n in chosen))
    if len(of) > 1:
        raise UsageError(
            "TB1030",
            f"the threshold {threshold.demand.text!r} is on a step that several scenarios have: {threshold.step!r}",
            where=where,
            why=f"it is in {', '.join(of)}",
            cure=f"say of which, as `scenario: {of[0]}`",
        )
    return tuple(chosen)


def _unknown(threshold: Threshold, kind: str, name: str, known: Iterable[str], where: str) -> UsageError:
    names = list(dict.fromkeys(known))
    close = suggest(name, names)
    return UsageError(
        "TB1030",
        f"the threshold {threshold.demand.text!r} is on a {kind} that this run does not have: {name!r}",
        where=where,
        why=f"it has {', '.join(names)}" if names else "",
        cure=close or f"name a {kind} that is sent",
    )
