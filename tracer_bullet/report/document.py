"""From a run's results to the one document that all outputs render.

Every number that a report shows is made here or in the `*_view` modules below it;
templates and renderers only place it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracer_bullet.model import NodeKind, Outcome, RequestType, RunManifest, ServiceGraph, Trace, Verdict
from tracer_bullet.report import text
from tracer_bullet.report.audit_view import build_checks, build_findings, build_hops, build_writes
from tracer_bullet.report.graph_view import build_graph_view, build_operations
from tracer_bullet.report.shape import Document, Fact, GraphView, HopRow, Tile, Tone, Totals
from tracer_bullet.report.trace_view import OUTCOME_TONE, RULE, build_examples, trace_ms

MAX_FINDINGS = 200
MAX_OPERATIONS = 300
MAX_WRITES = 200


def build_document(manifest: RunManifest, verdict: Verdict, graph: ServiceGraph, traces: Sequence[Trace]) -> Document:
    """The document of one run. Pure: equal inputs give an equal document.

    `traces` are those of the verdict's bullets, in the order they were fired; writes and
    hops are counted over all of them. Duration of an unfinished run is 0.
    """
    view = build_graph_view(graph, verdict)
    findings, findings_note = build_findings(verdict, MAX_FINDINGS)
    operations, operations_note = build_operations(graph.operations, MAX_OPERATIONS)
    flag_sent = manifest.request_type is RequestType.TRACE
    hops = build_hops(traces, verdict, flag_sent=flag_sent)
    writes, writes_note, decisions, undecided = build_writes(traces, verdict, MAX_WRITES)
    totals = replace(
        _totals(verdict, view, traces, hops),
        writes=sum(decisions.values()) + undecided,
        undecided=undecided,
        decisions=tuple(sorted(decisions.items())),
    )
    duration_s = max(0.0, ((manifest.ended_ns or manifest.started_ns) - manifest.started_ns) / 1e9)
    return Document(
        run_id=text.line(manifest.run_id, 80),
        scenario=text.line(manifest.scenario),
        target=text.line(manifest.target),
        outcome=verdict.outcome,
        outcome_text=verdict.outcome.value,
        tone=OUTCOME_TONE[verdict.outcome],
        exit_code=int(verdict.outcome.exit_code),
        headline=_headline(verdict, totals, flag_sent),
        started=text.moment(manifest.started_ns),
        started_iso=text.iso(manifest.started_ns),
        duration_s=duration_s,
        duration=text.ms(1000 * duration_s)
        if manifest.ended_ns is not None
        else f"not ended ({text.line(manifest.state, 40)})",
        tiles=_tiles(totals, view, flag_sent),
        totals=totals,
        findings=findings,
        findings_note=findings_note,
        graph=view,
        operations=operations,
        operations_note=operations_note,
        examples=build_examples(verdict, traces, flag_sent=flag_sent),
        examples_rule=RULE,
        hops=hops,
        writes=writes,
        writes_note=writes_note,
        checks=build_checks(verdict),
        facts=_facts(manifest, duration_s),
    )


def _totals(verdict: Verdict, view: GraphView, traces: Sequence[Trace], hops: Sequence[HopRow]) -> Totals:
    lengths = sorted(trace_ms(t) for t in traces if t.spans)
    return Totals(
        planned=max(verdict.planned, len(verdict.bullets)),
        judged=len(verdict.bullets),
        passed=verdict.count(Outcome.PASSED),
        failed=verdict.count(Outcome.FAILED),
        inconclusive=verdict.count(Outcome.INCONCLUSIVE),
        aborted=verdict.count(Outcome.ABORTED),
        hops=len(hops),
        hops_marked=sum(1 for h in hops if h.tone is not Tone.BAD),
        traces=len(traces),
        spans=sum(len(t.spans) for t in traces),
        services=sum(1 for n in view.nodes if n.kind is NodeKind.SERVICE),
        trace_p50_ms=_quantile(lengths, 0.50),
        trace_p95_ms=_quantile(lengths, 0.95),
        trace_max_ms=lengths[-1] if lengths else None,
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least `share` of all values do not exceed."""
    if not ordered:
        return None
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[rank - 1]


def _headline(verdict: Verdict, totals: Totals, flag_sent: bool) -> str:
    bullets = text.plural(totals.judged, "bullet")
    if verdict.outcome is Outcome.PASSED and flag_sent:
        return f"{bullets} went through {text.plural(totals.services, 'service')} and left nothing behind."
    if verdict.outcome is Outcome.PASSED:
        flows = text.plural(totals.judged, "flow")
        return f"{flows} without the flag went through {text.plural(totals.services, 'service')}."
    if verdict.outcome is Outcome.ABORTED:
        return f"Stopped after {text.count(totals.judged)} of {text.plural(totals.planned, 'bullet')}."
    share = totals.failed if verdict.outcome is Outcome.FAILED else totals.inconclusive
    word = "failed" if verdict.outcome is Outcome.FAILED else "could not be proved harmless"
    if not share:
        return f"The run as a whole {word}, though none of its {bullets} did."
    return f"{text.count(share)} of {bullets} {word}."


def _tiles(totals: Totals, view: GraphView, flag_sent: bool) -> tuple[Tile, ...]:
    calls, errors = sum(e.calls for e in view.edges), sum(e.errors for e in view.edges)
    return (
        Tile(label="Bullets", value=text.count(totals.judged), note=_bullet_note(totals), tone=_bullet_tone(totals)),
        Tile(
            label="Writes met",
            value=text.count(totals.writes),
            note=_write_note(totals, flag_sent),
            tone=Tone.BAD if totals.undecided and flag_sent else Tone.PLAIN,
        ),
        Tile(
            label="Flag",
            value=f"{text.count(totals.hops_marked)}/{text.count(totals.hops)}" if flag_sent else "off",
            note="hops that it crossed" if flag_sent else "sent as standard requests",
            tone=Tone.BAD if flag_sent and totals.hops_marked < totals.hops else Tone.PLAIN,
        ),
        Tile(
            label="Median trace",
            value=text.ms(totals.trace_p50_ms),
            note=f"p95 {text.ms(totals.trace_p95_ms)}, slowest {text.ms(totals.trace_max_ms)}",
        ),
        Tile(
            label="Call errors",
            value=text.count(errors),
            note=f"of {text.plural(calls, 'call')} between parts",
            tone=Tone.WARN if errors else Tone.PLAIN,
        ),
    )


def _bullet_note(totals: Totals) -> str:
    counts = [
        (totals.passed, "passed"),
        (totals.failed, "failed"),
        (totals.inconclusive, "inconclusive"),
        (totals.aborted, "aborted"),
        (totals.planned - totals.judged, "never judged"),
    ]
    return ", ".join(f"{text.count(n)} {word}" for n, word in counts if n) or "none fired"


def _bullet_tone(totals: Totals) -> Tone:
    if totals.failed or totals.aborted:
        return Tone.BAD
    return Tone.UNSURE if totals.inconclusive or totals.planned > totals.judged else Tone.PLAIN


def _write_note(totals: Totals, flag_sent: bool) -> str:
    parts = [f"{text.count(n)} {name.replace('_', ' ')}" for name, n in totals.decisions if n]
    if totals.undecided:
        parts.append(f"{text.count(totals.undecided)} without a decision")
    return ", ".join(parts) or ("nothing to undo" if flag_sent else "not judged without the flag")


def _facts(manifest: RunManifest, duration_s: float) -> tuple[Fact, ...]:
    versions = ", ".join(f"{text.line(k, 60)} {text.line(v, 60)}" for k, v in sorted(manifest.versions.items()))
    rows = [
        ("Run", manifest.run_id),
        ("Kind", manifest.kind),
        ("Scenario", manifest.scenario),
        ("Scenario file", manifest.scenario_file),
        ("Target", f"{manifest.target} ({'production' if manifest.production else 'not production'})"),
        ("Target address", manifest.target_url),
        ("Request type", manifest.request_type.value),
        ("Bullets planned", text.count(manifest.bullets)),
        ("At once", text.count(manifest.concurrency)),
        ("Started", text.moment(manifest.started_ns)),
        ("Ended", text.moment(manifest.ended_ns) if manifest.ended_ns is not None else "not ended"),
        ("Took", text.ms(1000 * duration_s) if manifest.ended_ns is not None else ""),
        ("State", manifest.state),
        ("Fired by", manifest.fired_by),
        ("Token", manifest.token_id),
        ("Versions", versions),
    ]
    return tuple(Fact(label=label, value=text.line(value)) for label, value in rows if value)
