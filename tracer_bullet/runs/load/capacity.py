"""`--find-capacity`: rates are held one after the other until the objective breaks."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from tracer_bullet.errors import TracerBulletError
from tracer_bullet.graph.analyse import analyse
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.load.capacity import Hold, Search, saturated
from tracer_bullet.load.thresholds import verdict
from tracer_bullet.model import PhaseStarted, RunEvent
from tracer_bullet.model.load import CapacityStep, SenderJob
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.figures import LoadFigures, error_rate, not_sent_total
from tracer_bullet.runs.load.judging import Judging
from tracer_bullet.runs.load.report import sender_results
from tracer_bullet.runs.load.run import Run, make_sending, tell, watched
from tracer_bullet.runs.load.sending import Senders, Sending
from tracer_bullet.runs.store import write_spans

# Of one hold: self time in ms and calls, by service.
Load = dict[str, tuple[float, int]]


async def find_capacity(run: Run) -> AsyncIterator[RunEvent]:
    """Hold rates until the search ends, or there is a reason to stop; what was found is in `run.found.capacity`."""
    capacity = run.job.spec.capacity
    search, rates, services, since_s = Search(capacity), [], [], time.monotonic()
    async with run.outside.senders() as senders:
        while run.stop is None and search.next() is not None and (hold := search.hold) is not None:
            stop = run.found.stop = run.halt()
            if stop is not None:
                break
            yield PhaseStarted(
                phase="hold", detail=f"{hold.rate:.4g} iterations/s for {hold.total_s:.0f} s ({hold.why})"
            )
            trial = _Trial(run, hold)
            async with watched(run, since_s=since_s):
                async for event in trial.fly(senders):
                    yield event
            await run.proof.settle()
            if run.stop is None:
                step, sent_rate, late = trial.outcome()
                search.observe(step, sent_rate=sent_rate, late=late)
                rates.append(hold.rate)
                services.append(_services(run, f"hold-{len(rates):04}"))
    run.found.capacity = search.result(saturated(rates, services))


class _Trial:
    """One rate, held."""

    def __init__(self, run: Run, hold: Hold) -> None:
        self._run = run
        self._hold = hold
        self.figures = LoadFigures(run.steps)
        asked = {"thresholds": run.job.spec.capacity.objective, "warm_up_s": hold.settle_s}
        spec = run.job.spec.model_copy(update=asked)
        self._judging = Judging(spec, run.steps, self.figures, span_s=hold.total_s)

    async def fly(self, senders: Senders) -> AsyncIterator[RunEvent]:
        """Hold it."""
        run, hold = self._run, self._hold
        run.start_ns = time.time_ns() + senders.lead_ns
        self.figures.measured_from_ns = run.start_ns + round(hold.settle_s * 1e9)
        run.figures.measured_from_ns = run.figures.measured_from_ns or run.start_ns
        proof = run.job.spec.proof
        share = min(run.job.spec.trace_share, proof.traces_per_s / hold.rate)
        run.share = run.failed.share = share
        sending = make_sending(run, senders, share=share)
        sending.trial = self.figures.shots
        try:
            async for event in tell(run, sending, replace(_at_rate(run.beginning.job, hold), start_ns=run.start_ns)):
                yield event
        finally:
            self._judging.ended()
            run.found.stop = run.stop or sending.stop or _lost(sending)
            run.found.senders = sender_results(run.figures, sending.changes, senders.results)

    def outcome(self) -> tuple[CapacityStep, float, bool]:
        """What came of it, the rate of iterations that was really sent, and whether the harness was late."""
        overall, bound_ms = self.figures.all.overall(), self._run.job.spec.guardrails.lateness_p99_ms
        results = self._judging.thresholds({})
        counted = self.figures.accounting()
        unsent = not_sent_total(counted.not_sent) / max(counted.planned, 1)
        per_s = self._hold.rate * (1 - unsent)
        whole = self.figures.iteration_results()
        mean_ms = sum(r.latency.mean_ms * r.latency.count for r in whole) / max(sum(r.latency.count for r in whole), 1)
        step = CapacityStep(
            rate=self._hold.rate,
            achieved=counted.whole / self._hold.hold_s,
            held=verdict(results),
            p50_ms=overall.latency.p50_ms,
            p99_ms=overall.latency.p99_ms,
            error_rate=error_rate(overall),
            concurrency=counted.whole / self._hold.hold_s * mean_ms / 1000,  # Little's law
            detail="; ".join(r.expect for r in results if r.met is False),
        )
        return step, per_s, not self.figures.all.timing(bound_ms).valid


def _lost(sending: Sending) -> StopEvent | None:
    """A hold that a sender did not survive says nothing of the target."""
    lost = next((change for change in sending.changes if change.what == "lost"), None)
    return None if lost is None else StopEvent(reason="sender-lost", detail=lost.detail, after_s=0.0)


def _at_rate(job: SenderJob, hold: Hold) -> SenderJob:
    """The job with the profile of one hold."""
    scenario = json.loads(job.scenarios[0])
    load = {k: v for k, v in scenario["load"].items() if k not in ("rate", "users", "duration", "stages", "stop")}
    load["stages"] = [{"rate": f"{hold.rate!r}/s", "for": hold.total_s}]
    text = json.dumps({**scenario, "load": {**load, "warm_up": 0}})
    return replace(job, scenarios=(text, *job.scenarios[1:]))


def _services(run: Run, name: str) -> Load:
    """What the traces of the hold say of services; they are kept as a part of the span table of their own."""
    spans = list(run.proof.spans)
    write_spans(run.folder, spans, name)
    run.proof.spans.clear()
    if not spans:
        return {}
    with suppress(TracerBulletError), DuckEngine(run.folder.spans / f"{name}.parquet") as engine:
        steps = analyse(engine, run.job.context.system)
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                _, found = ended.value
                return {s.service: (s.own.mean_ns / 1e6, s.calls) for s in found.services}
    return {}
