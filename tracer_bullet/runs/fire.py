"""The recipe of `tracer-bullet fire`: preflight, arm, send, settle, judge, report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracer_bullet.audit import audit_trace
from tracer_bullet.errors import TracerBulletError
from tracer_bullet.model import (
    BulletVerdict,
    Finding,
    PhaseStarted,
    Progress,
    RequestType,
    RunEnded,
    RunEvent,
    RunStarted,
    Severity,
    Span,
)
from tracer_bullet.runs.analyse import analyse_run
from tracer_bullet.runs.flight import Flight, begin, send_all
from tracer_bullet.runs.job import FireJob
from tracer_bullet.runs.judge import judge_bullet, judge_run
from tracer_bullet.runs.outputs import write_outputs
from tracer_bullet.runs.settle import settle, step_span_ids, whole_trace
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.runs.store import write_shots, write_spans
from tracer_bullet.scenario import BulletResult, check_trace
from tracer_bullet.traces import TraceSource, find_gaps
from tracer_bullet.workspace.runs import RunFolder, create_run, write_json


@dataclass
class _Run:
    """A run under way."""

    flight: Flight
    folder: RunFolder
    source: TraceSource
    results: list[BulletResult] = field(default_factory=list)
    extra: list[Finding] = field(default_factory=list)
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)

    @property
    def job(self) -> FireJob:
        return self.flight.job

    @property
    def is_control(self) -> bool:
        return self.job.request_type is RequestType.STANDARD


async def fire(job: FireJob, source: TraceSource | None = None) -> AsyncIterator[RunEvent]:
    """Fire the job's bullets and judge them; the last event carries the verdict.

    `source` is one that the caller has opened and will close; by default the settings' own.

    Raises UnreachableError before anything is sent. However it ends, the run folder holds
    what was sent and received until then.
    """
    await check_reachable(job.target.url)
    own = source is None
    source = source or await open_source(job.traces)
    try:
        flight = begin(job)
        folder = create_run(job.workspace, flight.manifest.run_id)
        write_json(folder.manifest, flight.manifest)
        run = _Run(flight, folder, source)
        yield RunStarted(
            run_id=folder.run_id,
            folder=folder.path,
            scenario=job.plan.name,
            target=job.target.url,
            bullets=job.bullets,
        )
        async with flight.client:
            try:
                async for event in _phases(run):
                    yield event
            except BaseException:
                await _leave_readable(run)
                raise
    finally:
        if own:
            await source.close()


async def _phases(run: _Run) -> AsyncIterator[RunEvent]:
    total = run.job.bullets
    first = 0
    if run.job.armed and not run.is_control and total > 1:
        yield PhaseStarted(phase="arm", detail="one bullet must come back complete and clean")
        async for event in _send_and_settle(run, range(1)):
            yield event
        first = 1 if await _is_armed(run) else total
    if first < total:
        yield PhaseStarted(phase="send", detail=f"{total - first} at {run.job.target.url}")
        async for event in _send_and_settle(run, range(first, total)):
            yield event
    yield PhaseStarted(phase="judge", detail="checks and audit")
    run.spans = await run.source.fetch([r.trace_id for r in run.results])
    _write_raw(run)
    bullets = [_judge(run, result) for result in run.results]
    verdict = judge_run(run.folder.run_id, run.job.plan.name, bullets, planned=total, extra=run.extra)
    write_json(run.folder.verdict, verdict)
    # After the verdict: what cannot be drawn must not keep it from being written.
    yield PhaseStarted(phase="report", detail="analysis, page, JUnit")
    await asyncio.to_thread(list, analyse_run(run.folder, run.job.context))
    _write_manifest(run, "finished")
    await asyncio.to_thread(write_outputs, run.folder, run.job.context.catalog)
    yield RunEnded(verdict=verdict, folder=run.folder.path)


async def _send_and_settle(run: _Run, numbers: Sequence[int]) -> AsyncIterator[RunEvent]:
    before = len(run.results)
    async for result in send_all(run.flight, numbers):
        run.results.append(result)
        yield Progress(phase="send", done=len(run.results) - before, total=len(numbers))
    traces = run.job.traces
    waits = settle(
        run.source,
        run.results[before:],
        run.job.target.system,
        settle_s=traces.settle_s,
        quiet_s=traces.quiet_s,
        clock_s=time.monotonic,
        sealed=not run.is_control,
    )
    async for state in waits:
        yield Progress(phase="settle", done=state.done, total=state.total)


async def _is_armed(run: _Run) -> bool:
    """Whether the arming bullet was harmless and its trace whole; what its checks say does not matter here."""
    (result,) = run.results
    system = run.job.target.system
    trace = whole_trace(result, await run.source.fetch([result.trace_id]))
    errors = [f for f in audit_trace(trace, system, run.job.rules) if f.severity is Severity.ERROR]
    if not errors and not find_gaps(trace, system, step_span_ids(result)):
        return True
    why = "was not proved harmless" if errors else "did not come back complete"
    run.extra.append(
        Finding(
            rule="not-armed",
            severity=Severity.ERROR if errors else Severity.GAP,
            message=f"the first bullet {why}, so the other {run.job.bullets - 1} were not fired",
            cure="mend what the other findings name; --unarmed fires all the same, where no customers are",
        )
    )
    return False


def _judge(run: _Run, result: BulletResult) -> BulletVerdict:
    trace = whole_trace(result, run.spans)
    if run.is_control:
        return judge_bullet(result.bullet, trace, result.checks, (), ())
    system = run.job.target.system
    gaps = find_gaps(trace, system, step_span_ids(result))
    return judge_bullet(
        result.bullet,
        trace,
        (*result.checks, *check_trace(run.job.scenario, trace, complete=not gaps)),
        audit_trace(trace, system, run.job.rules),
        gaps,
    )


def _write_raw(run: _Run) -> None:
    write_shots(run.folder, [shot for r in run.results for shot in r.shots])
    write_spans(run.folder, [s for r in run.results for s in (*r.spans, *run.spans.get(r.trace_id, ()))])


def _write_manifest(run: _Run, state: str) -> None:
    write_json(run.folder.manifest, replace(run.flight.manifest, state=state, ended_ns=time.time_ns()))


async def _leave_readable(run: _Run) -> None:
    """An interrupted run keeps what it has: a manifest that says so, shots, spans.

    What is at hand comes first, as a second signal may end the fetching; and what fails here
    must not hide why the run ended.
    """
    with contextlib.suppress(TracerBulletError):
        _write_manifest(run, "interrupted")
        _write_raw(run)
        if run.results and not run.spans:
            run.spans = await run.source.fetch([r.trace_id for r in run.results])
            _write_raw(run)
