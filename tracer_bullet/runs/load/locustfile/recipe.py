"""The recipe of `tracer-bullet load -f locustfile.py`: a real Locust in a child process, conducted from here.

It arms endpoint by endpoint while Locust runs, audits a share of the traces, stops Locust for a reason, and judges.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final

from tracer_bullet.errors import ExitCode, StoppedError, TracerBulletError, UsageError
from tracer_bullet.load.locustfile import check_locust
from tracer_bullet.load.locustfile.protocol import KEPT_SHARE
from tracer_bullet.model import Outcome, PhaseStarted, Progress, RunEnded, RunEvent, RunStarted, Severity, Verdict
from tracer_bullet.model.load import LoadReport, SenderResult
from tracer_bullet.model.replay import Quantiles, StopEvent, Timing
from tracer_bullet.runs.load.guardrails import Guardrails, Watched, watch_target
from tracer_bullet.runs.load.locustfile.begin import RENEW_S, Beginning, begin, new_token, trace_rate
from tracer_bullet.runs.load.locustfile.conclude import Ending, conclude
from tracer_bullet.runs.load.locustfile.desk import Desk
from tracer_bullet.runs.load.locustfile.figures import LocustFigures
from tracer_bullet.runs.load.locustfile.job import LocustfileJob
from tracer_bullet.runs.load.locustfile.processes import Child, LocustProcess, Parent
from tracer_bullet.runs.replay.guardrails import judge_budget, judge_window
from tracer_bullet.runs.replay.passes import kill_switch
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.runs.store import write_spans
from tracer_bullet.runs.windows import windows_of
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.workspace.runs import RunFolder, create_run, new_run_id, write_json

Look = Callable[[], StopEvent | None]
_LOOK_S: Final = 0.1
# After a stop: so long for Locust to end by itself, then it is terminated, then killed.
_END_S: Final = 20.0
_KILL_S: Final = 5.0
# A first request may take as long as its client lets it; with its trace this is far beyond any.
_ARM_S: Final = 300.0
_SPANS: Final = 20_000
_CLOSED: Final = "service times, as Locust measures: they do not show what users could not send"
_chance = random.SystemRandom()


@dataclass
class _Run:
    """A run under way."""

    job: LocustfileJob
    beginning: Beginning
    folder: RunFolder
    source: TraceSource
    proof: Proof
    figures: LocustFigures
    desk: Desk
    reasons: tuple[Look, ...]
    locust: LocustProcess
    guardrails: Guardrails | None = None
    stop: StopEvent | None = None
    code: int = 0
    told: int = 0  # verdicts that the arming has heard of
    parts: count[int] = field(default_factory=lambda: count(1))
    began_s: float = field(default_factory=time.monotonic)

    @property
    def after_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began_s

    def look(self) -> StopEvent | None:
        """Why to stop now."""
        spec = self.job.spec
        if self.proof.stop is not None:
            return self.proof.stop
        for reason in self.reasons:
            if (event := reason()) is not None:
                return event
        if spec.limits.requests is not None and self.figures.count >= spec.limits.requests:
            detail = f"{self.figures.count} requests were sent (limits.requests: {spec.limits.requests})"
            return StopEvent(reason="budget", detail=detail, after_s=self.after_s)
        if spec.limits.duration_s is not None and self.after_s >= spec.limits.duration_s:
            detail = f"limits.duration_s ({spec.limits.duration_s:g}) is over"
            return StopEvent(reason="budget", detail=detail, after_s=self.after_s)
        most_s = _ARM_S + self.job.traces.settle_s
        if late := self.desk.arming.overdue(time.monotonic(), most_s):
            detail = f"the first request to {late[0]} did not come to an end within {most_s:.0f} s"
            return StopEvent(reason="not-armed", detail=detail, after_s=self.after_s)
        window = self.figures.histograms.series.window(spec.guardrails.window_s)
        return judge_window(window, spec.guardrails, self.after_s) or judge_budget(
            self.figures.answer_bytes, spec.limits, self.after_s
        )

    def hear_verdicts(self) -> None:
        """Arm what was judged clean; a first bullet that was not whole ends the run."""
        fresh = self.proof.verdicts[self.told :]
        self.told += len(fresh)
        self.desk.judged(v.trace_id for v in fresh if v.outcome is Outcome.PASSED)
        for verdict in fresh:
            endpoints = self.desk.arming.of_trace(verdict.trace_id)
            if verdict.outcome is Outcome.PASSED or not endpoints or self.stop is not None:
                continue
            errors = [f for f in verdict.findings if f.severity is Severity.ERROR]
            why = errors or [f for f in verdict.findings if f.severity is Severity.GAP]
            told = f"{why[0].rule}: {why[0].message}" if why else verdict.outcome.value
            detail = f"the first request to {', '.join(endpoints)}: {told}"
            reason = "not-harmless" if errors else "not-armed"
            self.stop = StopEvent(reason=reason, detail=detail, after_s=self.after_s)

    def keep_spans(self, *, at_least: int = 0) -> None:
        """Write the spans of judged traces as a part of the span table, once there are so many."""
        if len(self.proof.spans) > at_least:
            write_spans(self.folder, self.proof.spans, f"part-{next(self.parts):04}")
            self.proof.spans.clear()


async def fly(
    job: LocustfileJob,
    source: TraceSource | None = None,
    *,
    reasons: Sequence[Look] = (),
    locust: LocustProcess | None = None,
) -> AsyncIterator[RunEvent]:
    """Run Locust and judge; the last event carries the verdict. `source`: as in `fire`. `reasons` are asked, ten times
    a second, why to stop; they must not block. `locust`: one that runs already.

    Raises UsageError TB1050, UnreachableError and StoppedError (TB993) before anything is sent. However it ends, the
    run folder holds what was sent and received until then, and no process of Locust's is left.
    """
    check_locust()
    if job.kill_file.exists():
        raise StoppedError("TB993", "the kill switch is on", where=str(job.kill_file), cure="remove the file to go on")
    windows = windows_of(
        job.settings,
        job.target,
        command="load",
        urls=[f"http://{host}" for host in job.flagged],
        override=job.options.override_window,
    )
    windows.check(datetime.now(UTC))
    await check_reachable(job.target.url)
    own = source is None
    source = source or await open_source(job.traces)
    async with contextlib.AsyncExitStack() as stack:
        if own:
            stack.push_async_callback(source.close)
        guardrails = await stack.enter_async_context(watch_target(_watched(job), source, os.environ))
        run = _begin(job, source, tuple(reasons), locust or Child(job.arguments, quiet=job.options.as_json))
        run.guardrails = guardrails
        run.reasons = (*run.reasons, guardrails.look, windows.reason(lambda: run.began_s))
        write_json(run.folder.manifest, run.beginning.manifest)
        yield RunStarted(
            run_id=run.folder.run_id, folder=run.folder.path, scenario=job.name, target=job.target.url, bullets=0
        )
        try:
            async for event in _phases(run):
                yield event
        except BaseException:
            _leave_readable(run)
            raise


def _watched(job: LocustfileJob) -> Watched:
    return Watched(
        spec=job.spec.guardrails,
        target_url=job.target.url,
        objectives=job.context.objectives,
        folder=job.workspace,
    )


def _begin(job: LocustfileJob, source: TraceSource, reasons: tuple[Look, ...], locust: LocustProcess) -> _Run:
    folder = create_run(job.workspace, new_run_id(time.time_ns(), _chance))
    beginning = begin(job, run_id=folder.run_id)
    proof = Proof(job, source)
    figures = LocustFigures(folder, window_s=job.spec.guardrails.window_s)
    desk = Desk(beginning.terms, secrets.token_hex(16), proof, figures)
    run = _Run(job, beginning, folder, source, proof, figures, desk, reasons, locust)
    run.reasons = (kill_switch(job.kill_file, lambda: run.began_s), *reasons)
    return run


async def _phases(run: _Run) -> AsyncIterator[RunEvent]:
    if isinstance(run.source, Receiver):
        run.source.keep_share(KEPT_SHARE)
    yield PhaseStarted(phase="send", detail=f"Locust with {run.job.options.locustfile} at {run.job.target.url}")
    try:
        async for event in _conduct(run):
            yield event
    finally:
        run.figures.parts.flush()
    # Of a locustfile that is not there, or cannot be imported, Locust says 1.
    began = run.code != int(ExitCode.USAGE) and (run.code <= 0 or run.desk.greeted)
    if not began and not run.figures.count and not run.proof.waiting and run.stop is None:
        cure = "its own output, above, says why"
        raise UsageError("TB1059", f"Locust did not begin: it ended with exit code {run.code}", cure=cure)
    yield PhaseStarted(phase="settle", detail=f"{run.proof.waiting} traces")
    await run.proof.settle()
    run.hear_verdicts()
    run.stop = run.stop or run.proof.stop
    yield PhaseStarted(phase="judge", detail="traces, requests")
    verdict = _conclude(run)
    # After the verdict: what cannot be drawn must not keep it from being written.
    yield PhaseStarted(phase="report", detail="analysis, page, JUnit")
    with contextlib.suppress(TracerBulletError):
        await asyncio.to_thread(_analyse, run)
    interrupted = run.stop is not None and run.stop.reason == "interrupt"
    _write_manifest(run, "interrupted" if interrupted else "finished")
    await asyncio.to_thread(_write_outputs, run)
    yield RunEnded(verdict=verdict, folder=run.folder.path)


async def _conduct(run: _Run) -> AsyncIterator[RunEvent]:
    address = await run.desk.open()
    locust = run.locust
    if isinstance(locust, Parent):
        run.desk.left = locust.leave
    watching = asyncio.create_task(run.proof.watch())
    try:
        await locust.start(address, run.desk.secret)
        async for done in _watch(run, watching):
            yield Progress(phase="send", done=done, total=0)
        await _hear_out(run)
    finally:
        await locust.end()
        await run.desk.close()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await watching


async def _watch(run: _Run, watching: asyncio.Task[None]) -> AsyncIterator[int]:
    """Look for reasons until Locust has ended; yield how many requests there were."""
    waiting = asyncio.ensure_future(run.locust.wait())
    renewed_s = rated_s = time.monotonic()
    stopped_s = 0.0
    while not waiting.done():
        await asyncio.wait([waiting], timeout=_LOOK_S)
        run.hear_verdicts()
        run.stop = run.stop or run.look()
        now_s = time.monotonic()
        if watching.done():  # its error is raised here: nothing is sent that is not watched
            run.desk.stop(int(ExitCode.INCONCLUSIVE), "traces are no longer looked at")
            watching.result()
        if run.stop is not None and not stopped_s:
            stopped_s = now_s
            run.desk.stop(_exit_code(run.stop), f"{run.stop.reason}: {run.stop.detail}")
        if stopped_s and now_s - stopped_s > _END_S:
            break
        if now_s - renewed_s > RENEW_S:
            renewed_s = now_s
            run.desk.renew(*new_token(run.job, run.folder.run_id))
        if now_s - rated_s > 1.0:
            rated_s = now_s
            run.desk.limit(trace_rate(run.job, audited=len(run.proof.verdicts)))
        run.keep_spans(at_least=_SPANS)
        yield run.figures.count
    if not waiting.done() and not isinstance(run.locust, Parent):
        await run.locust.end()
    run.code = waiting.result() if waiting.done() else await asyncio.wait_for(waiting, _END_S)


async def _hear_out(run: _Run) -> None:
    """Let workers that outlive their master say the rest; whoever does not end is told to."""
    until_s = time.monotonic() + _KILL_S
    while run.desk.peers and time.monotonic() < until_s:
        if time.monotonic() > until_s - _KILL_S / 2:
            run.desk.stop(int(ExitCode.INCONCLUSIVE), "Locust's main process has ended")
        await asyncio.sleep(_LOOK_S)


def _exit_code(stop: StopEvent) -> int:
    codes = {
        "not-harmless": ExitCode.FAILED,
        "not-armed": ExitCode.INCONCLUSIVE,
        "interrupt": ExitCode.INTERRUPTED,
    }
    return int(codes.get(stop.reason, ExitCode.ABORTED))


def _conclude(run: _Run) -> Verdict:
    write_json(run.folder.load, _report(run))
    run.keep_spans()
    if not any(run.folder.spans.iterdir()):
        write_spans(run.folder, ())  # nothing came back: an empty report is one too
    desk = run.desk
    ending = Ending(
        locust_code=run.code,
        requests=run.figures.count,
        armed=desk.arming.armed,
        unarmed=desk.arming.unarmed,
        needs_arming=run.job.armed,
        unflagged=desk.unflagged,
        refused=desk.refused,
        strangers=desk.strangers,
        broken=desk.broken,
        greeted=desk.greeted,
        stop=run.stop,
    )
    verdict = conclude(ending, run.proof.verdicts, run_id=run.folder.run_id, name=run.job.name)
    write_json(run.folder.verdict, verdict)
    return verdict


def _report(run: _Run) -> LoadReport:
    figures = run.figures
    span_s = max(figures.last_ns - figures.first_ns, 0) / 1e9
    return LoadReport(
        scenarios=(run.job.name,),
        model="closed",
        profile=(
            f"Locust {' '.join(run.job.arguments)}",
            _CLOSED,
        ),
        span_s=span_s,
        warm_up_s=0.0,
        accounting=figures.accounting(),
        timing=Timing(bound_ms=run.job.spec.guardrails.lateness_p99_ms),
        overall=figures.histograms.overall(),
        steps=figures.steps(),
        senders=(SenderResult(sender=0, name="Locust", sent=figures.count, lateness=Quantiles()),),
        curve=figures.curve({}),
        guardrails=run.guardrails.readings() if run.guardrails is not None else (),
        sampling=f"traces of tasks, {run.job.spec.proof.traces_per_s:g} a second at most; requests are all counted",
        armed=tuple(run.desk.arming.armed),
        audited=len(run.proof.verdicts),
        stop=run.stop,
    )


def _analyse(run: _Run) -> None:
    from tracer_bullet.runs.analyse import analyse_run  # noqa: PLC0415  # it brings much that only the end needs

    for _ in analyse_run(run.folder, run.job.context):
        pass


def _write_outputs(run: _Run) -> None:
    from tracer_bullet.runs.outputs import write_outputs  # noqa: PLC0415

    write_outputs(run.folder, run.job.context.catalog)


def _write_manifest(run: _Run, state: str) -> None:
    write_json(run.folder.manifest, replace(run.beginning.manifest, state=state, ended_ns=time.time_ns()))


def _leave_readable(run: _Run) -> None:
    """A run that breaks off keeps what it has. What fails here must not hide why it ended."""
    with contextlib.suppress(Exception):
        _write_manifest(run, "interrupted")
        run.figures.parts.flush()
        run.stop = run.stop or StopEvent(reason="interrupt", detail="it was interrupted", after_s=run.after_s)
        write_json(run.folder.load, _report(run))
        run.keep_spans()
