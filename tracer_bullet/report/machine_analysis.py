"""What an analysis adds to the document for machines. Its fields are a contract (docs/report.md)."""

from __future__ import annotations

from typing import Any

from tracer_bullet.report.insight import CauseRow, CriticalView, DriftRow, DriftView, Insight, ServiceRow, SloView
from tracer_bullet.report.shape import Document, OperationRow
from tracer_bullet.report.shape_base import Timing, TraceRef


def analysis_json(document: Document) -> dict[str, Any]:
    """Keys are always present; lists are empty and objects null where nothing is known."""
    insight = document.insight
    return {
        "services": [_service(s) for s in insight.services],
        "operations": [_operation(o) for o in document.operations],
        "critical": _critical(insight.critical),
        "patterns": [
            {
                "kind": p.kind,
                "service": p.service,
                "operation": p.operation,
                "target": p.target,
                "traces": p.traces,
                "times": p.times,
                "cost_ms": p.cost_ms,
                "message": p.message,
                "trace_ids": _ids(p.examples),
            }
            for p in insight.patterns
        ],
        "bad_traces": insight.bad_traces,
        "causes": [_cause(c) for c in insight.causes],
        "contrasts": [
            {
                "attribute": c.attribute,
                "value": c.value,
                "service": c.service,
                "bad_share": c.bad_share,
                "good_share": c.good_share,
                "low": c.low_share,
            }
            for c in insight.contrasts
        ],
        "clocks": [
            {
                "caller": s.caller,
                "callee": s.callee,
                "calls": s.calls,
                "offset_ms": s.offset_ms,
                "state": s.state,
                "reason": s.reason,
            }
            for s in insight.skews
        ],
        "slos": _slos(insight.slos),
        "drift": _drift(insight.drift),
        "declared": [
            {
                "rule": d.rule,
                "severity": d.severity,
                "entity": d.entity,
                "message": d.message,
                "cure": d.cure,
                "where": d.where,
            }
            for d in insight.declared
        ],
        "imported": _imported(insight),
    }


def latency_json(timing: Timing) -> dict[str, float]:
    """Quantiles in milliseconds."""
    ms = timing.ms
    return {
        "p50_ms": ms.p50_ms,
        "p90_ms": ms.p90_ms,
        "p95_ms": ms.p95_ms,
        "p99_ms": ms.p99_ms,
        "p999_ms": ms.p999_ms,
        "max_ms": ms.max_ms,
    }


def _ids(refs: tuple[TraceRef, ...]) -> list[str]:
    return [ref.id for ref in refs]


def _service(s: ServiceRow) -> dict[str, Any]:
    return {
        "service": s.service,
        "owner": s.owner,
        "calls": s.calls,
        "errors": s.errors,
        "rate_per_s": s.rate_per_s,
        "critical_share": s.share,
        **latency_json(s.timing),
        "own_p50_ms": s.own.ms.p50_ms,
        "own_p95_ms": s.own.ms.p95_ms,
    }


def _operation(o: OperationRow) -> dict[str, Any]:
    return {"service": o.service, "name": o.name, "calls": o.calls, "errors": o.errors, **latency_json(o.timing)}


def _critical(critical: CriticalView | None) -> dict[str, Any] | None:
    if critical is None:
        return None
    return {
        "traces": critical.traces,
        "total_ms": critical.total_ms,
        "ambiguous_ms": critical.ambiguous_ms,
        "shares": [
            {
                "service": s.service,
                "operation": s.operation,
                "traces": s.traces,
                "calls": s.calls,
                "exclusive_ms": s.exclusive_ms,
                "share": s.share,
                "drag_ms": s.drag_ms,
                "ambiguous_ms": s.ambiguous_ms,
            }
            for s in critical.rows
        ],
    }


def _cause(c: CauseRow) -> dict[str, Any]:
    return {
        "symptom": c.symptom,
        "title": c.title,
        "service": c.service,
        "operation": c.operation,
        "owner": c.owner,
        "on_call": c.on_call,
        "traces": c.traces,
        "share": c.share,
        "path": list(c.path),
        "trace_ids": _ids(c.examples),
    }


def _slos(slos: SloView | None) -> dict[str, Any] | None:
    if slos is None:
        return None
    return {
        "objectives": [
            {
                "name": r.name,
                "service": r.service,
                "objective": r.objective,
                "owner": r.owner,
                "met": r.met,
                "share": r.share,
                "budget_left": r.budget_left,
                "where": r.where,
            }
            for r in slos.rows
        ],
        "derived": [
            {
                "outer": d.outer,
                "service": d.service,
                "operation": d.operation,
                "objective": d.objective,
                "met": d.met,
            }
            for d in slos.derived
        ],
    }


def _drift(drift: DriftView | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    return {
        "before": drift.before,
        "after": drift.after,
        "regressed": list(drift.regressed),
        "edges": [
            {"source": e.source, "target": e.target, "change": e.change, "calls": e.calls, "message": e.message}
            for e in drift.edges
        ],
        "shifts": [_shift(r) for r in (*drift.latencies, *drift.errors)],
    }


def _shift(r: DriftRow) -> dict[str, Any]:
    return {
        "service": r.service,
        "operation": r.operation,
        "what": r.what,
        "change": r.change,
        "before": r.before,
        "after": r.after,
        "difference": r.difference,
        "interval": r.interval,
    }


def _imported(insight: Insight) -> list[dict[str, Any]]:
    return [
        {
            "name": f.name,
            "format": f.format,
            "spans": f.spans,
            "problem": f.problem,
            "losses": [{"what": why, "times": times} for why, times, _ in f.losses],
        }
        for f in insight.imported
    ]
