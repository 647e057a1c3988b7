"""Objectives and what became of them, as text for a terminal. Pure."""

from __future__ import annotations

from tracer_bullet.model import BurnRate, DerivedObjective, ObjectiveVerdict, SloReport
from tracer_bullet.report.columns import columns
from tracer_bullet.report.text import line, moment, ms

_SIGNS = {True: "✓ met", False: "✕ missed", None: "? too few"}


def render_slos(report: SloReport) -> str:
    """A table of the verdicts, then what was derived, then what could not be judged; ends with a newline."""
    rows = [_row(v) for v in report.verdicts]
    head = ("", "objective", "calls", "good", "95 %", "measured", "windows missed", "budget left")
    out = columns(head, rows, right=(2, 3, 5, 6, 7)) if rows else []
    out += [f"  {line(_why(v), 400)}" for v in report.verdicts if v.met is not True or _alerts(v)]
    if report.derived:
        out += ["", "Derived: what the parts must do", *_derived(report.derived)]
    out += [f"  {'✓' if c.holds else '✕'} {line(c.message, 400)}" for c in report.checks]
    if report.notes:
        out += ["", "Not judged", *(f"  {line(note, 400)}" for note in report.notes)]
    return "\n".join(out) + "\n"


def _row(verdict: ObjectiveVerdict) -> tuple[str, ...]:
    measured = "–" if verdict.measured_ms is None else ms(verdict.measured_ms)
    return (
        _SIGNS[verdict.met],
        verdict.objective.name,
        f"{verdict.calls:,}",
        f"{verdict.share:.3%}" if verdict.calls else "–",
        f"{verdict.low:.2%} to {verdict.high:.2%}",
        measured,
        f"{verdict.windows_missed} of {verdict.windows}",
        f"{verdict.budget_left:.3%}",
    )


def _why(verdict: ObjectiveVerdict) -> str:
    parts = [f"{verdict.objective.name}: {verdict.message}"]
    if verdict.windows_missed and verdict.windows > 1:
        parts.append(f"worst window {verdict.worst_share:.2%}, from {moment(verdict.worst_start_ns)}")
    parts += [_alert(b) for b in _alerts(verdict)]
    if verdict.met is False and verdict.objective.owner:
        parts.append(f"tell {verdict.objective.owner}")
    if verdict.objective.where:
        parts.append(verdict.objective.where)
    return "; ".join(parts)


def _alerts(verdict: ObjectiveVerdict) -> list[BurnRate]:
    return [b for b in verdict.burn_rates if b.fired]


def _alert(burn: BurnRate) -> str:
    return f"burned {burn.rate:.3g} times too fast in {burn.window_s / 3600:g} h (alert at {burn.limit:g})"


def _derived(derived: tuple[DerivedObjective, ...]) -> list[str]:
    rows = [
        (
            "✓" if d.met_now else "✕",
            f"{'› ' * d.depth}{d.service} {d.operation}{' (own time)' if d.own else ''}",
            f"{d.share:.1%}",
            f"{d.calls:.3g}",
            f"{d.target:.4%} < {ms(d.threshold_ms)}",
            ms(d.observed_ms),
            d.outer,
        )
        for d in derived
    ]
    return columns(("", "operation", "of the time", "calls", "objective", "now", "for"), rows, right=(2, 3, 5))
