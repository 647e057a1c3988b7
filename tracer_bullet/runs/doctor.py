"""`tracer-bullet doctor`: one bullet, and what arrived of it at each hop."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tracer_bullet.audit import audit_trace
from tracer_bullet.model import Finding, Gap, Severity, Trace, attributes
from tracer_bullet.runs.flight import begin, send_one
from tracer_bullet.runs.job import FireJob
from tracer_bullet.runs.settle import settle, step_span_ids, whole_trace
from tracer_bullet.runs.sources import check_reachable, open_source
from tracer_bullet.traces import find_gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What one service showed. `carriers`: what arrived; `guards`: in force; `refused`: reason or empty."""

    caller: str
    service: str
    spans: int
    flagged: bool
    carriers: tuple[str, ...]
    guards: tuple[str, ...]
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All hops of one bullet, with what the audit and the completeness rule say of it."""

    trace_id: str
    answers: tuple[tuple[str, str], ...]
    hops: tuple[Hop, ...]
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]

    @property
    def healthy(self) -> bool:
        """Whether this bullet would be proved harmless."""
        return bool(self.hops) and not self.gaps and all(f.severity is Severity.WARNING for f in self.findings)


async def diagnose(job: FireJob) -> Diagnosis:
    """Fire one bullet, leave no run folder, and say what came of it. Raises UnreachableError."""
    await check_reachable(job.target.url)
    source = await open_source(job.traces)
    try:
        flight = begin(job)
        async with flight.client:
            result = await send_one(flight, 0)
        waits = settle(
            source,
            [result],
            job.target.system,
            settle_s=job.traces.settle_s,
            quiet_s=job.traces.quiet_s,
            clock_s=time.monotonic,
        )
        async for _ in waits:
            pass
        trace = whole_trace(result, await source.fetch([result.trace_id]))
    finally:
        await source.close()
    return Diagnosis(
        trace_id=trace.trace_id,
        answers=tuple((shot.step, str(shot.status or shot.error)) for shot in result.shots),
        hops=find_hops(trace),
        findings=audit_trace(trace, job.target.system, job.rules),
        gaps=find_gaps(trace, job.target.system, step_span_ids(result)),
    )


def find_hops(trace: Trace) -> tuple[Hop, ...]:
    """Each caller → service of a trace, in the order of the calls."""
    spans_of: dict[tuple[str, str], list[str]] = {}
    for span in trace.spans:
        if span.service != attributes.HARNESS_SERVICE:
            caller = next((a.service for a in trace.ancestors(span) if a.service != span.service), "?")
            spans_of.setdefault((caller, span.service), []).append(span.span_id)
    return tuple(_hop(trace, caller, service, ids) for (caller, service), ids in spans_of.items())


def _hop(trace: Trace, caller: str, service: str, ids: list[str]) -> Hop:
    spans = [trace.by_id[i] for i in ids]
    seals = [s for s in spans if attributes.SEALED_SPANS in s.attributes]
    refused = next((s.attributes[attributes.REFUSED] for s in spans if attributes.REFUSED in s.attributes), "")
    told = [*seals, *(s for s in spans if attributes.CARRIERS in s.attributes)]
    carriers = told[0].attributes.get(attributes.CARRIERS, "") if told else ""
    guards = seals[0].attributes.get(attributes.GUARDS, "") if seals else ""
    return Hop(
        caller=caller,
        service=service,
        spans=len(spans) - len(seals),
        flagged=all(s.attributes.get(attributes.REQUEST_TYPE) == "TRACE" for s in spans),
        carriers=tuple(filter(None, carriers.split(","))),
        guards=tuple(filter(None, guards.split(","))),
        refused=refused,
    )
