"""The recipe of `tracer-bullet replay`: survey, arm, learn the noise, send, settle, judge, report."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

from tracer_bullet.capture.archive import Archive, open_archive
from tracer_bullet.engine import EngineProcess
from tracer_bullet.engine.histogram import Histograms, SecondSeries
from tracer_bullet.errors import StoppedError, TracerBulletError
from tracer_bullet.model import Finding, PhaseStarted, Progress, RunEnded, RunEvent, RunStarted, Severity, Verdict
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.replay import ReplayReport, StopEvent
from tracer_bullet.replay.compare import Comparer
from tracer_bullet.replay.fidelity import FidelityMeter
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.survey import Survey, survey
from tracer_bullet.runs.memory import give_back
from tracer_bullet.runs.replay.answers import Redact, answer_redactor
from tracer_bullet.runs.replay.begin import Beginning, begin
from tracer_bullet.runs.replay.bullets import Bullets
from tracer_bullet.runs.replay.conclude import conclude
from tracer_bullet.runs.replay.feed import Feed, Planned
from tracer_bullet.runs.replay.guardrails import judge_budget, judge_window
from tracer_bullet.runs.replay.job import ReplayJob
from tracer_bullet.runs.replay.listeners import Collector, Comparing, Figures, NoisePairs, Unsent
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.runs.replay.passes import Listener, Pass, kill_switch
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.replay.surveyed import check_surveyed
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.runs.store import write_spans
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.workspace.runs import RunFolder, create_run, new_run_id, write_json

# From the plan to the first request: the engine process starts meanwhile.
_LEAD_NS = 700_000_000
# So many spans in memory before a part of the table is written.
_SPANS = 20_000
# So many seconds of latencies are kept by the second, or as many as the guardrails look at.
_DETAIL_S = 60
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Who else takes part in the sending: listeners, made of the table of endpoints, and reasons to stop."""

    listeners: Callable[[Sequence[Endpoint]], Sequence[Listener]] = lambda _: ()
    reasons: Sequence[Callable[[], StopEvent | None]] = ()

    def look(self) -> StopEvent | None:
        """The first reason there is."""
        return next((event for reason in self.reasons if (event := reason()) is not None), None)


@dataclass
class _Run:
    """A replay under way."""

    job: ReplayJob
    outside: Outside
    archive: Archive
    found: Survey
    beginning: Beginning
    folder: RunFolder
    source: TraceSource
    planner: Planner
    proof: Proof
    comparer: Comparer
    figures: Figures
    redact: Redact
    extra: list[Finding] = field(default_factory=list)
    stop: StopEvent | None = None
    planned: int = 0
    backed_off: int = 0
    unsent: list[Finding] = field(default_factory=list)
    parts: Iterator[int] = field(default_factory=lambda: count(1))
    watching: asyncio.Task[None] | None = None
    arming: int = 0  # verdicts on what armed it
    numbers: Iterator[int] = field(default_factory=count)
    began_s: float = field(default_factory=time.monotonic)

    def collector(self, share: float) -> Collector:
        """What hands the bullets of a pass to the proof."""
        spec = self.job.spec.value
        bullets = Bullets(
            f"replay {spec.name}", self.folder.run_id, _chance, self.numbers, per_request=spec.trace == "request"
        )
        return Collector(bullets, self.proof, self.planner.endpoints, self.planner.origins, share)

    @property
    def not_reached(self) -> int:
        """How many requests were still to come when the replay ended. Of a shard nobody knows."""
        if self.job.shard.count > 1 or (self.stop is None and not self.extra):
            return 0
        return max(0, self.beginning.requests - self.planned - (self.planner.unwritten if self.planned else 0))

    def keep_spans(self, *, at_least: int = 0) -> None:
        """Write the spans of judged traces as a part of the span table, once there are so many."""
        if len(self.proof.spans) > at_least:
            write_spans(self.folder, self.proof.spans, f"part-{next(self.parts):04}")
            self.proof.spans.clear()

    def look(self) -> StopEvent | None:
        """Why to stop now."""
        if self.proof.stop is not None:
            return self.proof.stop
        spec = self.job.spec.value
        after_s = time.monotonic() - self.began_s
        if self.watching is not None and self.watching.done():  # its error is raised when the pass has ended
            return StopEvent(reason="lost-traces", detail="traces are no longer looked at", after_s=after_s)
        window = self.figures.histograms.series.window(spec.guardrails.window_s)
        on_wire = self.figures.request_bytes + self.figures.answer_bytes
        return judge_window(window, spec.guardrails, after_s) or judge_budget(on_wire, spec.limits, after_s)


async def replay(
    job: ReplayJob, source: TraceSource | None = None, *, outside: Outside | None = None
) -> AsyncIterator[RunEvent]:
    """Replay and judge; the last event carries the verdict. `source`: as in `fire`.

    Raises UnreachableError and StoppedError (TB993, TB1065) before anything is sent, UsageError (TB987, TB992) for a
    recording that cannot be replayed as asked. However it ends, the run folder holds what was sent and received until
    then.
    """
    if job.kill_file.exists():
        raise StoppedError("TB993", "the kill switch is on", where=str(job.kill_file), cure="remove the file to go on")
    job.windows.check(datetime.now(UTC))
    await check_reachable(job.target.url)
    archive = open_archive(job.archive)
    yield PhaseStarted(phase="survey", detail=f"{archive.info.count} exchanges of {job.archive.name}")
    found = await asyncio.to_thread(survey, archive.exchanges(), job.spec.value)
    own = source is None
    source = source or await open_source(job.traces)
    try:
        run = _begin(job, archive, found, source, outside or Outside())
        write_json(run.folder.manifest, run.beginning.manifest)
        yield RunStarted(
            run_id=run.folder.run_id,
            folder=run.folder.path,
            scenario=job.spec.value.name,
            target=job.target.url,
            bullets=run.beginning.requests,
        )
        if told := job.windows.foretell(datetime.now(UTC), run.beginning.duration_s):
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


def _begin(job: ReplayJob, archive: Archive, found: Survey, source: TraceSource, outside: Outside) -> _Run:
    spec = job.spec.value
    check_surveyed(job, found)
    started_ns = time.time_ns()
    folder = create_run(job.workspace, new_run_id(started_ns, _chance))
    planner = Planner(
        spec,
        found,
        job.target.url,
        seed=job.seed,
        run_id=folder.run_id,
        shard=(job.shard.index, job.shard.count),
        begins_ns=time.time_ns() + _LEAD_NS,
        accounts=job.accounts,
    )
    beginning = begin(job, found, run_id=folder.run_id, started_ns=started_ns, planned_s=planner.span_ns / 1e9)
    series = SecondSeries(max(_DETAIL_S, int(spec.guardrails.window_s) + 1))
    figures = Figures(ShotParts(folder, planner.endpoints), FidelityMeter(), Histograms(series))
    return _Run(
        job=job,
        outside=outside,
        archive=archive,
        found=found,
        beginning=beginning,
        folder=folder,
        source=source,
        planner=planner,
        proof=Proof(job, source),
        comparer=Comparer(spec.compare, found.correlations),
        redact=answer_redactor(job.redactor),
        figures=figures,
    )


async def _phases(run: _Run) -> AsyncIterator[RunEvent]:
    # Who was told to stop while the recording was surveyed, does so now.
    run.stop = run.outside.look()
    ready = run.stop is None
    if ready and run.job.armed:
        async for event in _arm(run):
            yield event
        ready = not run.extra
        # A bullet that did harm ends it, though another one of its endpoint was clean.
        run.stop = run.stop or run.proof.stop
    if ready and run.stop is None and run.job.spec.value.compare.enabled and run.job.spec.value.compare.noise_pairs:
        async for event in _learn_noise(run):
            yield event
    if ready and run.stop is None:
        async for event in _send(run):
            yield event
    yield PhaseStarted(phase="judge", detail="traces, answers, punctuality")
    verdict = _conclude(run)
    # After the verdict: what cannot be drawn must not keep it from being written.
    yield PhaseStarted(phase="report", detail="analysis, page, JUnit")
    with contextlib.suppress(TracerBulletError):
        await asyncio.to_thread(_analyse, run)
    _write_manifest(run, "interrupted" if run.stop is not None and run.stop.reason == "interrupt" else "finished")
    await asyncio.to_thread(_write_outputs, run)
    yield RunEnded(verdict=verdict, folder=run.folder.path)


def _analyse(run: _Run) -> None:
    # Only here: what they bring would lie in memory beside the survey of a long recording.
    from tracer_bullet.runs.analyse import analyse_run  # noqa: PLC0415

    give_back()
    for _ in analyse_run(run.folder, run.job.context):
        pass


def _write_outputs(run: _Run) -> None:
    from tracer_bullet.runs.outputs import write_outputs  # noqa: PLC0415

    write_outputs(run.folder, run.job.context.catalog)


async def _arm(run: _Run) -> AsyncIterator[RunEvent]:
    """One clean bullet per endpoint, one after the other; anything else is a finding, and ends the run."""
    endpoints = [e.text for e in run.found.endpoints if e.requests]
    yield PhaseStarted(phase="arm", detail=f"{run.found.arming_requests} requests reach {len(endpoints)} endpoints")
    allowed = run.job.spec.value.proof.max_arming_requests
    if run.found.arming_requests > allowed:
        run.extra.append(_not_armed(Severity.GAP, f"it takes {run.found.arming_requests} requests to reach every"
                                    f" endpoint once (proof.max_arming_requests: {allowed})"))  # fmt: skip
        return
    unsent = Unsent(run.planner.endpoints)
    async for event in _pass(
        run, "arm", run.planner.arming(run.archive.exchanges()), 1.0, run.found.arming_requests, unsent
    ):
        yield event
    await run.proof.settle()
    run.arming = len(run.proof.verdicts)
    missing = [e for e in endpoints if e not in run.proof.endpoints]
    if missing:
        errors = any(f.severity is Severity.ERROR for v in run.proof.verdicts for f in v.findings)
        why = "not proved harmless" if errors else "no bullet came back whole"
        severity = Severity.ERROR if errors else Severity.GAP
        told = "; ".join(f"{e}: {unsent.reasons.get(e, why)}" for e in missing[:5])
        run.extra.append(_not_armed(severity, f"{told}{'; …' if len(missing) > 5 else ''}"))


def _not_armed(severity: Severity, why: str) -> Finding:
    return Finding(
        rule="not-armed",
        severity=severity,
        message=f"{why}, so nothing was replayed",
        cure="mend what the other findings name, or leave these endpoints out by select.exclude_paths",
    )


async def _learn_noise(run: _Run) -> AsyncIterator[RunEvent]:
    """Requests sent twice: what differs between their answers is no finding."""
    yield PhaseStarted(phase="noise", detail="requests sent twice, to learn what differs by itself")
    pairs = NoisePairs(run.comparer, run.redact, run.planner.endpoints)
    async for event in _pass(run, "noise", run.planner.noise(run.archive.exchanges()), 0.0, 0, pairs):
        yield event


async def _send(run: _Run) -> AsyncIterator[RunEvent]:
    share = run.beginning.share(run.job)
    if isinstance(run.source, Receiver):
        run.source.keep_share(share)
    total, target = run.beginning.requests, run.job.target.url
    yield PhaseStarted(phase="send", detail=f"{total} requests in {run.beginning.duration_s:.0f} s at {target}")
    listeners: list[Listener] = [run.figures, Comparing(run.comparer, run.redact, run.planner.endpoints)]
    listeners += (unsent := Unsent(run.planner.endpoints), *run.outside.listeners(run.planner.endpoints))
    planned = run.planner.plan(run.archive.exchanges)
    run.began_s = time.monotonic()
    watching = run.watching = asyncio.create_task(run.proof.watch())
    try:
        async for event in _pass(run, "send", planned, share, total, *listeners):
            yield event
    finally:
        run.watching = None
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        run.figures.parts.flush()
        run.unsent = unsent.findings()
    yield PhaseStarted(phase="settle", detail=f"{run.proof.waiting} traces")
    await run.proof.settle()


async def _pass(
    run: _Run,
    phase: str,
    planned: Planned,
    share: float,
    total: int,
    *listeners: Listener,
) -> AsyncIterator[RunEvent]:
    """One pass through an engine of its own; ends early for a reason, which is then in `run.stop`."""
    collector = run.collector(share)
    switch = kill_switch(run.job.kill_file, lambda: run.began_s)
    windows = run.job.windows.reason(lambda: run.began_s)
    flight = Pass(run.beginning.engine, (collector, *listeners), (switch, windows, run.look, run.outside.look))
    limits = run.job.spec.value.limits if phase == "send" else None
    feed: Feed | None = None

    def open_feed(engine: EngineProcess) -> Feed:
        nonlocal feed
        feed = Feed(planned, origins=run.planner.origins, define=engine.define, limits=limits)
        return feed

    try:
        async for done in flight.fly(open_feed, time.time_ns() + _LEAD_NS):
            run.keep_spans(at_least=_SPANS)
            yield Progress(phase=phase, done=done, total=max(total, done) if total else 0)
    finally:  # an interrupted run tells it too
        run.stop = run.stop or flight.stop
        if phase == "send" and feed is not None:
            run.planned = feed.planned
    collector.finish()
    if phase == "send" and feed is not None:
        if feed.over and run.stop is None:
            detail = f"{feed.over} is reached; the rest of the recording was not sent"
            run.stop = StopEvent(reason="budget", detail=detail, after_s=time.monotonic() - run.began_s)
        run.backed_off = flight.notes.backed_off if flight.notes is not None else 0


def _conclude(run: _Run) -> Verdict:
    report = _report(run)
    write_json(run.folder.replay, report)
    run.keep_spans()
    tolerated, extra = run.job.spec.value.compare.tolerated, (*run.extra, *run.unsent)
    verdict = conclude(report, run.proof.verdicts, run_id=run.folder.run_id, tolerated=tolerated, extra=extra)
    write_json(run.folder.verdict, verdict)
    return verdict


def _report(run: _Run) -> ReplayReport:
    spec, figures, planner = run.job.spec.value, run.figures, run.planner
    timing = spec.timing
    mode = "rate" if timing.rate else "shape" if timing.shape else "speed"
    accounting = figures.accounting(planner.tally.read, planner.skipped, planner.refused, run.planned, run.not_reached)
    return ReplayReport(
        archive=run.job.archive.name,
        spec=spec.name,
        mode=mode,
        speed=planner.speed,
        sessions=run.beginning.sessions,
        accounting=replace(accounting, backed_off=run.backed_off),
        timing=figures.histograms.timing(spec.guardrails.lateness_p99_ms),
        overall=figures.histograms.overall(),
        endpoints=figures.histograms.endpoint_results(planner.endpoints),
        fidelity=figures.fidelity.result(run.planned) if run.planned else None,
        comparison=run.comparer.result() if spec.compare.enabled and run.planned else None,
        correlations=run.found.correlations,
        armed=tuple(sorted(run.proof.endpoints)),
        audited=len(run.proof.verdicts) - run.arming,
        stop=run.stop,
    )


def _write_manifest(run: _Run, state: str) -> None:
    write_json(run.folder.manifest, replace(run.beginning.manifest, state=state, ended_ns=time.time_ns()))


def _leave_readable(run: _Run) -> None:
    """An interrupted replay keeps what it has. What fails here must not hide why the run ended."""
    with contextlib.suppress(Exception):
        _write_manifest(run, "interrupted")
        run.figures.parts.flush()
        run.stop = run.stop or StopEvent(
            reason="interrupt", detail="it was interrupted", after_s=time.monotonic() - run.began_s
        )
        write_json(run.folder.replay, _report(run))
        run.keep_spans()
