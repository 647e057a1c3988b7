"""The proof that replay and load write nothing: traces of chosen bullets are awaited, judged and kept meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracer_bullet.audit import AuditRules, audit_trace
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import BulletVerdict, Outcome, Severity, Span
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.job import Target
from tracer_bullet.runs.judge import judge_bullet
from tracer_bullet.runs.settle import step_span_ids, whole_trace
from tracer_bullet.scenario import BulletResult
from tracer_bullet.traces import TraceSource, find_gaps
from tracer_bullet.workspace.traces import TracesSpec

_LOOK_S = 0.25
# Rules that say that something was written; told before those that say that it might have been.
_HARM = frozenset({"unguarded-write", "unallowed-write"})
# Fewer judged traces decide nothing about how many are lost.
_MIN_JUDGED = 20


class Terms(Protocol):
    """What is asked of the traces: a part of what a job says."""

    @property
    def traces(self) -> TracesSpec:
        """Where they come from, and how long they are awaited."""
        ...

    @property
    def target(self) -> Target:
        """The system that is fired at."""
        ...

    @property
    def rules(self) -> AuditRules:
        """What the audit allows."""
        ...

    @property
    def armed(self) -> bool:
        """Whether harm, or lost traces, end the run."""
        ...

    @property
    def lost_traces(self) -> float:
        """The share of audited traces that may be lost."""
        ...


@dataclass(slots=True)
class _Pending:
    """A bullet whose trace is awaited. `quiet_from_s`: since when it has `spans` spans; late ones may still come."""

    result: BulletResult
    deadline_s: float
    spans: int = -1
    quiet_from_s: float = 0.0


@dataclass
class Proof:
    """Judges the bullets that it is given, each once its trace is whole and quiet, or its time is over.

    `stop` says why the replay must end: a bullet was not harmless, or too many traces do not come back whole.
    """

    job: Terms
    source: TraceSource
    verdicts: list[BulletVerdict] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    endpoints: set[str] = field(default_factory=set)
    stop: StopEvent | None = None
    _pending: dict[str, _Pending] = field(default_factory=dict)
    _lost: int = 0
    _began_s: float = field(default_factory=time.monotonic)

    def add(self, result: BulletResult) -> None:
        """Await the trace of a bullet that has ended."""
        deadline_s = time.monotonic() + self.job.traces.settle_s
        self._pending[result.trace_id] = _Pending(result, deadline_s)

    async def audit_now(self, result: BulletResult) -> None:
        """The same for one that was fired alone: what is known by now is judged before the next."""
        self.add(result)
        await self.look()

    @property
    def waiting(self) -> int:
        """How many traces are awaited."""
        return len(self._pending)

    async def watch(self) -> None:
        """Judge as traces come in, until cancelled."""
        seen = 0
        while True:
            await self.look()
            if self._pending:
                seen = await self.source.wait_for_change(seen, _LOOK_S)
            await asyncio.sleep(_LOOK_S)  # so that a busy receiver is not asked at every batch

    async def settle(self) -> None:
        """Judge all that is left."""
        while self._pending:
            await self.look()
            if self._pending:
                await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Judge what can be judged now."""
        if not self._pending:
            return
        try:
            spans = await self.source.fetch(list(self._pending))
        except UnreachableError:
            spans = {}  # it may be back before the time is over
        for trace_id in list(self._pending):
            self._weigh(self._pending[trace_id], spans.get(trace_id, ()))
        self._alarm()

    def _weigh(self, pending: _Pending, spans: Sequence[Span]) -> None:
        now_s = time.monotonic()
        trace = whole_trace(pending.result, {pending.result.trace_id: spans})
        system = self.job.target.system
        gaps = find_gaps(trace, system, step_span_ids(pending.result))
        if len(spans) != pending.spans:
            pending.spans, pending.quiet_from_s = len(spans), now_s
        awaited_s = pending.deadline_s if gaps else pending.quiet_from_s + self.job.traces.quiet_s
        if now_s < min(awaited_s, pending.deadline_s):
            return
        del self._pending[pending.result.trace_id]
        findings = audit_trace(trace, system, self.job.rules)
        verdict = judge_bullet(pending.result.bullet, trace, (), findings, gaps)
        self.verdicts.append(verdict)
        self.spans.extend((*pending.result.spans, *spans))
        if verdict.outcome is Outcome.PASSED:
            # What was sent and never answered proves nothing of its endpoint.
            self.endpoints.update(shot.step for shot in pending.result.shots if shot.error is None)
        self._lost += any(f.severity is Severity.GAP for f in verdict.findings)
        errors = [f for f in verdict.findings if f.severity is Severity.ERROR]
        if errors and self.stop is None and self.job.armed:
            worst = min(errors, key=lambda f: f.rule not in _HARM)
            detail = f"{worst.rule}: {worst.message}"
            self.stop = StopEvent(reason="not-harmless", detail=detail, after_s=now_s - self._began_s)

    def _alarm(self) -> None:
        """Stop for lost traces; told of all that was judged together, since those that are lost come in any order."""
        if self.stop is not None or not self.job.armed:
            return
        allowed = self.job.lost_traces
        if len(self.verdicts) >= _MIN_JUDGED and self._lost / len(self.verdicts) > allowed:
            detail = f"{self._lost} of {len(self.verdicts)} traces did not come back whole (allowed: {allowed:.0%})"
            after_s = time.monotonic() - self._began_s
            self.stop = StopEvent(reason="lost-traces", detail=detail, after_s=after_s)
