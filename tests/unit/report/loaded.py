"""A made-up load run that has everything: demands met, missed and unknown, a knee, a regression, a lost sender."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tests.unit.report.replayed import HOSTILE, endpoint, quantiles
from tests.unit.report.shop_run import Run, shop_run
from tracer_bullet.model import Finding, Outcome, Severity
from tracer_bullet.model.load import (
    BaselineResult,
    Capacity,
    CapacityStep,
    FailureGroup,
    GuardrailReading,
    LoadAccounting,
    LoadReport,
    LoadSecond,
    SenderResult,
    ServiceResult,
    ThresholdResult,
    Usl,
)
from tracer_bullet.model.replay import EndpointResult, StopEvent, Timing
from tracer_bullet.report import Document, build_document

STOPPED = StopEvent(reason="guardrail", detail="GET /health of shop: 503, three times", after_s=41.27)


def curve(seconds: int = 120, *, gap: range = range(60, 66)) -> tuple[LoadSecond, ...]:
    """A ramp with a stall: for some seconds nothing came back."""
    return tuple(
        LoadSecond(
            t_s=float(t),
            width_s=1.0,
            planned_rate=5.0 * t,
            rate=5.0 * t + 20 * math.sin(t / 3),
            bad=max(0, t - 100),
            p50_ms=10.0 + t / 10,
            p99_ms=40.0 + (4000.0 if t == gap.stop else t),
            lateness_p99_ms=0.3,
            users=t // 10,
        )
        for t in range(seconds)
        if t not in gap
    )


def thresholds() -> tuple[ThresholdResult, ...]:
    return (
        ThresholdResult(expect="p(99) < 300ms", scope="all", value=120.5, unit="ms", met=True, samples=30_000),
        ThresholdResult(expect="error_rate < 0.1%", scope="buy / pay", value=0.0123, unit="share", met=False,
                        samples=900, aborted=True, detail="1.23 % of 900"),
        ThresholdResult(expect="p(99.9) < 1s", scope="service pricing", value=None, unit="ms", met=None, samples=12,
                        detail="12 samples; p(99.9) needs 1,000"),
    )  # fmt: skip


def capacity() -> Capacity:
    steps = (
        CapacityStep(rate=100, achieved=99.8, held=True, p50_ms=12, p99_ms=40, error_rate=0, concurrency=1.3),
        CapacityStep(rate=200, achieved=198.1, held=True, p50_ms=14, p99_ms=90, error_rate=0, concurrency=3.4),
        CapacityStep(rate=300, achieved=260.0, held=None, p50_ms=22, p99_ms=290, error_rate=0.0004, concurrency=8),
        CapacityStep(rate=400, achieved=270.0, held=False, p50_ms=91, p99_ms=2100, error_rate=0.02, concurrency=40,
                     detail="p(99) < 300ms"),
    )  # fmt: skip
    usl = Usl(lambda_=84.0, sigma=0.031, kappa=0.0007, r2=0.993, peak_n=37.0, peak_rate=271.4)
    return Capacity(
        low=200.0, high=400.0, steps=steps, usl=usl, saturated=(("pricing", 7.4), ("cart", 1.9)),
        detail="the objective p(99) < 300ms broke",
    )  # fmt: skip


def load_report(steps: Sequence[EndpointResult] = (), **more: object) -> LoadReport:
    rows = tuple(steps) or (
        endpoint("buy / look", sent=20_000),
        endpoint("buy / pay", sent=9_000, failed=111, median_ms=31.0),
        endpoint("browse / list", sent=1_400, median_ms=0.4),
    )
    sent, failed = sum(e.sent for e in rows), sum(e.failed for e in rows)
    report = LoadReport(
        scenarios=("buy", "browse"),
        model="open",
        profile=("0/s → 600/s over 120 s", "Poisson"),
        span_s=120.0,
        warm_up_s=10.0,
        accounting=LoadAccounting(
            planned=sent + 44, sent=sent, answered=sent - failed, failed=failed, not_sent={"stale": 40, "skipped": 4},
            warm_up=510, begun=12_000, whole=11_800, broken=150, cut=50, request_bytes=4_000_000,
            answer_bytes=90_000_000, backed_off=2,
        ),
        timing=Timing(lateness=quantiles(0.1), held=quantiles(4.0), drift_ms=0.02, bound_ms=10.0, valid=True),
        overall=endpoint("all", sent=sent, failed=failed),
        steps=rows,
        iterations=(endpoint("buy", sent=9_000, failed=150, median_ms=80), endpoint("browse", sent=1_400)),
        services=(
            ServiceResult(service="pricing", spans=812, errors=3, p50_ms=4.0, p95_ms=19.0, p99_ms=81.0, share=0.02),
            ServiceResult(service="cart", spans=1_630, errors=0, p50_ms=1.0, p95_ms=2.0, p99_ms=7.0, share=0.02),
        ),
        senders=(
            SenderResult(sender=0, name="worker-a", sent=20_000, lateness=quantiles(0.1), cpu_share=0.4),
            SenderResult(sender=1, name="worker-b", sent=9_000, lateness=quantiles(0.2), cpu_share=0.9,
                         lost="no word for 5 s", unaccounted=777),
            SenderResult(sender=2, name="worker-c", sent=1_400, lateness=quantiles(20), cpu_share=0.97,
                         detail="joined late, after 12 s"),
        ),
        thresholds=thresholds(),
        baseline=(
            BaselineResult(step="buy / pay", metric="p99", before=80.0, after=155.0, change=0.94, low=0.7, high=1.2,
                           verdict="worse", samples=(9_000, 9_000)),
            BaselineResult(step="buy / look", metric="p99", before=60.0, after=61.0, change=0.016, low=-0.02, high=0.05,
                           verdict="same", samples=(20_000, 20_000)),
            BaselineResult(step="browse / list", metric="error_rate", before=0.0, after=0.0, change=0.0, low=-0.01,
                           high=0.01, verdict="not-enough-data", samples=(20, 1_400)),
        ),
        baseline_run="2026-11-20-before",
        capacity=capacity(),
        failures=(
            FailureGroup(step="buy / pay", message="status is 500, expected 201", count=100, trace_id="ab" * 16,
                         row={"sku": "MUG-00017", "quantity": 40}, smallest={"sku": "MUG", "quantity": 11}),
            FailureGroup(step="buy / pay", message="no answer within 5 s (answer-timeout)", count=11),
        ),
        curve=curve(),
        guardrails=(
            GuardrailReading(name="GET /health of shop", last="503", worst="503", limit="2xx", looks=41, broken=True),
            GuardrailReading(name="standard p99", last="81.0 ms", worst="120 ms", limit="150 ms", looks=40),
        ),
        sampling="2 % of traces, and all of failed requests where the backend can",
        armed=("buy / look", "buy / pay", "browse / list"),
        audited=212,
    )  # fmt: skip
    return replace(report, **more)  # type: ignore[arg-type]


def step_failed(step: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        rule="step-failed", severity=severity, operation=step, message=f"111 of 9000 requests to {step} failed"
    )


def load_run(report: LoadReport, findings: Sequence[Finding] = ()) -> tuple[Run, Document]:
    """A run that loaded, and its document."""
    run = shop_run(bullets=8)
    bad = any(f.severity is Severity.ERROR for f in findings)
    verdict = replace(
        run.verdict,
        findings=(*findings, *run.verdict.findings),
        outcome=Outcome.FAILED if bad else Outcome.ABORTED if report.stop else run.verdict.outcome,
    )
    run = replace(run, manifest=replace(run.manifest, kind="load", scenario=report.scenarios[0]), verdict=verdict)
    return run, build_document(run.manifest, run.verdict, run.graph, run.traces, load=report)


def hostile(steps: int = 230) -> LoadReport:
    """More steps than a page shows, and markup in all texts that come from elsewhere."""
    rows = [endpoint(f"{HOSTILE} / step-{n}", sent=400 + n, failed=n % 10 == 9) for n in range(steps)]
    whole = load_report(rows)
    return replace(
        whole,
        scenarios=(HOSTILE, "browse"),
        profile=(HOSTILE,),
        services=tuple(replace(s, service=HOSTILE) for s in whole.services),
        senders=tuple(replace(s, name=HOSTILE, detail=HOSTILE) for s in whole.senders),
        thresholds=tuple(replace(t, scope=HOSTILE, detail=HOSTILE) for t in whole.thresholds),
        baseline=tuple(replace(b, step=HOSTILE) for b in whole.baseline),
        baseline_run=HOSTILE,
        failures=tuple(replace(f, step=HOSTILE, message=HOSTILE, row={HOSTILE: HOSTILE}) for f in whole.failures),
        guardrails=tuple(
            replace(g, name=HOSTILE, last=HOSTILE, worst=HOSTILE, limit=HOSTILE) for g in whole.guardrails
        ),
        sampling=HOSTILE,
        stop=replace(STOPPED, detail=HOSTILE),
    )
