"""Claim: failed beats aborted beats inconclusive, and nothing passes without a proof."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.report.replayed import difference, endpoint, quantiles, replay_report
from tracer_bullet.model import BulletVerdict, Finding, Outcome, Severity, Verdict
from tracer_bullet.model.replay import Comparison, ReplayReport, StopEvent, Timing
from tracer_bullet.runs.replay.conclude import conclude

GOOD = BulletVerdict(bullet=0, trace_id="a" * 32, outcome=Outcome.PASSED, checks=(), findings=())
LATE = Timing(lateness=quantiles(20.0), bound_ms=10, valid=False)
FAILING = endpoint("GET /a", failed=3)


def report(*rows: object, **more: object) -> ReplayReport:
    return replay_report(rows or (endpoint("GET /a"),), **{"comparison": None, **more})  # type: ignore[arg-type]


def stopped(reason: str) -> StopEvent:
    return StopEvent(reason=reason, detail="because", after_s=1.5)


def judged(made: ReplayReport, *, tolerated: float = 0.0, bullets: tuple[BulletVerdict, ...] = (GOOD,),
           extra: tuple[Finding, ...] = ()) -> Verdict:  # fmt: skip
    return conclude(made, bullets, run_id="r", tolerated=tolerated, extra=extra)


def rules(verdict: Verdict) -> set[str]:
    return {f.rule for f in verdict.findings}


def test_all_well() -> None:
    verdict = judged(report())
    assert (verdict.outcome, verdict.findings) == (Outcome.PASSED, ())


@pytest.mark.parametrize(
    ("made", "outcome", "rule"),
    [
        (report(timing=LATE), Outcome.INCONCLUSIVE, "late"),
        (report(audited=0), Outcome.INCONCLUSIVE, "not-audited"),
        (report(armed=()), Outcome.INCONCLUSIVE, "endpoint-unproved"),
        (report(FAILING), Outcome.FAILED, "no-answer"),
        (report(comparison=Comparison(findings=(difference("GET /a", "$.x"),))), Outcome.FAILED, "answer-differs"),
        (report(stop=stopped("not-harmless")), Outcome.FAILED, "stopped-not-harmless"),
    ],
)
def test_each_fault_has_its_finding(made: ReplayReport, outcome: Outcome, rule: str) -> None:
    verdict = judged(made)
    assert (verdict.outcome, rules(verdict)) == (outcome, {rule})


@pytest.mark.parametrize("reason", ["guardrail", "kill-switch", "budget", "interrupt", "lost-traces", "locust"])
def test_stops_abort_unless_something_failed(reason: str) -> None:
    assert judged(report(stop=stopped(reason))).outcome is Outcome.ABORTED
    assert judged(report(stop=stopped(reason), timing=LATE)).outcome is Outcome.ABORTED, "before inconclusive"
    cut_off = replace(FAILING, errors={"stopped": FAILING.failed})
    assert judged(report(cut_off, stop=stopped(reason))).outcome is Outcome.ABORTED, "cut off by ourselves"
    assert judged(report(FAILING, stop=stopped(reason))).outcome is Outcome.FAILED, "after failed"
    assert rules(judged(report(stop=stopped(reason)))) == {f"stopped-{reason}"}


def test_failed_beats_late() -> None:
    assert judged(report(FAILING, timing=LATE)).outcome is Outcome.FAILED


def test_without_a_bullet_nothing_is_proved() -> None:
    assert judged(report(), bullets=()).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_the_worst_bullet_counts(outcome: Outcome) -> None:
    assert judged(report(), bullets=(GOOD, replace(GOOD, bullet=1, outcome=outcome))).outcome is outcome


@pytest.mark.parametrize(("tolerated", "outcome"), [(0.02, Outcome.FAILED), (0.03, Outcome.PASSED)])
def test_a_share_of_missing_answers_may_be_tolerated(tolerated: float, outcome: Outcome) -> None:
    assert judged(report(FAILING), tolerated=tolerated).outcome is outcome


def test_a_difference_fails_by_its_lower_bound() -> None:
    made = report(comparison=Comparison(findings=(difference("GET /a", "$.x"),)))  # 22 to 40 %
    assert judged(made, tolerated=0.21).outcome is Outcome.FAILED
    verdict = judged(made, tolerated=0.22)
    assert (verdict.outcome, [f.severity for f in verdict.findings]) == (Outcome.PASSED, [Severity.WARNING])


def test_a_difference_names_endpoint_and_field() -> None:
    fields = [difference("GET /a", "$.x"), difference("GET /a", "$.y"), difference("GET /b", "$.x")]
    verdict = judged(report(comparison=Comparison(findings=tuple(fields))))
    assert [(f.operation, f.hop) for f in verdict.findings] == [(d.endpoint, d.field) for d in fields]


def test_what_is_noisy_or_rare_is_no_finding() -> None:
    one = difference("GET /a", "$.x")
    assert judged(report(comparison=Comparison(noisy=(one,), unsure=(one,)))).outcome is Outcome.PASSED


def test_reasons_to_begin_nothing_are_told() -> None:
    extra = Finding(rule="not-armed", severity=Severity.GAP, message="so nothing was replayed")
    made = replay_report([], comparison=None, audited=0)
    verdict = judged(made, extra=(extra,))
    assert (verdict.outcome, rules(verdict)) == (Outcome.INCONCLUSIVE, {"not-armed"})


def test_unproved_endpoints_are_named_but_not_all() -> None:
    made = report(*(endpoint(f"GET /{n}") for n in range(9)), armed=("GET /0",))
    (finding,) = judged(made).findings
    assert finding.message.startswith("8 of 9 endpoints had no clean bullet: GET /1, GET /2, GET /3, …")
