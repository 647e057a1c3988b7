"""The demands and steps of a load run as tests that passed or not, for CI servers."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.model import Finding, Severity
from tracer_bullet.model.load import LoadReport, ThresholdResult
from tracer_bullet.model.replay import EndpointResult
from tracer_bullet.report import text
from tracer_bullet.report.load_tables import demand_of, reasons, value_of
from tracer_bullet.report.shape_load import LoadCase


def build_cases(report: LoadReport, findings: Sequence[Finding]) -> tuple[LoadCase, ...]:
    """One a threshold, one a step that was sent, all of them. A step did not pass when a finding that fails the run is
    about it."""
    return (
        *(_threshold(t) for t in report.thresholds),
        *(_step(s, [f for f in findings if _fails(f) and f.operation == s.endpoint]) for s in report.steps),
    )


def _fails(finding: Finding) -> bool:
    # A finding about a service means its own operations, whose names may be the same.
    return finding.severity is Severity.ERROR and not finding.service


def _threshold(result: ThresholdResult) -> LoadCase:
    said = value_of(result)
    measured = f"measured: {said}, of {text.plural(result.samples, 'sample')}"
    known = {True: "", False: f"it is {said}", None: "not enough data"}[result.met]
    return LoadCase(
        group="thresholds",
        name=demand_of(result),
        passed=result.met,
        rule={True: "", False: "threshold", None: "threshold-unknown"}[result.met],
        message=text.line(result.detail) or known,
        lines=(measured, *([text.line(result.detail)] if result.detail else ())),
    )


def _step(result: EndpointResult, faults: Sequence[Finding]) -> LoadCase:
    sent = f"{text.count(result.sent)} sent: {reasons({**result.statuses, **result.errors})}"
    return LoadCase(
        group="steps",
        name=text.line(result.endpoint),
        passed=not faults,
        rule=text.line(faults[0].rule, 80) if faults else "",
        message=text.line(faults[0].message) if faults else "",
        lines=(*(text.line(f.message) for f in faults), sent),
    )
