"""Objectives and drift as text: what matters is said, nothing foreign gets through, ASCII where it must be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import (
    BurnRate,
    Change,
    DerivationCheck,
    DerivedObjective,
    Drift,
    EdgeDrift,
    ErrorDrift,
    Indicator,
    LatencyDrift,
    Objective,
    ObjectiveVerdict,
    SloReport,
)
from tracer_bullet.report.columns import columns, plain
from tracer_bullet.report.drift_text import render_drift
from tracer_bullet.report.slo_text import render_slos

VERDICT = ObjectiveVerdict(
    objective=Objective(
        name="front", service="shop", indicator=Indicator.LATENCY, target=0.99, threshold_ms=300, owner="team-a",
        where="slos/a.yaml:3",
    ),
    calls=1_000, good=900, met=False, share=0.9, low=0.88, high=0.92, windows=10, windows_missed=4, worst_share=0.5,
    worst_start_ns=0, budget_left=-1.5, measured_ms=412.0, message="900 of 1,000 calls took at most 300 ms",
    burn_rates=(
        BurnRate(window_s=3_600, rate=20, limit=14.4, short_s=300, fired=True),
        BurnRate(window_s=21_600, rate=3, limit=6, short_s=1_800),
    ),
)  # fmt: skip
DERIVED = DerivedObjective(
    outer="front", service="cart", operation="GET /cart", depth=1, calls=2, share=0.4, target=0.998, threshold_ms=60,
    observed_ms=70, met_now=False, message="m",
)  # fmt: skip
CHECK = DerivationCheck(
    outer="front", resamples=200, share_low=0.98, share_high=0.99, target=0.99, holds=False, message="it does not"
)
SLOWER = LatencyDrift(
    service="cart", operation="GET /", quantile=0.95, before_calls=100, after_calls=90, before_ms=10, after_ms=14,
    difference_ms=4, low_ms=3, high_ms=5, effect=0.5, magnitude="large", change=Change.SLOWER,
)  # fmt: skip
WENT = EdgeDrift(
    source="service:x", target="service:y", change=Change.WENT, calls=9, expected=8.5, p_value=1e-9, message="m"
)
DRIFT = Drift(
    before="a",
    after="b",
    edges=(WENT, replace(WENT, target="service:z", change=Change.UNKNOWN)),
    latencies=(SLOWER, replace(SLOWER, quantile=0.5, change=Change.SAME)),
    errors=(
        ErrorDrift(service="cart", operation="GET /", before_calls=100, after_calls=90, before=0, after=0.1, low=0.05,
                   high=0.15, change=Change.MORE_ERRORS),
    ),
    regressed=("cart GET / is slower",),
    unknown=1,
    judged=4,
    before_traces=100,
    after_traces=1,
)  # fmt: skip


def test_a_missed_objective_says_who_where_and_how_fast() -> None:
    text = render_slos(SloReport(verdicts=(VERDICT,), derived=(DERIVED,), checks=(CHECK,), notes=("o.yaml:1: why",)))
    for said in (
        "✕ missed  front", "88.00% to 92.00%", "412 ms", "4 of 10", "-150.000%", "worst window 50.00%",
        "burned 20 times too fast in 1 h (alert at 14.4)", "tell team-a", "slos/a.yaml:3", "› cart GET /cart",
        "99.8000% < 60.0 ms", "✕ it does not", "o.yaml:1: why",
    ):  # fmt: skip
        assert said in text, said
    assert "in 6 h" not in text, "no alert, no word"


def test_a_met_one_is_one_line() -> None:
    assert len(render_slos(SloReport(verdicts=(replace(VERDICT, met=True, burn_rates=()),))).splitlines()) == 2


def test_drift_shows_changes_and_sums_up() -> None:
    text = render_drift(DRIFT)
    for said in (
        "a (100 traces) → b (1 trace)", "went  x → y", "p95", "+3.0 ms to +5.0 ms", "+0.50 large",
        "+5.00% to +15.00%", "✕ cart GET / is slower", "1 regression; of 5 comparisons 1 had",
    ):  # fmt: skip
        assert said in text, said
    assert "x → z" not in text
    assert "x → z" in render_drift(DRIFT, everything=True)


def test_nothing_to_tell_is_told() -> None:
    assert "? not enough data to tell" in render_drift(Drift(before="a", after="b"))
    assert "✓ no regression" in render_drift(replace(DRIFT, regressed=(), unknown=0))


@given(st.lists(st.lists(st.text(max_size=60), min_size=3, max_size=3), max_size=5))
def test_tables_hold_any_text_on_one_line_a_row(rows: list[list[str]]) -> None:
    lines = columns(("a", "b", "c"), rows, right=(1,))
    assert len(lines) == len(rows) + 1
    assert all("\n" not in row and "\x1b" not in row and row == row.rstrip() for row in lines)


def test_ascii_terminals_get_ascii() -> None:
    text = plain(render_drift(DRIFT) + "● − é", "ascii")
    assert text.isascii()
    assert "x -> y" in text
    assert plain("✓", "UTF-8") == "✓"
