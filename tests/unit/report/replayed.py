"""A made-up replay: endpoints that did well, failed, differ, or were not proved, and differences of every sort."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.unit.report.shop_run import Run, shop_run
from tracer_bullet.model import Finding, Outcome, Severity
from tracer_bullet.model.replay import (
    Accounting,
    Comparison,
    Correlation,
    Difference,
    EndpointResult,
    Fidelity,
    Quantiles,
    ReplayReport,
    StopEvent,
    Timing,
)
from tracer_bullet.report import Document, build_document

HOSTILE = "</script><img src=x onerror=alert(1)>"


def quantiles(median_ms: float, count: int = 100) -> Quantiles:
    return Quantiles(
        count=count, mean_ms=1.2 * median_ms, p50_ms=median_ms, p90_ms=2 * median_ms, p95_ms=3 * median_ms,
        p99_ms=5 * median_ms, p999_ms=9 * median_ms, max_ms=11 * median_ms,
    )  # fmt: skip


def endpoint(name: str, *, sent: int = 100, failed: int = 0, median_ms: float = 12.0) -> EndpointResult:
    return EndpointResult(
        endpoint=name,
        sent=sent,
        failed=failed,
        latency=quantiles(median_ms, sent),
        service=quantiles(0.9 * median_ms, sent),
        held=quantiles(0.0, 0),
        statuses={"200": sent - failed},
        errors={"answer-timeout": failed} if failed else {},
    )


def difference(name: str, field: str, *, kind: str = "value", differing: int = 30, compared: int = 100) -> Difference:
    return Difference(
        endpoint=name, field=field, kind=kind, differing=differing, compared=compared, share_low=0.22, share_high=0.4,
        noise=0.02, noise_of=50, examples=(("17.50", "19.90"), ("1.00", "0.90")),
    )  # fmt: skip


def replay_report(
    endpoints: Sequence[EndpointResult] = (), findings: Sequence[Difference] = (), **more: object
) -> ReplayReport:
    rows = tuple(endpoints)
    sent, failed = sum(e.sent for e in rows), sum(e.failed for e in rows)
    report = ReplayReport(
        archive="morning.tba",
        spec="morning",
        mode="speed",
        speed=4.0,
        sessions=1_200,
        accounting=Accounting(
            read=sent + 57, skipped={"host": 40, "share": 2}, planned=sent + 15, sent=sent, answered=sent - failed,
            failed=failed, refused={"write-without-body": 12}, not_sent={"slot": 3}, request_bytes=4_000_000,
            answer_bytes=90_000_000,
        ),
        timing=Timing(lateness=quantiles(0.1), held=quantiles(4.0), drift_ms=0.02, bound_ms=10.0, valid=True),
        overall=endpoint("all", sent=sent, failed=failed),
        endpoints=rows,
        fidelity=Fidelity(
            sessions=1_200, lost=3, repeated=0, in_order=0.9997, pairs=9_000, gap_error=quantiles(0.3),
            concurrency_recorded=(4.2, 31), concurrency_replayed=(16.9, 120), span_recorded_s=3600, span_replayed_s=901,
        ),
        comparison=Comparison(
            compared=sent, equal=sent - 30, findings=tuple(findings),
            noisy=(difference("GET /time", "$.now"),), unsure=(difference("GET /rare", "$.x", compared=2),),
            incomparable={"no recorded answer": 4},
        ),
        correlations=(
            Correlation(variable="v1", minted="POST /login $.token", used=("GET /orders header:authorization",),
                        sessions=900, uses=4_000),
        ),
        armed=tuple(e.endpoint for e in rows),
        audited=300,
    )  # fmt: skip
    return replace(report, **more)  # type: ignore[arg-type]


def differs(d: Difference) -> Finding:
    """The finding that a difference becomes."""
    return Finding(
        rule="answer-differs", severity=Severity.ERROR, operation=d.endpoint, hop=d.field,
        message=f"{d.differing} of {d.compared} answers differ from the recording in {d.field} ({d.kind})",
        cure="if it is meant to differ, list it under compare.ignore",
    )  # fmt: skip


def replay_run(report: ReplayReport, findings: Sequence[Finding] = ()) -> tuple[Run, Document]:
    """A run that replayed, and its document."""
    run = shop_run(bullets=8)
    bad = any(f.severity is Severity.ERROR for f in findings)
    verdict = replace(
        run.verdict,
        findings=(*findings, *run.verdict.findings),
        outcome=Outcome.FAILED if bad else Outcome.ABORTED if report.stop else run.verdict.outcome,
    )
    run = replace(run, manifest=replace(run.manifest, kind="replay", scenario=report.spec), verdict=verdict)
    return run, build_document(run.manifest, run.verdict, run.graph, run.traces, replay=report)


def many(endpoints: int = 230, differences: int = 120) -> tuple[ReplayReport, list[Finding]]:
    """More than a page shows; every tenth endpoint failed, some are not proved, one has markup in all its texts."""
    rng = random.Random(7)
    rows = [
        endpoint(f"{('GET', 'POST')[i % 2]} /area-{i % 17}/things/{{}}/part-{i}", sent=rng.randint(20, 90_000),
                 failed=(i % 10 == 9 and 3) or 0, median_ms=rng.lognormvariate(3, 1))
        for i in range(endpoints)
    ]  # fmt: skip
    rows[0] = endpoint(f"GET /{HOSTILE}", sent=400, failed=1)
    found = [difference(rows[i % 40].endpoint, f"$.items[*].price_{i}") for i in range(differences)]
    evil = difference(rows[0].endpoint, HOSTILE)
    found[0] = replace(evil, examples=((HOSTILE, f"'\"{HOSTILE}"),), kind="type")
    report = replay_report(rows, found, armed=tuple(e.endpoint for e in rows[5:]), archive=f"{HOSTILE}.tba")
    return report, [differs(d) for d in found]


STOPPED = StopEvent(reason="guardrail", detail="61 of 80 requests failed within 10 s (allowed: 50 %)", after_s=12.34)
