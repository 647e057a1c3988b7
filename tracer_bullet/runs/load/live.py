"""How a load run is doing now, for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer_bullet.model.load import GuardrailReading, LoadLive, StepKey
from tracer_bullet.runs.load.begin import Beginning
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.runs.load.report import requests_per_iteration

# Over so many seconds; the newest one is still being counted.
_WINDOW_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """The run that is watched. `figures` change while it lasts: read them only where the run itself does, in its
    thread, and change nothing."""

    run_id: str
    scenario: str
    target: str
    folder: Path
    steps: Sequence[StepKey]
    figures: LoadFigures


def live_of(
    job: LoadJob,
    beginning: Beginning,
    figures: LoadFigures,
    guardrails: tuple[GuardrailReading, ...],
    *,
    start_ns: int,
) -> LoadLive:
    """The last seconds, and totals."""
    t_s = (time.time_ns() - start_ns) / 1e9
    window = figures.recent.window(_WINDOW_S)
    seen_s = min(_WINDOW_S, max(t_s, 0.1))
    overall = figures.all.overall()
    return LoadLive(
        t_s=t_s,
        span_s=beginning.profile.span_s,
        planned_rate=beginning.profile.rate_at(max(t_s, 0.0)) * requests_per_iteration(figures),
        rate=window.requests / seen_s,
        errors=window.bad,
        error_rate=window.bad_share,
        p50_ms=window.latency.p50_ms,
        p95_ms=window.latency.p95_ms,
        p99_ms=window.latency.p99_ms,
        lateness_p99_ms=figures.lateness.window(_WINDOW_S).latency.p99_ms,
        sent=overall.sent,
        failed=overall.failed,
        iterations=figures.accounting().whole,
        users=sum(note.users for note in figures.notes.values()),
        senders=max(1, len(figures.senders)),
        warming_up=t_s < job.spec.warm_up_s,
        left=budgets_left(job, figures, t_s, beginning.profile.span_s),
        guardrails=guardrails,
    )


def budgets_left(job: LoadJob, figures: LoadFigures, t_s: float, span_s: float) -> Mapping[str, str]:
    """What may still be used, by name."""
    limits = job.spec.limits
    left = {"time": f"{max(0.0, span_s - t_s):.0f} s"}
    if limits.requests is not None:
        left["requests"] = f"{max(0, limits.requests - figures.planned - figures.warm_up)}"
    if limits.bytes is not None:
        left["bytes"] = f"{max(0, limits.bytes - figures.request_bytes - figures.answer_bytes)}"
    return left
