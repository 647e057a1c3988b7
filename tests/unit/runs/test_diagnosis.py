"""Claim: healthy is what would pass: warnings are told, errors and gaps count."""

from __future__ import annotations

import pytest

from tracer_bullet.model import Finding, Gap, Severity
from tracer_bullet.runs.doctor import Diagnosis, Hop

HOP = Hop(caller="tracer-bullet", service="s", spans=1, flagged=True, carriers=(), guards=(), refused="")
GAP = Gap(rule="seal-short", service="s", detail="d")


@pytest.mark.parametrize(
    ("hops", "severities", "gaps", "healthy"),
    [
        ((HOP,), (), (), True),
        ((HOP,), (Severity.WARNING,), (), True),
        ((HOP,), (Severity.WARNING, Severity.ERROR), (), False),
        ((HOP,), (), (GAP,), False),
        ((), (), (), False),
    ],
)
def test_healthy(hops: tuple[Hop, ...], severities: tuple[Severity, ...], gaps: tuple[Gap, ...], healthy: bool) -> None:
    findings = tuple(Finding(rule="r", severity=s, message="m") for s in severities)
    found = Diagnosis(trace_id="a" * 32, answers=(), hops=hops, findings=findings, gaps=gaps)
    assert found.healthy is healthy
