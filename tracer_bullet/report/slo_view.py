"""Objectives as the report shows them: verdicts, budgets, burn rates, and what an outer objective implies inside."""

from __future__ import annotations

from tracer_bullet.model.slo import BurnRate, DerivedObjective, Indicator, Objective, ObjectiveVerdict, SloReport
from tracer_bullet.report import text
from tracer_bullet.report.insight import DerivedRow, SloRow, SloView
from tracer_bullet.report.shape_base import Fact, Tone

MAX_ROWS = 200
_URGENCY = {False: 0, None: 1, True: 2}


def build_slos(report: SloReport | None) -> SloView | None:
    """Missed objectives first, then those that could not be judged; None when there are none at all."""
    if report is None or not (report.verdicts or report.derived or report.notes):
        return None
    ordered = sorted(report.verdicts, key=lambda v: _URGENCY[v.met])
    missed = sum(1 for v in report.verdicts if v.met is False)
    unknown = sum(1 for v in report.verdicts if v.met is None)
    counts = [
        (len(report.verdicts) - missed - unknown, "met"),
        (missed, "missed"),
        (unknown, "with too few calls to tell"),
    ]
    said = ", ".join(f"{text.count(n)} {word}" for n, word in counts if n)
    return SloView(
        summary=f"{text.plural(len(report.verdicts), 'objective')}: {said}." if report.verdicts else "",
        tone=Tone.BAD if missed else Tone.UNSURE if unknown else Tone.GOOD,
        rows=tuple(_row(v) for v in ordered[:MAX_ROWS]),
        derived=tuple(_derived(d) for d in report.derived[:MAX_ROWS]),
        notes=tuple(text.line(n) for n in report.notes[:MAX_ROWS]),
        checks=tuple(
            (text.line(c.outer), text.line(c.message), Tone.GOOD if c.holds else Tone.BAD) for c in report.checks
        ),
    )


def objective_text(o: Objective) -> str:
    """`99 % of calls within 300 ms, over 5 min`."""
    target = text.share(o.target)
    window = text.span_of(o.window_s)
    if o.indicator is Indicator.LATENCY:
        return f"{target} of calls within {text.ms(o.threshold_ms)}, over {window}"
    return f"{target} of calls without error, over {window}"


def _row(v: ObjectiveVerdict) -> SloRow:
    o = v.objective
    state, tone = {True: ("met", Tone.GOOD), False: ("missed", Tone.BAD), None: ("too few calls", Tone.UNSURE)}[v.met]
    place = text.line(o.service) + (f" {text.line(o.operation)}" if o.operation else "")
    measured = f", measured {text.ms(v.measured_ms)}" if v.measured_ms is not None else ""
    worst = f"{text.share(v.worst_share)} at {text.moment(v.worst_start_ns)}" if v.windows else ""
    return SloRow(
        name=text.line(o.name),
        service=place,
        objective=objective_text(o),
        owner=text.line(o.owner),
        where=text.line(o.where),
        state=state,
        tone=tone,
        met=v.met,
        share=v.share,
        share_text=f"{text.share(v.share)} of {text.plural(v.calls, 'call')}{measured}",
        interval=f"{text.share(v.low)} to {text.share(v.high)}",
        windows=f"{text.count(v.windows_missed)} of {text.count(v.windows)} missed" if v.windows else text.DASH,
        worst=worst,
        budget=_budget(v.budget_left, o.budget_s),
        budget_left=v.budget_left,
        budget_bar=round(1000 * min(max(v.budget_left, 0.0), 1.0), 1),
        burns=tuple(_burn(b) for b in v.burn_rates),
        message=text.line(v.message),
    )


def _budget(left: float, period_s: float) -> str:
    if left < 0:
        return f"overspent by {text.share(-left)} of {text.span_of(period_s)}"
    return f"{text.share(left)} of {text.span_of(period_s)} left"


def _burn(b: BurnRate) -> Fact:
    value = f"{b.rate:,.3g}× (limit {b.limit:,.3g}×){', alert' if b.fired else ''}"
    return Fact(label=text.span_of(b.window_s), value=value, tone=Tone.BAD if b.fired else Tone.PLAIN)


def _derived(d: DerivedObjective) -> DerivedRow:
    return DerivedRow(
        outer=text.line(d.outer),
        service=text.line(d.service),
        operation=text.line(d.operation),
        depth=min(max(d.depth, 0), 24),
        calls=f"{d.calls:,.3g}",
        share=text.share(d.share),
        objective=f"{text.share(d.target)} within {text.ms(d.threshold_ms)}{' by itself' if d.own else ''}",
        observed=text.ms(d.observed_ms),
        state="met now" if d.met_now else "missed now",
        tone=Tone.GOOD if d.met_now else Tone.BAD,
        met=d.met_now,
        message=text.line(d.message),
    )
