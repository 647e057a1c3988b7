"""What a load run says of itself. Every number that is shown is made here or in `load_tables`, `load_chart`."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.model import Finding
from tracer_bullet.model.load import LoadReport
from tracer_bullet.model.replay import Quantiles
from tracer_bullet.report import text
from tracer_bullet.report.load_cases import build_cases
from tracer_bullet.report.load_chart import build_charts
from tracer_bullet.report.load_tables import build_tables, reasons
from tracer_bullet.report.shape_base import Fact, Tile, Tone
from tracer_bullet.report.shape_load import LoadView


def build_load(report: LoadReport | None, findings: Sequence[Finding] = ()) -> LoadView | None:
    """The view; None for a run that was no load run. `findings` are those of its verdict."""
    if report is None:
        return None
    return LoadView(
        summary=_summary(report),
        facts=tuple(_facts(report)),
        tiles=_tiles(report),
        charts=build_charts(report.curve),
        tables=build_tables(report),
        cases=build_cases(report, findings),
        report=report,
    )


def _summary(report: LoadReport) -> str:
    a = report.accounting
    parts = [
        text.listing([text.line(name, 60) for name in report.scenarios]),
        "; ".join(text.line(line, 80) for line in report.profile),
        f"{text.count(a.whole)} of {text.plural(a.begun, 'iteration')} whole" if a.begun else "",
    ]
    stop = report.stop
    stopped = f" Stopped after {stop.after_s:.1f} s: {text.line(stop.detail)}." if stop is not None else ""
    return f"{', '.join(p for p in parts if p)}.{stopped}"


def _tiles(report: LoadReport) -> tuple[Tile, ...]:
    a, t, overall = report.accounting, report.timing, report.overall
    unsent = sum(n for why, n in a.not_sent.items() if why not in ("skipped", "slot"))
    seconds = max(report.span_s - report.warm_up_s, 0.0)
    met = [r.met for r in report.thresholds]
    tiles = [
        Tile(
            label="Requests",
            value=text.count(a.sent),
            note=f"{text.count(a.failed)} failed" + (f", {text.count(unsent)} not sent" if unsent else ""),
            tone=Tone.BAD if a.failed else Tone.UNSURE if unsent else Tone.PLAIN,
        ),
        *_rate(report, seconds),
        Tile(
            label="Latency p99",
            value=text.ms(overall.latency.p99_ms) if a.sent else text.DASH,
            note=f"{_from(report)}; p50 {text.ms(overall.latency.p50_ms)}" if a.sent else "nothing was sent",
        ),
        Tile(
            label="Late p99",
            value=text.ms(t.lateness.p99_ms) if a.sent else text.DASH,
            note=f"of the harness itself; bound {text.ms(t.bound_ms)}" + ("" if t.valid else ": INVALID"),
            tone=Tone.PLAIN if t.valid else Tone.UNSURE,
        ),
    ]
    if met:
        good = sum(m is True for m in met)
        tiles.append(
            Tile(
                label="Thresholds",
                value=f"{good} of {len(met)}",
                note="met" if all(m is not None for m in met) else "met; not enough data for all",
                tone=Tone.BAD if False in met else Tone.UNSURE if None in met else Tone.GOOD,
            )
        )
    if report.capacity is not None:
        found = report.capacity
        value = f"{text.rate(found.low)}" if found.low else text.DASH
        more = "" if found.high is None else f"; broke at {text.rate(found.high)}"
        tiles.append(Tile(label="Capacity", value=value, note=f"iterations{more}"))
    return tuple(tiles)


def _rate(report: LoadReport, seconds: float) -> tuple[Tile, ...]:
    """Over the whole schedule; a run that was stopped, or held many rates, has no such number."""
    if not seconds or report.stop is not None:
        return ()
    a = report.accounting
    note = f"{text.rate(a.begun / seconds)} iterations" if a.begun else "requests"
    return (Tile(label="Rate", value=text.rate(a.sent / seconds), note=note),)


def _from(report: LoadReport) -> str:
    return "from the intended time" if report.model == "open" else "a slow target gets fewer requests"


def _facts(report: LoadReport) -> list[Fact]:
    a, stop = report.accounting, report.stop
    rows: list[tuple[str, str, Tone]] = [
        ("Model", f"{report.model}: {_from(report)}", Tone.PLAIN),
        ("Profile", "; ".join(report.profile), Tone.PLAIN),
        ("Warm-up", _warm_up(report), Tone.PLAIN),
        ("Iterations", _iterations(report) if a.begun else "", Tone.PLAIN if not (a.broken or a.cut) else Tone.WARN),
        ("Not sent", reasons(a.not_sent), Tone.UNSURE),
        ("Lateness", _quantiles(report.timing.lateness), Tone.PLAIN),
        ("Waited for a host's pause", text.count(a.backed_off) if a.backed_off else "", Tone.WARN),
        ("Over the wire", f"{text.count(a.request_bytes)} B out, {text.count(a.answer_bytes)} B in", Tone.PLAIN),
        ("Steps proved", text.count(len(report.armed)), Tone.PLAIN if report.armed else Tone.UNSURE),
        ("Traces audited", text.count(report.audited), Tone.PLAIN if report.audited else Tone.UNSURE),
        ("Traces", report.sampling, Tone.PLAIN),
        ("Stopped by", f"{stop.reason} after {stop.after_s:.1f} s" if stop else "", Tone.BAD),
    ]
    return [Fact(label=label, value=text.line(value), tone=tone) for label, value, tone in rows if value]


def _warm_up(report: LoadReport) -> str:
    if not report.warm_up_s:
        return ""
    requests = text.plural(report.accounting.warm_up, "request")
    return f"{text.span_of(report.warm_up_s)}, {requests} that are in no other figure"


def _iterations(report: LoadReport) -> str:
    a = report.accounting
    parts = ((a.whole, "whole"), (a.broken, "broken"), (a.cut, "cut"))
    return f"{text.count(a.begun)} begun: {', '.join(f'{text.count(n)} {what}' for n, what in parts)}"


def _quantiles(q: Quantiles) -> str:
    if not q.count:
        return ""
    return f"p50 {text.ms(q.p50_ms)}, p99 {text.ms(q.p99_ms)}, at most {text.ms(q.max_ms)}, of {text.count(q.count)}"
