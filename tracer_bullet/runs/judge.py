"""From checks, gaps and findings to a verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer_bullet.model import BulletVerdict, Check, Finding, Gap, Outcome, Severity, Trace, Verdict

_GAP_CURE = "see whether the service exports its spans (all of them: sampling off for bullets), then raise settle_s"


def judge_bullet(
    bullet: int, trace: Trace, checks: Iterable[Check], findings: Iterable[Finding], gaps: Iterable[Gap]
) -> BulletVerdict:
    """Failed beats inconclusive beats passed: what is proved bad stays bad however much is missing."""
    checks = tuple(checks)
    told = (*findings, *(gap_finding(gap, trace) for gap in gaps))
    severities = {f.severity for f in told} | {c.severity for c in checks if not c.passed}
    if Severity.ERROR in severities:
        outcome = Outcome.FAILED
    elif Severity.GAP in severities:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASSED
    return BulletVerdict(bullet=bullet, trace_id=trace.trace_id, outcome=outcome, checks=checks, findings=told)


def gap_finding(gap: Gap, trace: Trace) -> Finding:
    """A hole in the proof, as a finding."""
    return Finding(
        rule=gap.rule,
        severity=Severity.GAP,
        service=gap.service,
        message=f"the trace is incomplete: {gap.detail}",
        cure=_GAP_CURE,
        trace_id=trace.trace_id,
        span_id=gap.span_id or "",
    )


def judge_run(
    run_id: str, scenario: str, bullets: Sequence[BulletVerdict], *, planned: int, extra: Iterable[Finding] = ()
) -> Verdict:
    """The run's verdict: the worst of its bullets and of `extra`; fewer bullets than planned prove nothing."""
    extra = tuple(extra)
    findings = (*extra, *(f for b in bullets for f in b.findings))
    outcomes = {b.outcome for b in bullets}
    severities = {f.severity for f in extra}
    if Outcome.FAILED in outcomes or Severity.ERROR in severities:
        outcome = Outcome.FAILED
    elif Outcome.INCONCLUSIVE in outcomes or Severity.GAP in severities or len(bullets) < planned or not bullets:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASSED
    return Verdict(
        run_id=run_id,
        scenario=scenario,
        outcome=outcome,
        bullets=tuple(bullets),
        findings=one_of_a_kind(findings),
        planned=planned,
    )


def one_of_a_kind(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first finding of each (rule, service, hop, operation)."""
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        first.setdefault((finding.rule, finding.service, finding.hop, finding.operation), finding)
    return tuple(first.values())
