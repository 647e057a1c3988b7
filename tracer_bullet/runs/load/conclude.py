"""From what a load run did to its verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracer_bullet.model import BulletVerdict, Finding, Outcome, Severity, Verdict
from tracer_bullet.model.load import LoadReport
from tracer_bullet.model.shots import NOT_SENT
from tracer_bullet.runs.judge import judge_run
from tracer_bullet.runs.load.figures import error_rate

# The confidence that was asked for is reached, or so many iterations were begun: an end as good as any.
REACHED = "reached"


def conclude(
    report: LoadReport, bullets: Sequence[BulletVerdict], *, run_id: str, name: str, extra: Sequence[Finding] = ()
) -> Verdict:
    """The verdict: failed beats aborted beats inconclusive. `bullets` are the audited ones; without any, nothing is
    proved."""
    findings = (
        *extra,
        *_capacity(report),
        *(() if extra else _nothing(report)),
        *_punctuality(report),
        *_senders(report),
        *_cut_off(report),
        *_thresholds(report),
        *_answers(report),
        *_baseline(report),
        *_coverage(report),
        *_stopped(report),
    )
    verdict = judge_run(run_id, name, bullets, planned=len(bullets), extra=findings)
    # A broken threshold and harm have findings that say more, and fail it.
    aborted = report.stop is not None and report.stop.reason != REACHED
    if aborted and verdict.outcome is not Outcome.FAILED:
        return replace(verdict, outcome=Outcome.ABORTED)
    return verdict


def _capacity(report: LoadReport) -> list[Finding]:
    found = report.capacity
    if found is None or found.low > 0:
        return []
    return [
        Finding(
            rule="capacity-unknown",
            severity=Severity.GAP,
            message=f"no rate is known at which the objective holds: {found.detail}",
            cure="begin lower (capacity.start), or hold longer (capacity.hold)",
        )
    ]


def _nothing(report: LoadReport) -> list[Finding]:
    """What nobody measured is not fine."""
    ended = report.stop is not None and report.stop.reason != REACHED
    if ended or report.capacity is not None or report.accounting.sent:
        return []
    warm_up = report.accounting.warm_up
    why = f"all of the {warm_up} requests were warm-up" if warm_up else "nothing was sent"
    return [
        Finding(
            rule="nothing-measured",
            severity=Severity.GAP,
            message=f"no request was measured: {why}",
            cure="send for longer than the warm-up, and at a rate that gives an iteration in that time",
        )
    ]


def _punctuality(report: LoadReport) -> list[Finding]:
    if report.capacity is not None:  # the search knows its generator's limit
        return []
    timing = report.timing
    found = []
    if not timing.valid:
        late = max(report.senders, key=lambda s: s.lateness.p99_ms, default=None)
        worst = f"; worst of all {late.name}" if late is not None and len(report.senders) > 1 else ""
        found.append(
            Finding(
                rule="late",
                severity=Severity.GAP,
                message=f"the harness itself was late: p99 {timing.lateness.p99_ms:.1f} ms"
                f" (bound: {timing.bound_ms:g} ms){worst}, so the latencies say nothing of the target",
                cure="spread the load over more senders (--workers), or lower its rate",
            )
        )
    unsent = _unsent(report)
    if unsent:
        told = ", ".join(f"{n} {reason}" for reason, n in sorted(unsent.items()))
        found.append(
            Finding(
                rule="not-sent",
                severity=Severity.GAP,
                message=f"{sum(unsent.values())} of {report.accounting.planned} planned requests were not sent: {told}",
                cure="`stale`: the harness, or its machine, stood still; give it more senders or a quieter machine; "
                "`slot`: what an earlier answer gave cannot stand in the request",
            )
        )
    return found


def _unsent(report: LoadReport) -> dict[str, int]:
    """What should have been sent, and why it was not."""
    excused = set()
    if report.stop is not None:
        excused = {"stopped"} if report.stop.reason == REACHED else set(NOT_SENT)
    if report.accounting.failed or report.accounting.warm_up:  # a step that failed is told; in the warm-up it may
        excused.add("skipped")
    return {reason: n for reason, n in report.accounting.not_sent.items() if n and reason not in excused}


def _senders(report: LoadReport) -> list[Finding]:
    return [
        Finding(
            rule="sender-lost",
            severity=Severity.GAP,
            service="",
            operation=sender.name,
            message=f"{sender.name} was lost: {sender.lost}; {sender.unaccounted} requests of its share were not sent,"
            " or nobody knows of them",
            cure="see that worker's own log; the figures are of what the others sent",
        )
        for sender in report.senders
        if sender.lost
    ] + [
        Finding(
            rule="unaccounted",
            severity=Severity.GAP,
            operation=sender.name,
            message=f"{sender.unaccounted} requests of the share of {sender.name} were not sent, or nobody knows of"
            " them",
            cure="see that worker's own log; the figures are of what was told",
        )
        for sender in report.senders
        if sender.unaccounted and not sender.lost and report.stop is None
    ]


def _cut_off(report: LoadReport) -> list[Finding]:
    """What was begun and has no end, though nobody ended the run."""
    ended = report.stop is not None and report.stop.reason != REACHED
    if ended or report.capacity is not None or any(sender.lost for sender in report.senders):
        return []  # why is told already
    reasons = ("lost",) if report.stop is not None else ("stopped", "lost")
    requests = sum(step.errors.get(reason, 0) for step in report.steps for reason in reasons)
    iterations = report.accounting.cut if report.stop is None else 0
    if not requests and not iterations:
        return []
    return [
        Finding(
            rule="cut-off",
            severity=Severity.GAP,
            message=f"{requests} requests that were sent and {iterations} iterations have no end that is known",
            cure="what was sent may have been processed; look at the target, then run again",
        )
    ]


def _thresholds(report: LoadReport) -> list[Finding]:
    if report.accounting.sent + report.accounting.warm_up == 0:
        return []  # why nothing was sent is told already
    found = []
    for one in report.thresholds:
        if one.met:
            continue
        scope = "" if one.scope == "all" else f" of {one.scope}"
        if one.met is None:
            value = one.detail or "not enough data"
        else:
            value = f"it is {one.value:g}{' ' if one.unit not in ('', '%') else ''}{one.unit}"
        found.append(
            Finding(
                rule="threshold" if one.met is False else "threshold-unknown",
                severity=Severity.ERROR if one.met is False else Severity.GAP,
                operation=scope.removeprefix(" of "),
                hop=one.expect,
                message=f"{one.expect}{scope}: {value}",
                cure="" if one.met is False else "send longer, or ask for less (a lower percentile, a larger share)",
            )
        )
    return found


def _answers(report: LoadReport) -> list[Finding]:
    """Failed requests fail the run, unless a threshold says of their step how many may."""
    found = []
    for step in report.steps:
        allowed = report.capacity is not None or any(
            "error" in t.expect and _is_about(t.scope, step.endpoint) for t in report.thresholds
        )
        errors = {reason: n for reason, n in step.errors.items() if reason not in ("stopped", "lost")}
        if not errors:
            continue
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(errors.items()))
        examples = [g.message for g in report.failures if g.step == step.endpoint][:1]
        found.append(
            Finding(
                rule="step-failed",
                severity=Severity.WARNING if allowed else Severity.ERROR,
                operation=step.endpoint,
                message=f"{sum(errors.values())} of {step.sent} requests failed ({error_rate(step):.2%}): {reasons}"
                + (f"; for instance: {examples[0]}" if examples else ""),
                cure="" if allowed else "if some may fail, say how many: thresholds: [error_rate < 0.1%]",
            )
        )
    return found


def _is_about(scope: str, endpoint: str) -> bool:
    """Whether a threshold of this scope judges the step `scenario / step`; what services tell of says nothing of it."""
    scenario, _, step = endpoint.partition(" / ")
    return scope in ("all", f"scenario {scenario}", f"step {endpoint}", f"step {step}")


def _baseline(report: LoadReport) -> list[Finding]:
    found = []
    for one in report.baseline:
        if one.verdict == "worse":
            found.append(
                Finding(
                    rule="regression",
                    severity=Severity.ERROR,
                    operation=one.step,
                    hop=one.metric,
                    message=f"{one.metric} of {one.step} is worse than in {report.baseline_run}: {one.before:g} → "
                    f"{one.after:g} (change {one.change:+.1%}, 95 % sure between {one.low:+.1%} and {one.high:+.1%})",
                )
            )
        elif one.verdict == "not-enough-data":
            found.append(
                Finding(
                    rule="baseline-unsure",
                    severity=Severity.WARNING,
                    operation=one.step,
                    hop=one.metric,
                    message=f"{one.metric} of {one.step}: not enough data to compare with {report.baseline_run}",
                    cure="send longer",
                )
            )
    return found


def _coverage(report: LoadReport) -> list[Finding]:
    """What the proof does not cover is told, never hidden."""
    if report.accounting.sent + report.accounting.warm_up == 0 or report.audited:
        return []
    return [
        Finding(
            rule="not-audited",
            severity=Severity.GAP,
            message="no trace of the load was audited, so it is not proved that nothing was written",
            cure="see to the trace source, or raise proof.traces_per_s",
        )
    ]


def _stopped(report: LoadReport) -> list[Finding]:
    stop = report.stop
    if stop is None or stop.reason == REACHED:
        return []
    severity = Severity.ERROR if stop.reason == "not-harmless" else Severity.WARNING
    return [
        Finding(rule=f"stopped-{stop.reason}", severity=severity, message=f"after {stop.after_s:.1f} s: {stop.detail}")
    ]
