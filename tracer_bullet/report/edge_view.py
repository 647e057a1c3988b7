"""An edge of the service graph as the report shows it: its numbers on both sides, evidence and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer_bullet.model import Edge, Evidence, Finding, Severity, Verdict
from tracer_bullet.model.analysis import Analysis, EdgeLatency
from tracer_bullet.model.catalog import Catalog
from tracer_bullet.report import text
from tracer_bullet.report.levels import LatencySteps, error_level
from tracer_bullet.report.shape import EdgeView, EvidenceView, QuantileRow
from tracer_bullet.report.shape_base import Fact, Tone
from tracer_bullet.report.timing_view import Axis, errors_text, quantile_texts, timing, trace_refs


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphContext:
    """What is known of a graph besides itself. `keys` are example keys by trace id; `crossings` are the examples
    that go from one service to another, or to a peer of a name."""

    verdict: Verdict | None = None
    analysis: Analysis | None = None
    catalog: Catalog | None = None
    axis: Axis = field(default_factory=Axis)
    keys: Mapping[str, str] = field(default_factory=dict)
    crossings: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all edges of one graph share: what is known besides it, the scale of bars, the steps of colours."""

    known: GraphContext
    scale: float
    steps: LatencySteps


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """An edge's ends: keys, shown names, and traces (ids) in which it can be seen."""

    source: str
    target: str
    source_name: str
    target_name: str
    crossed: tuple[str, ...]


def edge_view(
    key: str,
    edge: Edge,
    ends: Ends,
    frame: Frame,
    measured: EdgeLatency | None,
    found: list[Finding],
    undecided: int,
) -> EdgeView:
    """The view of `edge`: `measured` by an analysis, `found` by the audit, with `undecided` unguarded writes."""
    known = frame.known
    histogram = (
        known.axis.histogram(measured.caller if measured.caller.buckets else measured.callee) if measured else None
    )
    shown = timing(edge.latency, frame.scale, histogram)
    bad = bool(edge.errors or undecided) or any(f.severity is Severity.ERROR for f in found)
    decisions = tuple(sorted((text.line(name, 60), n) for name, n in edge.decisions))
    writes = _writes(edge.writes, decisions, undecided)
    return EdgeView(
        key=key,
        source=ends.source,
        target=ends.target,
        source_name=ends.source_name,
        target_name=ends.target_name,
        calls=edge.calls,
        errors=edge.errors,
        calls_text=text.count(edge.calls),
        errors_text=errors_text(edge.errors, edge.calls),
        timing=shown,
        writes=edge.writes,
        undecided=undecided,
        decisions=decisions,
        writes_text=writes,
        asynchronous=edge.asynchronous,
        tone=tone_of(bad, bool(found)),
        label=f"{text.count(edge.calls)}× · p95 {shown.p95}",
        label_alert=badge_of(edge.errors, len(found)) or (f"{undecided} unguarded" if undecided else ""),
        facts=_edge_facts(edge, measured, writes if known.verdict is not None else "", undecided),
        evidence=tuple(_evidence(e, known.keys) for e in edge.evidence),
        findings=tuple(text.line(f.message) for f in found),
        quantiles=_quantiles(edge, measured),
        examples=trace_refs(_examples(edge, ends, known.keys), known.keys),
        by_errors=error_level(edge.errors, edge.calls),
        by_latency=frame.steps.level(edge.latency.p95_ms),
    )


def _examples(edge: Edge, ends: Ends, keys: Mapping[str, str]) -> list[str]:
    """Shown traces that take the edge: those that prove it, then those in which it can be seen."""
    proofs = [i for e in edge.evidence for i in e.example_trace_ids if i in keys]
    return [*proofs, *(i for i in ends.crossed if i in keys)]


def _edge_facts(edge: Edge, measured: EdgeLatency | None, writes: str, undecided: int) -> tuple[Fact, ...]:
    errors = errors_text(edge.errors, edge.calls)
    facts = [
        Fact(label="Calls", value=text.count(edge.calls)),
        Fact(label="Errors", value=errors, tone=bad_if(edge.errors)),
    ]
    if measured is not None:
        facts.append(Fact(label="Rate", value=text.rate(measured.rate_per_s)))
        facts.append(Fact(label="Calls per trace", value=f"{measured.calls_per_trace:,.3g}"))
    if writes:
        facts.append(Fact(label="Write calls", value=writes, tone=bad_if(undecided)))
    facts.append(Fact(label="Manner", value="asynchronous" if edge.asynchronous else "the caller waits"))
    return tuple(facts)


def _quantiles(edge: Edge, measured: EdgeLatency | None) -> tuple[QuantileRow, ...]:
    """What the caller waited and what the callee took; without an analysis the one that the graph knows."""
    rows = []
    if measured is not None and measured.caller.buckets:
        rows.append(QuantileRow(label="caller waited", values=quantile_texts(measured.caller.latency())))
    if measured is not None and measured.callee.buckets:
        rows.append(QuantileRow(label="callee took", values=quantile_texts(measured.callee.latency())))
    return tuple(rows) or (QuantileRow(label="latency", values=quantile_texts(edge.latency)),)


def _evidence(evidence: Evidence, keys: Mapping[str, str]) -> EvidenceView:
    return EvidenceView(
        rule=text.line(evidence.rule, 80),
        times=text.plural(evidence.count, "time"),
        traces=trace_refs(evidence.example_trace_ids, keys),
    )


def bad_if(number: int) -> Tone:
    """Bad, if there is any."""
    return Tone.BAD if number else Tone.PLAIN


def tone_of(bad: bool, warn: bool) -> Tone:
    """The worse of both."""
    if bad:
        return Tone.BAD
    return Tone.WARN if warn else Tone.PLAIN


def badge_of(errors: int, findings: int) -> str:
    """`2 errors · 1 finding`, or ""."""
    parts = [text.plural(errors, "error")] if errors else []
    parts += [text.plural(findings, "finding")] if findings else []
    return " · ".join(parts)


def _writes(writes: int, decisions: tuple[tuple[str, int], ...], undecided: int) -> str:
    parts = [f"{text.count(n)} {name}" for name, n in decisions]
    parts += [f"{text.count(undecided)} without a guard's decision"] if undecided else []
    return ", ".join(parts) if parts else text.count(writes)
