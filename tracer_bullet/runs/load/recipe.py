"""The recipe of `tracer-bullet load`: preflight, arm, send, settle, judge, report."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from tracer_bullet.errors import StoppedError, TracerBulletError
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.share import Share
from tracer_bullet.model import Finding, PhaseStarted, Progress, RunEnded, RunEvent, RunStarted, Verdict
from tracer_bullet.model.load import LoadLive, LoadReport, SenderChange, SenderJob, StepKey
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.arming import Arming
from tracer_bullet.runs.load.begin import Beginning, begin
from tracer_bullet.runs.load.collector import Collector
from tracer_bullet.runs.load.conclude import conclude
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.guardrails import Guardrails, open_guardrails
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.runs.load.judging import Judging
from tracer_bullet.runs.load.live import live_of
from tracer_bullet.runs.load.local import Alone
from tracer_bullet.runs.load.report import Findings, make_report, sender_results
from tracer_bullet.runs.load.sending import OpenSenders, Reason, Sending, endpoints_of
from tracer_bullet.runs.replay.bullets import Bullets
from tracer_bullet.runs.replay.guardrails import judge_budget, judge_window
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.runs.replay.passes import kill_switch
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.runs.store import write_spans
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.workspace.runs import RunFolder, create_run, new_run_id, write_json

# From the plan to the first request: the engine process starts meanwhile.
_LEAD_NS = 700_000_000
# So many spans in memory before a part of the table is written.
_SPANS = 20_000
# How often whoever watches is told how it goes.
_TELL_S = 0.5
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Who else takes part: reasons to stop, and who is told how it goes."""

    reasons: Sequence[Reason] = ()
    watchers: Sequence[Callable[[LoadLive], None]] = ()
    senders: OpenSenders = Alone


@dataclass
class _Run:
    """A load run under way."""

    job: LoadJob
    outside: Outside
    beginning: Beginning
    folder: RunFolder
    source: TraceSource
    proof: Proof
    arming: Arming
    guardrails: Guardrails
    steps: Sequence[StepKey]
    figures: LoadFigures
    failures: Failures
    judging: Judging
    start_ns: int = 0
    found: Findings = field(default_factory=Findings)
    extra: list[Finding] = field(default_factory=list)
    changes: list[SenderChange] = field(default_factory=list)
    parts: Iterator[int] = field(default_factory=lambda: count(1))
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
            write_spans(self.folder, self.proof.spans, f"part-{next(self.parts):04}")
            self.proof.spans.clear()

    def look(self) -> StopEvent | None:
        """Why to stop now."""
        if self.proof.stop is not None:
            return self.proof.stop
        spec, after_s = self.job.spec, time.monotonic() - self.began_s
        if self.watching is not None and self.watching.done():  # its error is raised when the pass has ended
            return StopEvent(reason="lost-traces", detail="traces are no longer looked at", after_s=after_s)
        limits, figures = spec.limits, self.figures
        if limits.requests is not None and figures.planned + figures.warm_up >= limits.requests:
            return StopEvent(reason="budget", detail="limits.requests is reached", after_s=after_s)
        if limits.duration_s is not None and after_s >= limits.duration_s:
            return StopEvent(reason="budget", detail="limits.duration_s is reached", after_s=after_s)
        window = figures.all.series.window(spec.guardrails.window_s)
        on_wire = figures.request_bytes + figures.answer_bytes
        return (
            judge_window(window, spec.guardrails, after_s)
            or judge_budget(on_wire, limits, after_s)
            or self.guardrails.look()
            or self.judging.look(after_s)
        )


async def load(
    job: LoadJob, source: TraceSource | None = None, *, outside: Outside | None = None
) -> AsyncIterator[RunEvent]:
    """Send and judge; the last event carries the verdict. `source`: as in `fire`.

    Raises UnreachableError and StoppedError (TB993, TB106x) before anything is sent. However it ends, the run folder
    holds what was sent and received until then.
    """
    if job.kill_file.exists():
        raise StoppedError("TB993", "the kill switch is on", where=str(job.kill_file), cure="remove the file to go on")
    await check_reachable(job.target.url)
    own = source is None
    source = source or await open_source(job.traces)
    try:
        async with open_guardrails(job, source) as guardrails:
            run = _begin(job, source, guardrails, outside or Outside())
            write_json(run.folder.manifest, run.beginning.manifest)
            yield RunStarted(
                run_id=run.folder.run_id,
                folder=run.folder.path,
                scenario=job.name,
                target=job.target.url,
                bullets=run.beginning.manifest.bullets,
            )
            try:
                async for event in _phases(run):
                    yield event
            except BaseException:
                _leave_readable(run)
                raise
    finally:
        if own:
            await source.close()


def _begin(job: LoadJob, source: TraceSource, guardrails: Guardrails, outside: Outside) -> _Run:
    run_id = new_run_id(time.time_ns(), _chance)
    beginning = begin(job, run_id=run_id)
    # What the engine cannot do is told before there is a folder.
    steps = Planner(beginning.job, Share(1, ())).steps
    folder = create_run(job.workspace, run_id)
    proof = Proof(job, source)
    figures = LoadFigures(steps)
    return _Run(
        job=job,
        outside=outside,
        beginning=beginning,
        folder=folder,
        source=source,
        proof=proof,
        arming=Arming(job, beginning.context, proof),
        guardrails=guardrails,
        steps=steps,
        figures=figures,
        failures=Failures(steps),
        judging=Judging(job, steps, figures),
    )


async def _phases(run: _Run) -> AsyncIterator[RunEvent]:
    run.found.stop = _asked(run)
    ready = run.stop is None
    if ready and run.job.armed:
        scenarios = len(run.job.traffic)
        yield PhaseStarted(phase="arm", detail=f"a bullet of {scenarios} scenario{'s' if scenarios != 1 else ''}")
        async for event in run.arming.arm():
            yield event
        run.extra += run.arming.findings
        ready = not run.arming.findings
        run.found.stop = run.proof.stop or _asked(run)
    if ready and run.stop is None:
        async for event in _send(run):
            yield event
    yield PhaseStarted(phase="judge", detail="traces, thresholds, punctuality")
    async for event in _conclude(run):
        yield event


def _asked(run: _Run) -> StopEvent | None:
    return next((event for reason in run.outside.reasons if (event := reason()) is not None), None)


async def _send(run: _Run) -> AsyncIterator[RunEvent]:
    if isinstance(run.source, Receiver):
        run.source.keep_share(run.beginning.share)
    span_s, lines = run.beginning.profile.span_s, ", ".join(run.beginning.profile.lines())
    yield PhaseStarted(phase="send", detail=f"{lines} at {run.job.target.url}, {span_s:.0f} s")
    run.began_s = time.monotonic()
    watching = run.watching = asyncio.create_task(run.proof.watch())
    try:
        async with run.outside.senders() as senders:
            run.start_ns = time.time_ns() + _LEAD_NS
            run.figures.measured_from_ns = run.start_ns + round(run.job.spec.warm_up_s * 1e9)
            sending = make_sending(run, senders)
            try:
                async for event in tell(run, sending, replace(run.beginning.job, start_ns=run.start_ns)):
                    yield event
            finally:
                run.changes += sending.changes
                run.found.stop = run.stop or sending.stop
                run.found.senders = sender_results(run.figures, run.changes, getattr(senders, "results", ()))
    finally:
        run.watching = None
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    yield PhaseStarted(phase="settle", detail=f"{run.proof.waiting} traces")
    await run.proof.settle()


def make_sending(run: _Run, senders: object) -> Sending:
    """A pass of these senders, with all reasons to stop."""
    base_url = run.job.target.url
    bullets = Bullets(f"load {run.job.name}", run.folder.run_id, _chance, run.numbers, per_request=False)
    switch = kill_switch(run.job.kill_file, lambda: run.began_s)
    return Sending(
        senders=senders,  # type: ignore[arg-type]
        steps=run.steps,
        figures=run.figures,
        failures=run.failures,
        collector=Collector(bullets, run.proof, run.steps, base_url=base_url, share=run.beginning.share),
        parts=ShotParts(run.folder, endpoints_of(run.steps)),
        reasons=(switch, run.look, *run.outside.reasons),
    )


async def tell(run: _Run, sending: Sending, job: SenderJob) -> AsyncIterator[RunEvent]:
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


async def _conclude(run: _Run) -> AsyncIterator[RunEvent]:
    run.found.armed = tuple(run.arming.steps)
    run.found.audited = len(run.proof.verdicts) - len(run.arming.steps and run.job.traffic)
    run.found.guardrails = run.guardrails.readings()
    run.found.failures = await run.judging.failures(run.failures.groups())
    run.keep_spans()
    verdict = _verdict(run, _report(run))
    # After the verdict: what cannot be drawn must not keep it from being written.
    yield PhaseStarted(phase="report", detail="analysis, page, JUnit")
    with contextlib.suppress(TracerBulletError):
        await asyncio.to_thread(_analyse, run)
        verdict = _verdict(run, _report(run))  # demands on services are judged by the analysis
    state = "interrupted" if run.stop is not None and run.stop.reason == "interrupt" else "finished"
    _write_manifest(run, state)
    await asyncio.to_thread(_write_outputs, run)
    yield RunEnded(verdict=verdict, folder=run.folder.path)


def _report(run: _Run) -> LoadReport:
    run.found.thresholds = run.judging.thresholds(run.found.services)
    run.found.baseline_run, run.found.baseline = run.judging.baseline()
    return make_report(run.job, run.beginning, run.figures, run.found, start_ns=run.start_ns)


def _verdict(run: _Run, report: LoadReport) -> Verdict:
    write_json(run.folder.load, report)
    verdict = conclude(
        report, run.proof.verdicts, run_id=run.folder.run_id, name=run.job.name, extra=(*run.extra, *run.judging.notes)
    )
    write_json(run.folder.verdict, verdict)
    return verdict


def _analyse(run: _Run) -> None:
    # Only here: what they bring would lie in memory while it sends.
    from tracer_bullet.runs.analyse import analyse_run  # noqa: PLC0415
    from tracer_bullet.runs.load.services import read_services  # noqa: PLC0415

    for _ in analyse_run(run.folder, run.job.context):
        pass
    run.found.services, run.found.sampling = read_services(run.folder, run.job, run.beginning.share)


def _write_outputs(run: _Run) -> None:
    from tracer_bullet.runs.load.outputs import write_load_outputs  # noqa: PLC0415
    from tracer_bullet.runs.outputs import write_outputs  # noqa: PLC0415

    write_load_outputs(run.folder, run.steps, run.figures, run.job)
    write_outputs(run.folder, run.job.context.catalog)


def _write_manifest(run: _Run, state: str) -> None:
    write_json(run.folder.manifest, replace(run.beginning.manifest, state=state, ended_ns=time.time_ns()))


def _leave_readable(run: _Run) -> None:
    """An interrupted run keeps what it has; what fails here must not hide why it ended."""
    with contextlib.suppress(TracerBulletError):
        _write_manifest(run, "interrupted")
        run.keep_spans()
        write_json(run.folder.load, make_report(run.job, run.beginning, run.figures, run.found, start_ns=run.start_ns))
