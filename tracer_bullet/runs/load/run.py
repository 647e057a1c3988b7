"""A load run under way: what all its phases share, and a pass of its senders."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from tracer_bullet.load.baseline import SavedRun
from tracer_bullet.model import Finding, Progress, RunEvent
from tracer_bullet.model.load import LoadLive, SenderJob, StepKey
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.arming import Arming
from tracer_bullet.runs.load.begin import Beginning
from tracer_bullet.runs.load.collector import Collector
from tracer_bullet.runs.load.failed_traces import FailedTraces
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.guardrails import Guardrails
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.runs.load.judging import Judging
from tracer_bullet.runs.load.live import LiveRun, live_of
from tracer_bullet.runs.load.local import Alone
from tracer_bullet.runs.load.report import Findings
from tracer_bullet.runs.load.sending import OpenSenders, Reason, Senders, Sending
from tracer_bullet.runs.load.services import Services
from tracer_bullet.runs.replay.bullets import Bullets
from tracer_bullet.runs.replay.guardrails import judge_budget, judge_window
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.runs.replay.passes import kill_switch
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.store import write_spans
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.traces.recent import Recent
from tracer_bullet.workspace.runs import RunFolder

# So many spans in memory before a part of the table is written.
_SPANS = 20_000
# How often whoever watches is told how it goes.
_TELL_S = 0.5
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Who else takes part: reasons to stop, and who is told how it goes. `begun` are told once, before anything is
    sent."""

    reasons: Sequence[Reason] = ()
    begun: Sequence[Callable[[LiveRun], None]] = ()
    watchers: Sequence[Callable[[LoadLive], None]] = ()
    senders: OpenSenders = Alone


@dataclass
class Run:
    """A load run under way. `share` of iterations is audited."""

    job: LoadJob
    outside: Outside
    beginning: Beginning
    folder: RunFolder
    source: TraceSource
    proof: Proof
    arming: Arming
    guardrails: Guardrails
    steps: Sequence[StepKey]
    parts: ShotParts
    figures: LoadFigures
    failures: Failures
    judging: Judging
    failed: FailedTraces
    earlier: SavedRun | None
    share: float = 1.0
    services: Services = field(default_factory=Services)
    start_ns: int = 0
    found: Findings = field(default_factory=Findings)
    extra: list[Finding] = field(default_factory=list)
    span_parts: Iterator[int] = field(default_factory=lambda: count(1))
    numbers: Iterator[int] = field(default_factory=lambda: count(1_000_000))
    watching: asyncio.Task[None] | None = None
    began_s: float = field(default_factory=time.monotonic)

    @property
    def stop(self) -> StopEvent | None:
        """Why it ended before its time."""
        return self.found.stop

    def keep_spans(self, *, at_least: int = 0) -> None:
        """Write the spans of judged traces as a part of the span table, once there are so many."""
        if len(self.proof.spans) > at_least:
            write_spans(self.folder, self.proof.spans, f"part-{next(self.span_parts):04}")
            self.proof.spans.clear()

    def halt(self) -> StopEvent | None:
        """Why not even a single bullet may be sent now, before, between and after passes."""
        reasons = (*_switches(self), lambda: self.proof.stop, self.guardrails.look)
        if self.start_ns:
            reasons = (*reasons, lambda: self._budget(time.monotonic() - self.began_s))
        return next((event for reason in reasons if (event := reason()) is not None), None)

    def look(self) -> StopEvent | None:
        """Why to stop now."""
        if self.proof.stop is not None:
            return self.proof.stop
        spec, after_s = self.job.spec, time.monotonic() - self.began_s
        if self.watching is not None and self.watching.done():  # its error is raised when the pass has ended
            return StopEvent(reason="lost-traces", detail="traces are no longer looked at", after_s=after_s)
        window = self.figures.recent.window(spec.guardrails.window_s)
        return (
            self._budget(after_s)
            or judge_window(window, spec.guardrails, after_s)
            or self.guardrails.look()
            or self.judging.look(after_s)
        )

    def _budget(self, after_s: float) -> StopEvent | None:
        limits, figures = self.job.spec.limits, self.figures
        # What a slow target has not answered yet was sent all the same.
        if limits.requests is not None and max(figures.planned + figures.warm_up, figures.sent) >= limits.requests:
            return StopEvent(reason="budget", detail="limits.requests is reached", after_s=after_s)
        if limits.duration_s is not None and after_s >= limits.duration_s:
            return StopEvent(reason="budget", detail="limits.duration_s is reached", after_s=after_s)
        return judge_budget(figures.request_bytes + figures.answer_bytes, limits, after_s)


def _switches(run: Run) -> tuple[Reason, ...]:
    """What people stop it by: the kill switch, windows, whoever else takes part."""

    def began_s() -> float:
        return run.began_s

    return kill_switch(run.job.kill_file, began_s), run.job.windows.reason(began_s), *run.outside.reasons


@contextlib.asynccontextmanager
async def watched(run: Run, *, since_s: float | None = None) -> AsyncIterator[None]:
    """Traces are judged as they come in, until the block ends. `since_s`: since when time counts, by default now."""
    run.began_s = run.guardrails.began_s = time.monotonic() if since_s is None else since_s
    watching = run.watching = asyncio.create_task(run.proof.watch())
    try:
        yield
    finally:
        run.watching = None
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def make_sending(run: Run, senders: Senders, *, share: float) -> Sending:
    """A pass of these senders, with all reasons to stop. `share` of iterations is audited."""
    if isinstance(run.source, Receiver):
        run.source.keep_share(share, recent=Recent())
    base_url = run.job.target.url
    bullets = Bullets(f"load {run.job.name}", run.folder.run_id, _chance, run.numbers, per_request=False)
    return Sending(
        senders=senders,
        steps=run.steps,
        figures=run.figures,
        failures=run.failures,
        collector=Collector(bullets, run.proof, run.steps, base_url=base_url, share=share),
        parts=run.parts,
        measured=run.judging.shots,
        heard=run.failed.shots,
        reasons=(*_switches(run), run.look),
    )


async def tell(run: Run, sending: Sending, job: SenderJob) -> AsyncIterator[RunEvent]:
    """Send a job, telling now and then how it goes."""
    told_s = 0.0
    async for done in sending.run(job):
        run.keep_spans(at_least=_SPANS)
        if time.monotonic() - told_s < _TELL_S:
            continue
        told_s = time.monotonic()
        live = live_of(run.job, run.beginning, run.figures, run.guardrails.readings(), start_ns=run.start_ns)
        for watcher in run.outside.watchers:
            watcher(live)
        yield Progress(phase="send", done=done, total=0, live=live)
