"""From what Locust's processes told to the report and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tracer_bullet.model import BulletVerdict, Finding, Outcome, Severity, Verdict
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.judge import judge_run

_ABORTS: Final = frozenset({"guardrail", "kill-switch", "budget", "interrupt", "lost-traces", "locust", "window"})
_MOST_NAMES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended. `locust_code`: Locust's exit code, negative for a signal; `requests`: how many Locust counted."""

    locust_code: int
    requests: int
    armed: Sequence[str]
    unarmed: Sequence[str]
    needs_arming: bool
    unflagged: Mapping[str, int]
    refused: Mapping[str, int]
    strangers: Mapping[str, int]
    broken: Sequence[str]
    greeted: int
    stop: StopEvent | None


def conclude(ending: Ending, bullets: Sequence[BulletVerdict], *, run_id: str, name: str) -> Verdict:
    """The verdict: failed beats aborted beats inconclusive. `bullets`: the audited ones, those that armed included."""
    findings = (
        *_stopped(ending.stop),
        *_locust(ending),
        *_names(ending.unflagged, "unflagged", Severity.GAP, "sent without the flag, by clients that we do not know",
                "use `bullet()` or the gRPC interceptor (docs/locustfiles.md); such requests may have written"),
        *_names(ending.refused, "host-refused", Severity.WARNING, "refused, since they are not the target",
                "--flag-host what belongs to the target, --allow-host what is somebody else's"),
        *_names(ending.strangers, "host-allowed", Severity.WARNING, "talked to without the flag, as --allow-host says"),
        *_coverage(ending, len(bullets)),
    )  # fmt: skip
    verdict = judge_run(run_id, name, bullets, planned=len(bullets), extra=findings)
    aborted = ending.stop is not None and ending.stop.reason in _ABORTS
    if aborted and verdict.outcome is not Outcome.FAILED:
        return replace(verdict, outcome=Outcome.ABORTED)
    return verdict


def _locust(ending: Ending) -> list[Finding]:
    code = ending.locust_code
    if code < 0:
        message = f"Locust's process was ended by signal {-code}; what it had not told is not known"
        return [
            Finding(rule="locust-died", severity=Severity.GAP, message=message, cure="look at the target, run again")
        ]
    if code and ending.stop is None:
        usage = ending.greeted == 0
        return [
            Finding(
                rule="locust-failed",
                severity=Severity.ERROR,
                message=f"Locust ended with exit code {code}" + (", before it began" if usage else ""),
                cure="its own output says why"
                if usage
                else "requests or tasks failed, as its output says; --exit-code-on-error 0 lets them",
            )
        ]
    return []


def _names(counts: Mapping[str, int], rule: str, severity: Severity, what: str, cure: str = "") -> list[Finding]:
    if not counts:
        return []
    shown = [f"{name} ({number})" for name, number in sorted(counts.items(), key=lambda i: -i[1])[:_MOST_NAMES]]
    more = ", …" if len(counts) > _MOST_NAMES else ""
    message = f"{sum(counts.values())} requests or connections {what}: {', '.join(shown)}{more}"
    return [Finding(rule=rule, severity=severity, message=message, cure=cure)]


def _coverage(ending: Ending, judged: int) -> list[Finding]:
    """What the proof does not cover is told, never hidden."""
    found = []
    if ending.broken:
        found.append(
            Finding(
                rule="locust-unclear",
                severity=Severity.GAP,
                message=f"a process of Locust told what could not be understood: {ending.broken[0]}",
                cure="the same tracer-bullet must be installed everywhere",
            )
        )
    if not ending.requests and not judged:
        found.append(
            Finding(
                rule="nothing-sent",
                severity=Severity.GAP,
                message="no request was sent",
                cure="see Locust's own output; with its page, a test has to be started there",
            )
        )
    elif not judged:
        found.append(
            Finding(
                rule="not-audited",
                severity=Severity.GAP,
                message="no trace was audited, so it is not proved that nothing was written",
                cure="see to the trace source, or raise proof.traces_per_s",
            )
        )
    if ending.unarmed or (not ending.needs_arming and ending.requests):
        names = ", ".join(ending.unarmed[:3]) + (", …" if len(ending.unarmed) > 3 else "")
        found.append(
            Finding(
                rule="endpoint-unproved",
                severity=Severity.GAP,
                message=f"{len(ending.unarmed)} endpoints had no clean bullet: {names}"
                if ending.unarmed
                else "the run was not armed, so no endpoint was proved harmless first",
                cure="see what the other findings say of them",
            )
        )
    return found


def _stopped(stop: StopEvent | None) -> list[Finding]:
    if stop is None:
        return []
    severities = {"not-harmless": Severity.ERROR, "not-armed": Severity.GAP, "locust-gone": Severity.GAP}
    severity = severities.get(stop.reason, Severity.WARNING)
    message = f"after {stop.after_s:.1f} s: {stop.detail}"
    return [Finding(rule=f"stopped-{stop.reason}", severity=severity, message=message)]
