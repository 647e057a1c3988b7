"""From figures to `load.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer_bullet.engine.histogram.punctuality import Punctuality
from tracer_bullet.model.load import (
    BaselineResult,
    Capacity,
    FailureGroup,
    GuardrailReading,
    LoadReport,
    LoadSecond,
    LocustEntry,
    SenderChange,
    SenderResult,
    ServiceResult,
    ThresholdResult,
)
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.begin import Beginning
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.job import LoadJob

# A longer run is told in wider steps.
MAX_POINTS = 600


@dataclass
class Findings:
    """What is known beside the figures."""

    thresholds: tuple[ThresholdResult, ...] = ()
    baseline: tuple[BaselineResult, ...] = ()
    baseline_run: str = ""
    capacity: Capacity | None = None
    services: tuple[ServiceResult, ...] = ()
    guardrails: tuple[GuardrailReading, ...] = ()
    failures: Sequence[FailureGroup] = ()
    sampling: str = ""
    armed: Sequence[str] = ()
    audited: int = 0
    stop: StopEvent | None = None
    senders: Sequence[SenderResult] = field(default_factory=tuple)
    locust: Sequence[LocustEntry] = field(default_factory=tuple)


def make_report(
    job: LoadJob, beginning: Beginning, figures: LoadFigures, found: Findings, *, start_ns: int
) -> LoadReport:
    """The report of what was measured; warm-up is only counted."""
    return LoadReport(
        scenarios=tuple(t.scenario.value.name for t in job.traffic),
        model="open" if job.spec.is_open else "closed",
        profile=_profile(job, beginning),
        span_s=beginning.profile.span_s if found.capacity is None else 0.0,
        warm_up_s=job.spec.warm_up_s,
        accounting=figures.accounting(),
        timing=figures.all.timing(job.spec.guardrails.lateness_p99_ms),
        overall=figures.all.overall(),
        steps=figures.step_results(),
        iterations=figures.iteration_results(),
        services=found.services,
        senders=tuple(found.senders),
        locust=tuple(found.locust),
        thresholds=found.thresholds,
        baseline=found.baseline,
        baseline_run=found.baseline_run,
        capacity=found.capacity,
        failures=tuple(found.failures),
        curve=tuple(curve_of(beginning, figures, start_ns=start_ns)),
        guardrails=found.guardrails,
        sampling=found.sampling,
        armed=tuple(found.armed),
        audited=found.audited,
        stop=found.stop,
    )


def _profile(job: LoadJob, beginning: Beginning) -> tuple[str, ...]:
    if not job.find_capacity:
        return tuple(beginning.profile.lines())
    asked = job.spec.capacity
    return (f"search for capacity, from {asked.start:g}/s to {asked.max:g}/s at most",)


def sender_results(
    figures: LoadFigures, changes: Sequence[SenderChange], known: Sequence[SenderResult]
) -> list[SenderResult]:
    """How each sender did. `known`: what a fleet says of its own."""
    if known:
        return list(known)
    found = []
    gone = {c.sender: c.detail for c in changes if c.what == "lost"}
    for number in sorted({*figures.senders, *gone}):
        lateness = figures.senders.get(number, Punctuality()).lateness_of_all
        note = figures.notes.get(number)
        found.append(
            SenderResult(
                sender=number,
                name=f"sender {number + 1}",
                sent=lateness.count,
                lateness=lateness.quantiles(),
                cpu_share=note.cpu if note is not None else 0.0,
                lost=gone.get(number, ""),
            )
        )
    return found


def locust_entries(table: Sequence[Mapping[str, Any]]) -> list[LocustEntry]:
    """What a Locust master counted (load.locust.master), the sum of all last."""
    found = []
    for row in table:
        at = row["percentiles_ms"]
        found.append(
            LocustEntry(
                name=str(row["name"]),
                requests=int(row["requests"]),
                failures=int(row["failures"]),
                p50_ms=at["0.5"],
                p95_ms=at["0.95"],
                p99_ms=at["0.99"],
                max_ms=row["max_ms"],
            )
        )
    return found


def curve_of(beginning: Beginning, figures: LoadFigures, *, start_ns: int) -> list[LoadSecond]:
    """The run second by second, in at most MAX_POINTS steps. In a step that is several seconds wide, a percentile is
    the worst of its seconds."""
    seconds = figures.all.series.seconds()
    if not seconds:
        return []
    start_s = start_ns // 1_000_000_000
    late = {s.second: s.p99_ms for s in figures.lateness.seconds()}
    width = max(1, -(-(seconds[-1].second - seconds[0].second + 1) // MAX_POINTS))
    per_iteration = requests_per_iteration(figures)
    points = []
    by_step: dict[int, list[int]] = {}
    for index, second in enumerate(seconds):
        by_step.setdefault((second.second - seconds[0].second) // width, []).append(index)
    for step, members in sorted(by_step.items()):
        some = [seconds[i] for i in members]
        t_s = seconds[0].second - start_s + step * width
        planned = beginning.profile.rate_at(max(0.0, t_s + width / 2)) * per_iteration
        points.append(
            LoadSecond(
                t_s=float(t_s),
                width_s=float(width),
                planned_rate=planned,
                rate=sum(s.requests for s in some) / width,
                bad=sum(s.bad for s in some),
                p50_ms=max(s.p50_ms for s in some),
                p99_ms=max(s.p99_ms for s in some),
                lateness_p99_ms=max((late.get(s.second, 0.0) for s in some), default=0.0),
                users=max((figures.users.get(s.second, 0) for s in some), default=0),
            )
        )
    return points


def requests_per_iteration(figures: LoadFigures) -> float:
    """How many requests an iteration makes, so far."""
    accounting = figures.accounting()
    return accounting.planned / accounting.begun if accounting.begun else 1.0
