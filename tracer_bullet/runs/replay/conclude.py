"""From what a replay did to its report and verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracer_bullet.model import BulletVerdict, Finding, Outcome, Severity, Verdict
from tracer_bullet.model.replay import Comparison, ReplayReport, StopEvent
from tracer_bullet.runs.judge import judge_run

# What ends a run as aborted; the others have findings that say more.
_ABORTS = frozenset({"guardrail", "kill-switch", "budget", "interrupt", "lost-traces", "locust"})


def conclude(
    report: ReplayReport, bullets: Sequence[BulletVerdict], *, run_id: str, tolerated: float, extra: Sequence[Finding]
) -> Verdict:
    """The verdict: failed beats aborted beats inconclusive. `bullets` are the audited ones; without any, nothing is
    proved. `tolerated`: the share of answers that may be missing or different."""
    findings = (
        *extra,
        *_punctuality(report),
        *_answers(report, tolerated),
        *_differences(report.comparison, tolerated),
        *_coverage(report),
        *_stopped(report.stop),
    )
    verdict = judge_run(run_id, report.spec, bullets, planned=len(bullets), extra=findings)
    aborted = report.stop is not None and report.stop.reason in _ABORTS
    if aborted and verdict.outcome is not Outcome.FAILED:
        return replace(verdict, outcome=Outcome.ABORTED)
    return verdict


def _punctuality(report: ReplayReport) -> list[Finding]:
    timing = report.timing
    if timing.valid:
        return []
    return [
        Finding(
            rule="late",
            severity=Severity.GAP,
            message=f"the harness itself was late: p99 {timing.lateness.p99_ms:.1f} ms (bound: {timing.bound_ms:g} ms),"
            " so the latencies say nothing of the target",
            cure="spread the replay over more machines (--locust-master), or lower its rate",
        )
    ]


def _answers(report: ReplayReport, tolerated: float) -> list[Finding]:
    found = []
    for endpoint in report.endpoints:
        errors = {reason: count for reason, count in endpoint.errors.items() if reason != "stopped"}  # our own doing
        failed = sum(errors.values())
        if failed and failed / endpoint.sent > tolerated:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(errors.items()))
            found.append(
                Finding(
                    rule="no-answer",
                    severity=Severity.ERROR,
                    operation=endpoint.endpoint,
                    message=f"{failed} of {endpoint.sent} requests had no whole answer: {reasons}",
                    cure="see the target's logs; `limits` has the time-outs",
                )
            )
    return found


def _differences(comparison: Comparison | None, tolerated: float) -> list[Finding]:
    if comparison is None:
        return []
    return [
        Finding(
            rule="answer-differs",
            severity=Severity.ERROR if d.share_low > tolerated else Severity.WARNING,
            operation=d.endpoint,
            hop=d.field,
            message=f"{d.differing} of {d.compared} answers differ from the recording in {d.field} ({d.kind});"
            f" the true share is {d.share_low:.0%} to {d.share_high:.0%}",
            cure="if it is meant to differ, list it under compare.ignore:"
            f' {{field: "{d.field}", endpoint: "{d.endpoint}", why: …}}',
        )
        for d in comparison.findings
    ]


def _coverage(report: ReplayReport) -> list[Finding]:
    """What the proof does not cover is told, never hidden."""
    found = []
    if report.accounting.sent and report.audited == 0:
        found.append(
            Finding(
                rule="not-audited",
                severity=Severity.GAP,
                message="no trace was audited, so it is not proved that nothing was written",
                cure="see to the trace source, or raise proof.traces_per_s",
            )
        )
    unarmed = [e.endpoint for e in report.endpoints if e.endpoint not in set(report.armed)]
    if unarmed:
        found.append(
            Finding(
                rule="endpoint-unproved",
                severity=Severity.GAP,
                message=f"{len(unarmed)} of {len(report.endpoints)} endpoints had no clean bullet:"
                f" {', '.join(unarmed[:3])}{', …' if len(unarmed) > 3 else ''}",
                cure="see what the other findings say of them",
            )
        )
    return found


def _stopped(stop: StopEvent | None) -> list[Finding]:
    if stop is None:
        return []
    severity = Severity.ERROR if stop.reason == "not-harmless" else Severity.WARNING
    return [
        Finding(rule=f"stopped-{stop.reason}", severity=severity, message=f"after {stop.after_s:.1f} s: {stop.detail}")
    ]
