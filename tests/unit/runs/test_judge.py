"""Claim: failed beats inconclusive beats passed, and nothing that proved nothing is passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import BulletVerdict, Check, Finding, Gap, Outcome, Severity, Trace
from tracer_bullet.runs.judge import judge_bullet, judge_run

TRACE = Trace(trace_id="a" * 32, spans=())
checks = st.lists(
    st.builds(Check, name=st.just("c"), passed=st.booleans(), expected=st.just(""), actual=st.just(""),
              severity=st.sampled_from([Severity.ERROR, Severity.GAP])), max_size=4,
)  # fmt: skip
findings = st.lists(
    st.builds(Finding, rule=st.sampled_from("ab"), severity=st.sampled_from(Severity), message=st.just("")), max_size=4
)
gaps = st.lists(st.builds(Gap, rule=st.just("g"), service=st.just("s"), detail=st.just("d")), max_size=2)


@given(checks, findings, gaps)
def test_one_bullet(checks: list[Check], findings: list[Finding], gaps: list[Gap]) -> None:
    verdict = judge_bullet(0, TRACE, checks, findings, gaps)
    bad = any(f.severity is Severity.ERROR for f in findings) or any(
        not c.passed and c.severity is Severity.ERROR for c in checks
    )
    open_ = (
        bool(gaps)
        or any(f.severity is Severity.GAP for f in findings)
        or any(not c.passed and c.severity is Severity.GAP for c in checks)
    )
    expected = Outcome.FAILED if bad else Outcome.INCONCLUSIVE if open_ else Outcome.PASSED
    assert verdict.outcome is expected


@given(st.lists(st.sampled_from([Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE]), max_size=6), st.integers(0, 3))
def test_a_run(outcomes: list[Outcome], missing: int) -> None:
    bullets = [BulletVerdict(bullet=i, trace_id="a", outcome=o) for i, o in enumerate(outcomes)]
    verdict = judge_run("r", "s", bullets, planned=len(bullets) + missing)
    assert (verdict.outcome is Outcome.PASSED) == (set(outcomes) == {Outcome.PASSED} and missing == 0)
    assert (verdict.outcome is Outcome.FAILED) == (Outcome.FAILED in outcomes)


@given(findings)
def test_what_speaks_against_the_whole_run_counts(extra: list[Finding]) -> None:
    bullets = [BulletVerdict(bullet=0, trace_id="a", outcome=Outcome.PASSED)]
    severities = {f.severity for f in extra}
    wanted = (
        Outcome.FAILED
        if Severity.ERROR in severities
        else Outcome.INCONCLUSIVE
        if Severity.GAP in severities
        else Outcome.PASSED
    )
    assert judge_run("r", "s", bullets, planned=1, extra=extra).outcome is wanted


def test_findings_of_a_run_are_one_of_a_kind() -> None:
    finding = Finding(rule="r", severity=Severity.ERROR, message="m", service="s", hop="a → s", operation="o")
    bullets = [BulletVerdict(bullet=i, trace_id="a", outcome=Outcome.FAILED, findings=(finding,)) for i in range(9)]
    assert judge_run("r", "s", bullets, planned=9).findings == (finding,)
