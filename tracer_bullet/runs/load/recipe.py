"""The recipe of `tracer-bullet load`: preflight, arm, send, settle, judge, report."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tracer_bullet.errors import StoppedError, TracerBulletError
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.share import Share
from tracer_bullet.load.thresholds import numbers_of, parse
from tracer_bullet.model import PhaseStarted, RunEnded, RunEvent, RunStarted, Span, Verdict
from tracer_bullet.model.load import LoadReport, StepKey
from tracer_bullet.runs.load.arming import Arming
from tracer_bullet.runs.load.begin import begin, proof_share
from tracer_bullet.runs.load.capacity import find_capacity
from tracer_bullet.runs.load.conclude import conclude
from tracer_bullet.runs.load.earlier import read_earlier, write_for_later
from tracer_bullet.runs.load.failed_traces import FailedTraces
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures, recent_seconds
from tracer_bullet.runs.load.guardrails import Guardrails, open_guardrails
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.runs.load.judging import Judging, compare_runs
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.report import locust_entries, make_report, sender_results
from tracer_bullet.runs.load.run import Outside, Run, make_sending, tell, watched
from tracer_bullet.runs.load.sending import endpoints_of
from tracer_bullet.runs.load.shrinking import shrink_failures
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.traces import TraceSource
from tracer_bullet.workspace.runs import create_run, new_run_id, read_json, write_json

_chance = random.SystemRandom()


async def load(
    job: LoadJob, source: TraceSource | None = None, *, outside: Outside | None = None
) -> AsyncIterator[RunEvent]:
    """Send and judge; the last event carries the verdict. `source`: as in `fire`.

    Raises UnreachableError and StoppedError (TB993, TB106x) before anything is sent. However it ends, the run folder
    holds what was sent and received until then.
    """
    if job.kill_file.exists():
        raise StoppedError("TB993", "the kill switch is on", where=str(job.kill_file), cure="remove the file to go on")
    job.windows.check(datetime.now(UTC))
    await check_reachable(job.target.url)
    own = source is None
    source = source or await open_source(job.traces)
    try:
        async with open_guardrails(job, source) as guardrails:
            run = _begin(job, source, guardrails, outside or Outside())
            write_json(run.folder.manifest, run.beginning.manifest)
            _tell_begun(run)
            yield RunStarted(
                run_id=run.folder.run_id,
                folder=run.folder.path,
                scenario=job.name,
                target=job.target.url,
                bullets=run.beginning.manifest.bullets,
            )
            if told := job.windows.foretell(datetime.now(UTC), run.beginning.profile.span_s):
                yield PhaseStarted(phase="windows", detail=told)
            try:
                async for event in _phases(run):
                    yield event
            except BaseException:
                _leave_readable(run)
                raise
    finally:
        if own:
            await source.close()


def _check_demands(job: LoadJob, steps: Sequence[StepKey]) -> None:
    """What is asked of steps that are not sent is told with its line. Raises UsageError TB1030."""
    asked = {"load.thresholds": job.spec.thresholds, "load.capacity.objective": job.spec.capacity.objective}
    for place, specs in asked.items():
        for index, spec in enumerate(specs):
            numbers_of(parse(spec), steps, where=job.main.where(f"{place}.{index}"))


def _begin(job: LoadJob, source: TraceSource, guardrails: Guardrails, outside: Outside) -> Run:
    run_id = new_run_id(time.time_ns(), _chance)
    beginning = begin(job, run_id=run_id)
    # What the engine cannot do is told before there is a folder.
    steps = Planner(beginning.job, Share(1, ())).steps
    _check_demands(job, steps)
    figures = LoadFigures(steps, recent=recent_seconds(job.spec.guardrails.window_s))
    judging = Judging(job.spec, steps, figures, span_s=beginning.profile.span_s)
    earlier = read_earlier(job)
    folder = create_run(job.workspace, run_id)
    proof = Proof(job, source)
    return Run(
        job=job,
        outside=outside,
        beginning=beginning,
        folder=folder,
        source=source,
        proof=proof,
        arming=Arming(job, beginning.context, proof),
        guardrails=guardrails,
        steps=steps,
        parts=ShotParts(folder, endpoints_of(steps)),
        figures=figures,
        failures=Failures(steps),
        failed=FailedTraces(source, 1.0, job.spec.trace_share),
        judging=judging,
        earlier=earlier,
    )


def _tell_begun(run: Run) -> None:
    live = LiveRun(
        run_id=run.folder.run_id,
        scenario=run.job.name,
        target=run.job.target.url,
        folder=run.folder.path,
        steps=run.steps,
        figures=run.figures,
    )
    for watcher in run.outside.begun:
        watcher(live)


async def _phases(run: Run) -> AsyncIterator[RunEvent]:
    run.found.stop = run.halt()
    ready = run.stop is None
    if ready and run.job.armed:
        scenarios = len(run.job.traffic)
        yield PhaseStarted(phase="arm", detail=f"a bullet of {scenarios} scenario{'s' if scenarios != 1 else ''}")
        async for event in run.arming.arm(run.halt):
            yield event
        run.extra += run.arming.findings
        ready = not run.arming.findings
        run.found.stop = run.halt()
    if ready and run.stop is None:
        async for event in find_capacity(run) if run.job.find_capacity else _send(run):
            yield event
        yield PhaseStarted(phase="settle", detail=f"{run.proof.waiting} traces")
        await run.proof.settle()
    yield PhaseStarted(phase="judge", detail="traces, thresholds, punctuality")
    async for event in _conclude(run):
        yield event


async def _send(run: Run) -> AsyncIterator[RunEvent]:
    run.share = run.failed.share = proof_share(run.job, run.beginning.profile, iteration_s=run.arming.took_s)
    span_s, lines = run.beginning.profile.span_s, ", ".join(run.beginning.profile.lines())
    yield PhaseStarted(phase="send", detail=f"{lines} at {run.job.target.url}, {span_s:.0f} s")
    async with watched(run), run.outside.senders() as senders:
        run.start_ns = time.time_ns() + senders.lead_ns
        run.figures.measured_from_ns = run.start_ns + round(run.job.spec.warm_up_s * 1e9)
        sending = make_sending(run, senders, share=run.share)
        try:
            async for event in tell(run, sending, replace(run.beginning.job, start_ns=run.start_ns)):
                yield event
        finally:
            run.judging.ended()
            run.found.stop = run.stop or sending.stop
            run.found.senders = sender_results(run.figures, sending.changes, senders.results)
            run.found.locust = locust_entries(senders.table)


async def _conclude(run: Run) -> AsyncIterator[RunEvent]:
    run.found.armed = tuple(run.arming.steps)
    run.found.audited = len(run.proof.verdicts) - run.arming.fired
    run.found.guardrails = run.guardrails.readings()
    run.found.failures = await shrink_failures(
        run.job,
        run.beginning.context,
        run.failures.groups(),
        stop=run.stop,
        halt=run.halt,
        audit=run.proof.audit_now,
    )
    await run.proof.settle()
    run.keep_spans()
    verdict = _verdict(run, _report(run))
    # After the verdict: what cannot be drawn must not keep it from being written.
    yield PhaseStarted(phase="report", detail="analysis, page, JUnit")
    with contextlib.suppress(TracerBulletError):
        await asyncio.to_thread(_analyse, run, await run.failed.spans())
        verdict = _verdict(run, _report(run))  # demands on services are judged by the analysis
    state = "interrupted" if run.stop is not None and run.stop.reason == "interrupt" else "finished"
    _write_manifest(run, state)
    await asyncio.to_thread(_write_outputs, run)
    yield RunEnded(verdict=verdict, folder=run.folder.path)


def _report(run: Run) -> LoadReport:
    run.found.thresholds = run.judging.thresholds(run.services.figures)
    run.found.services, run.found.sampling = run.services.results, run.services.sampling
    saved = run.judging.saved(run.folder.run_id, run.beginning.profile.lines())
    write_for_later(run.folder, saved)
    run.found.baseline = compare_runs(run.earlier, saved, run.job.spec)
    run.found.baseline_run = "" if run.earlier is None else run.earlier.run
    return make_report(run.job, run.beginning, run.figures, run.found, start_ns=run.start_ns)


def _verdict(run: Run, report: LoadReport) -> Verdict:
    write_json(run.folder.load, report)
    verdict = conclude(report, run.proof.verdicts, run_id=run.folder.run_id, name=run.job.name, extra=run.extra)
    write_json(run.folder.verdict, verdict)
    return verdict


def _analyse(run: Run, failed: list[Span]) -> None:
    # Only here: what they bring would lie in memory while it sends.
    from tracer_bullet.runs.analyse import analyse_run  # noqa: PLC0415
    from tracer_bullet.runs.load.failed_traces import keep_examples  # noqa: PLC0415
    from tracer_bullet.runs.load.services import read_services  # noqa: PLC0415

    for _ in analyse_run(run.folder, run.job.context):
        pass
    keep_examples(run.folder, failed)
    run.services = read_services(
        run.folder,
        share=run.share,
        trace_share=run.job.spec.trace_share,
        seconds=run.judging.seconds,
        audited=run.found.audited,
    )


def _write_outputs(run: Run) -> None:
    from tracer_bullet.runs.load.outputs import write_load_outputs  # noqa: PLC0415
    from tracer_bullet.runs.outputs import write_outputs  # noqa: PLC0415

    report = read_json(run.folder.load, LoadReport)
    write_load_outputs(run.folder, run.steps, run.figures, report, start_ns=run.start_ns)
    write_outputs(run.folder, run.job.context.catalog)


def _write_manifest(run: Run, state: str) -> None:
    write_json(run.folder.manifest, replace(run.beginning.manifest, state=state, ended_ns=time.time_ns()))


def _leave_readable(run: Run) -> None:
    """An interrupted run keeps what it has; what fails here must not hide why it ended."""
    with contextlib.suppress(TracerBulletError):
        _write_manifest(run, "interrupted")
        run.keep_spans()
        write_json(run.folder.load, make_report(run.job, run.beginning, run.figures, run.found, start_ns=run.start_ns))
