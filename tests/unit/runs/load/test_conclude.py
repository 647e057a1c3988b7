"""Claim: a load run's verdict is the worst of what it knows, and what nobody knows never passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracer_bullet.model import BulletVerdict, Outcome, Severity
from tracer_bullet.model.load import (
    BaselineResult,
    FailureGroup,
    LoadAccounting,
    LoadReport,
    SenderResult,
    ThresholdResult,
)
from tracer_bullet.model.replay import EndpointResult, Quantiles, StopEvent, Timing
from tracer_bullet.runs.load.conclude import REACHED, conclude

NONE = Quantiles()
STEP = EndpointResult(endpoint="buy / pay", sent=100, failed=0, latency=NONE, service=NONE)
FAILING = replace(STEP, failed=3, errors={"unexpected": 2, "reset": 1})
FINE = LoadReport(
    scenarios=("buy",),
    model="open",
    profile=("20/s for 10 s",),
    span_s=10.0,
    warm_up_s=0.0,
    accounting=LoadAccounting(planned=100, sent=100, answered=100, begun=100, whole=100),
    timing=Timing(),
    overall=STEP,
    steps=(STEP,),
    audited=5,
)
CLEAN = [
    BulletVerdict(bullet=n, trace_id=f"{n:032x}", outcome=Outcome.PASSED, checks=(), findings=()) for n in range(3)
]


def outcome(report: LoadReport, bullets: list[BulletVerdict] | None = None) -> tuple[Outcome, set[str]]:
    found = conclude(report, CLEAN if bullets is None else bullets, run_id="r", name="buy")
    return found.outcome, {f.rule for f in found.findings}


def threshold(*, met: bool | None, expect: str = "p(99) < 1ms") -> ThresholdResult:
    return ThresholdResult(expect=expect, scope="all", value=2.0, unit="ms", met=met)


def unsent(reason: str, **more: int) -> LoadAccounting:
    return replace(FINE.accounting, sent=90, not_sent={reason: 10}, **more)


def stopped(reason: str) -> StopEvent:
    return StopEvent(reason=reason, detail="why", after_s=1.0)


def sender(lost: str) -> SenderResult:
    return SenderResult(sender=1, name="worker 2", sent=50, lateness=NONE, lost=lost, unaccounted=7)


def baseline(verdict: str) -> BaselineResult:
    return BaselineResult(step="all", metric="p95", before=1, after=2, change=1, low=0.5, high=1.5, verdict=verdict)


@pytest.mark.parametrize(
    ("changes", "wanted", "rule"),
    [
        ({}, Outcome.PASSED, None),
        ({"audited": 0}, Outcome.INCONCLUSIVE, "not-audited"),
        ({"timing": Timing(valid=False)}, Outcome.INCONCLUSIVE, "late"),
        ({"accounting": replace(FINE.accounting, sent=90, not_sent={"stale": 10})}, Outcome.INCONCLUSIVE, "not-sent"),
        ({"accounting": unsent("skipped", failed=10), "steps": (FAILING,)}, Outcome.FAILED, "step-failed"),
        ({"accounting": unsent("skipped", warm_up=5)}, Outcome.PASSED, None),
        ({"accounting": unsent("skipped")}, Outcome.INCONCLUSIVE, "not-sent"),
        ({"accounting": unsent("slot")}, Outcome.INCONCLUSIVE, "not-sent"),
        ({"accounting": unsent("stopped"), "stop": stopped(REACHED)}, Outcome.PASSED, None),
        ({"accounting": unsent("stale"), "stop": stopped(REACHED)}, Outcome.INCONCLUSIVE, "not-sent"),
        ({"accounting": LoadAccounting(), "steps": ()}, Outcome.INCONCLUSIVE, "nothing-measured"),
        ({"accounting": LoadAccounting(warm_up=50), "steps": ()}, Outcome.INCONCLUSIVE, "nothing-measured"),
        ({"steps": (replace(STEP, failed=1, errors={"lost": 1}),)}, Outcome.INCONCLUSIVE, "cut-off"),
        ({"steps": (replace(STEP, failed=1, errors={"stopped": 1}),)}, Outcome.INCONCLUSIVE, "cut-off"),
        (
            {"steps": (replace(STEP, failed=1, errors={"stopped": 1}),), "stop": stopped(REACHED)},
            Outcome.PASSED,
            None,
        ),
        ({"accounting": replace(FINE.accounting, begun=101, cut=1)}, Outcome.INCONCLUSIVE, "cut-off"),
        ({"senders": (sender("it was silent"),)}, Outcome.INCONCLUSIVE, "sender-lost"),
        ({"senders": (sender(""),)}, Outcome.INCONCLUSIVE, "unaccounted"),
        ({"senders": (replace(sender(""), unaccounted=0),)}, Outcome.PASSED, None),
        ({"thresholds": (threshold(met=True),)}, Outcome.PASSED, None),
        ({"thresholds": (threshold(met=False),)}, Outcome.FAILED, "threshold"),
        ({"thresholds": (threshold(met=None),)}, Outcome.INCONCLUSIVE, "threshold-unknown"),
        ({"steps": (FAILING,)}, Outcome.FAILED, "step-failed"),
        (
            {"steps": (FAILING,), "thresholds": (threshold(met=True, expect="error_rate < 5%"),)},
            Outcome.PASSED,
            "step-failed",
        ),
        ({"baseline": (baseline("worse"),)}, Outcome.FAILED, "regression"),
        ({"baseline": (baseline("better"),)}, Outcome.PASSED, None),
        ({"baseline": (baseline("not-enough-data"),)}, Outcome.PASSED, "baseline-unsure"),
        ({"stop": stopped("guardrail")}, Outcome.ABORTED, "stopped-guardrail"),
        ({"stop": stopped("window")}, Outcome.ABORTED, "stopped-window"),
        ({"stop": stopped("not-harmless")}, Outcome.FAILED, "stopped-not-harmless"),
        ({"stop": stopped("interrupt"), "steps": (FAILING,)}, Outcome.FAILED, "stopped-interrupt"),
        ({"stop": stopped(REACHED)}, Outcome.PASSED, None),
    ],
)
def test_the_verdict(changes: dict[str, object], wanted: Outcome, rule: str | None) -> None:
    found, rules = outcome(replace(FINE, **changes))  # type: ignore[arg-type]
    assert found is wanted
    assert rules >= ({rule} if rule else set())
    assert rule is not None or not rules


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("all", True),
        ("scenario buy", True),
        ("step pay", True),
        ("step buy / pay", True),
        ("step look", False),
        ("scenario browse", False),
        ("service pay", False),
    ],
)
def test_failures_are_allowed_only_where_a_threshold_judges_them(scope: str, allowed: bool) -> None:
    some = replace(threshold(met=True, expect="error_rate < 5%"), scope=scope)
    assert outcome(replace(FINE, steps=(FAILING,), thresholds=(some,)))[0] is (
        Outcome.PASSED if allowed else Outcome.FAILED
    )


def test_without_an_audited_bullet_nothing_is_proved() -> None:
    assert outcome(FINE, [])[0] is Outcome.INCONCLUSIVE


def test_a_failing_step_says_how_and_how_often() -> None:
    group = FailureGroup(step="buy / pay", message="$.id is missing", count=2)
    found = conclude(replace(FINE, steps=(FAILING,), failures=(group,)), CLEAN, run_id="r", name="buy")
    (finding,) = found.findings
    assert finding.severity is Severity.ERROR
    assert finding.operation == "buy / pay"
    assert "3 of 100 requests failed (3.00%): reset 1, unexpected 2; for instance: $.id is missing" in finding.message
    assert "error_rate" in finding.cure
