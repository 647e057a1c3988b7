"""The tables of a load run: steps, iterations, services, senders, demands, comparison, capacity, failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracer_bullet.model.load import (
    BaselineResult,
    Capacity,
    FailureGroup,
    GuardrailReading,
    LoadReport,
    SenderResult,
    ServiceResult,
    ThresholdResult,
)
from tracer_bullet.model.replay import EndpointResult, Quantiles
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.shape_load import LoadRow, LoadTable

MAX_ROWS = 200
_QUANTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")
_MET = {True: ("met", Tone.GOOD), False: ("not met", Tone.BAD), None: ("not enough data", Tone.UNSURE)}
_CHANGE = {
    "worse": Tone.BAD,
    "better": Tone.GOOD,
    "same": Tone.PLAIN,
    "not-enough-data": Tone.UNSURE,
}


def build_tables(report: LoadReport) -> tuple[LoadTable, ...]:
    """Those that have rows, the most asked for first."""
    capacity = report.capacity
    tables = [
        _thresholds(report.thresholds),
        _capacity(capacity),
        _results("Steps", "Step", report.steps, _latency_note(report)),
        _results("Iterations", "Scenario", report.iterations, "whole ones, from the first step's intended time on"),
        _failures(report.failures),
        _baseline(report.baseline, report.baseline_run),
        _services(report.services, report.sampling),
        _senders(report.senders),
        _locust(report),
        _guardrails(report.guardrails),
    ]
    return tuple(table for table in tables if table.rows)


def reasons(counts: Mapping[str, int]) -> str:
    """`3 × reset, 1 × 404`, the most frequent first."""
    return ", ".join(
        f"{text.count(n)} × {text.line(why, 40)}" for why, n in sorted(counts.items(), key=lambda i: (-i[1], i[0])) if n
    )


def _quantiles(q: Quantiles) -> tuple[tuple[str, ...], tuple[float | None, ...]]:
    numbers = (q.p50_ms, q.p90_ms, q.p95_ms, q.p99_ms, q.p999_ms, q.max_ms)
    return tuple(text.ms(n) if q.count else text.DASH for n in numbers), numbers


def _latency_note(report: LoadReport) -> str:
    return "latency from the intended time" if report.model == "open" else "latency from when each could be sent"


def _results(title: str, head: str, results: Sequence[EndpointResult], note: str) -> LoadTable:
    rows = []
    for r in results[:MAX_ROWS]:
        said, values = _quantiles(r.latency)
        rows.append(
            LoadRow(
                name=text.line(r.endpoint),
                cells=(text.count(r.sent), text.count(r.failed), *said),
                values=(r.sent, r.failed, *values),
                tone=Tone.BAD if r.failed else Tone.PLAIN,
                note=reasons({**r.statuses, **r.errors}),
            )
        )
    cut = cut_note(len(rows), len(results), "row", "in their order")
    return LoadTable(
        title=title, heads=(head, "Sent", "Failed", *_QUANTILES), rows=tuple(rows), narrow=(0, 2, 5), note=cut or note
    )


def _thresholds(results: Sequence[ThresholdResult]) -> LoadTable:
    rows = []
    for r in results:
        said, tone = _MET[r.met]
        rows.append(
            LoadRow(
                name=demand_of(r),
                cells=(value_of(r), text.count(r.samples), said),
                values=(r.value, r.samples, None),
                tone=tone,
                note=text.line(r.detail) + ("; it stopped the run" if r.aborted else ""),
            )
        )
    heads = ("Demand", "Measured", "Samples", "Met")
    return LoadTable(title="Thresholds", heads=heads, rows=tuple(rows), narrow=(0, 2))


def demand_of(result: ThresholdResult) -> str:
    """The demand, and of what."""
    return text.line(result.expect if result.scope == "all" else f"{result.expect} of {result.scope}")


def value_of(result: ThresholdResult) -> str:
    """What was measured, with its unit."""
    value, unit = result.value, result.unit
    if value is None:
        return text.DASH
    if unit == "ms":
        return text.ms(value)
    if unit == "share":
        return text.share(value)
    return text.line(f"{value:,.4g}{'' if unit.startswith('/') else ' '}{unit}", 40)


def _capacity(capacity: Capacity | None) -> LoadTable:
    rows = [
        LoadRow(
            name=text.rate(s.rate),
            cells=(
                text.rate(s.achieved),
                text.ms(s.p50_ms),
                text.ms(s.p99_ms),
                text.share(s.error_rate),
                f"{s.concurrency:.3g}",
                {True: "held", False: "broke", None: "not enough data"}[s.held],
            ),
            values=(s.achieved, s.p50_ms, s.p99_ms, s.error_rate, s.concurrency, None),
            tone={True: Tone.GOOD, False: Tone.BAD, None: Tone.UNSURE}[s.held],
            note=text.line(s.detail),
        )
        for s in (capacity.steps if capacity is not None else ())
    ]
    heads = ("Iterations asked for", "Whole", "p50", "p99", "Failed", "At once", "Objective")
    return LoadTable(
        title="Capacity",
        heads=heads,
        rows=tuple(rows),
        narrow=(0, 2, 5),
        note=_capacity_note(capacity) if capacity is not None else "",
    )


def _capacity_note(found: Capacity) -> str:
    parts = [text.line(found.detail)]
    if found.usl is not None:
        usl = found.usl
        peak = (
            "" if usl.peak_rate is None else f"; it peaks near {text.rate(usl.peak_rate)} with {usl.peak_n:.0f} at once"
        )
        parts.append(
            f"universal scalability law: σ {usl.sigma:.3g}, κ {usl.kappa:.3g}, one at a time {text.rate(usl.lambda_)},"
            f" R² {usl.r2:.2f}{peak}"
        )
    if found.saturated:
        grown = ", ".join(f"{text.line(name, 60)} ×{factor:.1f}" for name, factor in found.saturated[:3])
        parts.append(f"own time grew most in {grown}")
    return "; ".join(p for p in parts if p)


def _failures(groups: Sequence[FailureGroup]) -> LoadTable:
    rows = [
        LoadRow(
            name=text.line(g.step),
            cells=(
                text.count(g.count),
                text.line(g.message),
                text.line(_row(g.row), 120),
                text.line(_row(g.smallest), 120),
            ),
            values=(g.count, None, None, None),
            tone=Tone.BAD,
            note=f"trace {text.line(g.trace_id, 40)}" if g.trace_id else "",
        )
        for g in groups[:MAX_ROWS]
    ]
    heads = ("Step", "Times", "What", "With", "Smallest that fails")
    note = cut_note(len(rows), len(groups), "kind", "the most frequent first")
    return LoadTable(title="Failures", heads=heads, rows=tuple(rows), narrow=(0, 1), note=note)


def _row(row: Mapping[str, object] | None) -> str:
    return "" if not row else ", ".join(f"{name}={value!r}" for name, value in row.items())


def _baseline(results: Sequence[BaselineResult], run: str) -> LoadTable:
    rows = [
        LoadRow(
            name=text.line(r.step),
            cells=(
                text.line(r.metric, 40),
                _metric(r.metric, r.before),
                _metric(r.metric, r.after),
                _change(r.change),
                f"{_change(r.low)} to {_change(r.high)}",
                text.line(r.verdict.replace("-", " "), 40),
            ),
            values=(None, r.before, r.after, r.change, None, None),
            tone=_CHANGE.get(r.verdict, Tone.UNSURE),
        )
        for r in results[:MAX_ROWS]
    ]
    heads = ("Step", "Metric", "Before", "Now", "Change", "True change, 95 %", "Verdict")
    return LoadTable(
        title=f"Against {text.line(run, 60)}", heads=heads, rows=tuple(rows), narrow=(0, 3, 5),
        note=cut_note(len(rows), len(results), "row", "what is worse first"),
    )  # fmt: skip


def _change(share: float) -> str:
    return f"{100 * share:+.1f} %".replace("-", "\N{MINUS SIGN}")


def _metric(metric: str, value: float) -> str:
    return text.share(value) if metric == "error_rate" else text.ms(value)


def _services(results: Sequence[ServiceResult], sampling: str) -> LoadTable:
    rows = [
        LoadRow(
            name=text.line(r.service),
            cells=(text.count(r.spans), text.count(r.errors), text.ms(r.p50_ms), text.ms(r.p95_ms), text.ms(r.p99_ms)),
            values=(r.spans, r.errors, r.p50_ms, r.p95_ms, r.p99_ms),
            tone=Tone.BAD if r.errors else Tone.PLAIN,
        )
        for r in results[:MAX_ROWS]
    ]
    heads = ("Service", "Spans", "Errors", "p50", "p95", "p99")
    return LoadTable(
        title="Services, from the traces", heads=heads, rows=tuple(rows), narrow=(0, 2, 4), note=text.line(sampling)
    )


def _senders(results: Sequence[SenderResult]) -> LoadTable:
    if len(results) == 1 and not results[0].lost and not results[0].detail:
        return LoadTable(title="Senders", heads=(), rows=(), narrow=())
    rows = [
        LoadRow(
            name=text.line(r.name),
            cells=(text.count(r.sent), text.ms(r.lateness.p99_ms), text.share(r.cpu_share), text.count(r.unaccounted)),
            values=(r.sent, r.lateness.p99_ms, r.cpu_share, r.unaccounted),
            tone=Tone.BAD if r.lost else Tone.WARN if "late" in r.detail else Tone.PLAIN,
            note=text.line("; ".join(p for p in (f"lost: {r.lost}" if r.lost else "", r.detail) if p)),
        )
        for r in results[:MAX_ROWS]
    ]
    heads = ("Sender", "Sent", "Late p99", "CPU of a core", "Not accounted for")
    return LoadTable(title="Senders", heads=heads, rows=tuple(rows), narrow=(0, 1, 3))


def _locust(report: LoadReport) -> LoadTable:
    """Our figures beside those of a fleet's Locust master, step by step and together."""
    ours = {**{r.endpoint: r for r in report.steps}, "Aggregated": report.overall}
    rows = []
    for entry in report.locust[:MAX_ROWS]:
        mine = ours.get(entry.name)
        q = mine.latency if mine is not None else Quantiles()
        numbers = (q.p50_ms, entry.p50_ms, q.p95_ms, entry.p95_ms, q.p99_ms, entry.p99_ms)
        sent = mine.sent if mine is not None else 0
        rows.append(
            LoadRow(
                name=text.line(entry.name),
                cells=(text.count(sent), text.count(entry.requests), *(text.ms(n) for n in numbers)),
                values=(sent, entry.requests, *numbers),
            )
        )
    heads = ("Step", "Sent", "Locust's", "p50", "Locust's", "p95", "Locust's", "p99", "Locust's")
    note = (
        "Locust counts the warm-up too, in whole milliseconds."
        if report.warm_up_s
        else "Locust counts whole milliseconds."
    )
    return LoadTable(title="Beside Locust", heads=heads, rows=tuple(rows), narrow=(0, 1, 6, 7), note=note)


def _guardrails(readings: Sequence[GuardrailReading]) -> LoadTable:
    rows = [
        LoadRow(
            name=text.line(r.name),
            cells=(text.line(r.last), text.line(r.worst), text.line(r.limit), text.count(r.looks)),
            values=(None, None, None, r.looks),
            tone=Tone.BAD if r.broken else Tone.GOOD,
        )
        for r in readings[:MAX_ROWS]
    ]
    heads = ("Guardrail", "Last", "Worst", "Limit", "Looks")
    return LoadTable(title="Guardrails", heads=heads, rows=tuple(rows), narrow=(1, 2))
