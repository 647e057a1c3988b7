"""What a replay says of itself: requests, punctuality, fidelity, answers. Every number that is shown is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracer_bullet.model import Finding, Severity
from tracer_bullet.model.replay import Comparison, Difference, EndpointResult, Fidelity, Quantiles, ReplayReport, Timing
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.shape_base import Fact, Tile, Tone
from tracer_bullet.report.shape_replay import DifferenceRow, EndpointRow, MintedRow, ReplayView

MAX_ENDPOINTS = 200
MAX_DIFFERENCES = 100
MAX_CORRELATIONS = 50


def build_replay(report: ReplayReport | None, findings: Sequence[Finding] = ()) -> ReplayView | None:
    """The view; None for a run that was no replay. `findings` are those of its verdict."""
    if report is None:
        return None
    faults = _faults(findings)
    endpoints = sorted(report.endpoints, key=lambda e: (e.endpoint not in faults, -e.failed, -e.sent, e.endpoint))
    armed = frozenset(report.armed)
    differences, differences_note = _differences(report.comparison)
    correlations = report.correlations[:MAX_CORRELATIONS]
    return ReplayView(
        summary=_summary(report),
        facts=tuple(_facts(report)),
        tiles=_tiles(report),
        endpoints=tuple(
            _endpoint(e, faults.get(e.endpoint, []), proved=e.endpoint in armed) for e in endpoints[:MAX_ENDPOINTS]
        ),
        endpoints_note=cut_note(min(len(endpoints), MAX_ENDPOINTS), len(endpoints), "endpoint", "failures first"),
        differences=differences,
        differences_note=differences_note,
        minted=tuple(
            MintedRow(
                minted=text.line(c.minted),
                used=tuple(text.line(u) for u in c.used),
                note=f"{text.plural(c.uses, 'use')} in {text.plural(c.sessions, 'session')}, {text.line(c.how, 40)}",
            )
            for c in correlations
        ),
        minted_note=cut_note(len(correlations), len(report.correlations), "value", "as found"),
        report=report,
    )


def _faults(findings: Sequence[Finding]) -> dict[str, list[tuple[str, str]]]:
    """Endpoint → (rule, message). Findings about a service mean its own operations, whose names may be the same."""
    found: dict[str, list[tuple[str, str]]] = {}
    for f in findings:
        if f.severity is Severity.ERROR and f.operation and not f.service:
            found.setdefault(f.operation, []).append((text.line(f.rule, 80), text.line(f.message)))
    return found


def _summary(report: ReplayReport) -> str:
    a = report.accounting
    parts = [
        f"{text.plural(a.read, 'exchange')} of {text.line(report.archive, 80)}",
        f"{text.plural(report.sessions, 'session')}",
        f"{text.count(a.sent)} of {text.plural(a.planned, 'planned request')} sent",
    ]
    stopped = f" Stopped after {report.stop.after_s:.1f} s: {text.line(report.stop.detail)}." if report.stop else ""
    return f"{', '.join(parts)}.{stopped}"


def _tiles(report: ReplayReport) -> tuple[Tile, ...]:
    a, t, overall = report.accounting, report.timing, report.overall
    compared = report.comparison
    unsent = sum(a.not_sent.values())
    tiles = [
        Tile(
            label="Requests",
            value=text.count(a.sent),
            note=f"{text.count(a.failed)} without an answer" + (f", {text.count(unsent)} not sent" if unsent else ""),
            tone=Tone.BAD if a.failed else Tone.UNSURE if unsent else Tone.PLAIN,
        ),
        Tile(
            label="Latency p99",
            value=text.ms(overall.latency.p99_ms),
            note=f"from the intended time; p50 {text.ms(overall.latency.p50_ms)}",
        ),
        Tile(
            label="Late p99",
            value=text.ms(t.lateness.p99_ms),
            note=f"of the harness itself; bound {text.ms(t.bound_ms)}" + ("" if t.valid else ": INVALID"),
            tone=Tone.PLAIN if t.valid else Tone.UNSURE,
        ),
    ]
    if compared is not None:
        differences = text.plural(len(compared.findings), "difference")
        tiles.append(
            Tile(
                label="As recorded",
                value=text.percent(compared.equal, compared.compared),
                note=f"of {text.plural(compared.compared, 'answer')}; {differences}",
                tone=Tone.BAD if compared.findings else Tone.PLAIN,
            )
        )
    return tuple(tiles)


def _facts(report: ReplayReport) -> list[Fact]:
    a, stop = report.accounting, report.stop
    rows: list[tuple[str, str, Tone]] = [
        ("Read", text.count(a.read), Tone.PLAIN),
        ("Not selected", _reasons(a.skipped), Tone.PLAIN),
        ("Refused", _reasons(a.refused), Tone.WARN),
        ("Not sent", _reasons(a.not_sent), Tone.UNSURE),
        ("Timing", f"speed {report.speed:g}x" if report.mode == "speed" else report.mode, Tone.PLAIN),
        ("Waited for a host's pause", text.count(a.backed_off) if a.backed_off else "", Tone.WARN),
        ("Over the wire", f"{text.count(a.request_bytes)} B out, {text.count(a.answer_bytes)} B in", Tone.PLAIN),
        *((label, value, Tone.PLAIN) for label, value in _punctuality(report.timing)),
        *((label, value, Tone.PLAIN) for label, value in _fidelity(report.fidelity)),
        ("Endpoints proved", _proved(report), Tone.PLAIN if _all_proved(report) else Tone.UNSURE),
        ("Traces audited", text.count(report.audited), Tone.PLAIN if report.audited else Tone.UNSURE),
        ("Stopped by", f"{stop.reason} after {stop.after_s:.1f} s" if stop else "", Tone.BAD),
    ]
    return [Fact(label=label, value=text.line(value), tone=tone) for label, value, tone in rows if value]


def _proved(report: ReplayReport) -> str:
    """Of those that requests were sent to; of a replay that was not begun, those that were proved all the same."""
    if not report.endpoints:
        return text.count(len(report.armed))
    proved = {e.endpoint for e in report.endpoints} & set(report.armed)
    return f"{len(proved)} of {len(report.endpoints)}"


def _all_proved(report: ReplayReport) -> bool:
    return bool(report.endpoints) and {e.endpoint for e in report.endpoints} <= set(report.armed)


def _punctuality(timing: Timing) -> list[tuple[str, str]]:
    return [
        ("Lateness", _quantiles(timing.lateness)),
        ("Drift, first tenth to last", text.signed_ms(timing.drift_ms)),
        ("Waited for an earlier answer", _quantiles(timing.held)),
    ]


def _fidelity(fidelity: Fidelity | None) -> list[tuple[str, str]]:
    if fidelity is None:
        return []
    return [
        ("Order kept", f"{text.share(fidelity.in_order)} of {text.plural(fidelity.pairs, 'pair')} of neighbours"),
        ("Error of gaps", _quantiles(fidelity.gap_error)),
        ("Lost, repeated", f"{text.count(fidelity.lost)}, {text.count(fidelity.repeated)}"),
        ("Took", f"{fidelity.span_replayed_s:.1f} s (recorded: {fidelity.span_recorded_s:.1f} s)"),
        ("Under way at once", _concurrency(fidelity)),
    ]


def _concurrency(fidelity: Fidelity) -> str:
    mean, most = fidelity.concurrency_replayed
    said = f"{mean:.1f} on average, {most} at most"
    if fidelity.concurrency_recorded is None:
        return said
    mean, most = fidelity.concurrency_recorded
    return f"{said} (recorded: {mean:.1f}, {most})"


def _quantiles(q: Quantiles) -> str:
    if not q.count:
        return ""
    return f"p50 {text.ms(q.p50_ms)}, p99 {text.ms(q.p99_ms)}, at most {text.ms(q.max_ms)}, of {text.count(q.count)}"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{text.count(n)} × {why}" for why, n in sorted(counts.items(), key=lambda i: (-i[1], i[0])) if n)


def _endpoint(e: EndpointResult, faults: Sequence[tuple[str, str]], *, proved: bool) -> EndpointRow:
    q = e.latency
    numbers = (("p50", q.p50_ms), ("p90", q.p90_ms), ("p99", q.p99_ms), ("p99.9", q.p999_ms), ("max", q.max_ms))
    return EndpointRow(
        name=text.line(e.endpoint),
        sent=e.sent,
        failed=e.failed,
        outcomes=_reasons({**e.statuses, **e.errors}),
        faults=tuple(faults),
        proved=proved,
        tone=Tone.BAD if e.failed or faults else Tone.GOOD if proved else Tone.UNSURE,
        quantiles=tuple((label, value, text.ms(value)) for label, value in numbers),
        service=text.ms(e.service.p99_ms) if e.service.count else "",
        held=text.ms(e.held.p99_ms) if e.held.count else "",
    )


def _differences(comparison: Comparison | None) -> tuple[tuple[DifferenceRow, ...], str]:
    if comparison is None:
        return (), ""
    kinds = (
        (comparison.findings, "differs", Tone.BAD),
        (comparison.unsure, "too few answers", Tone.UNSURE),
        (comparison.noisy, "differs by itself", Tone.PLAIN),
    )
    rows = [_difference(d, verdict, tone) for some, verdict, tone in kinds for d in some]
    left_out = f" Not compared: {_reasons(comparison.incomparable)}." if comparison.incomparable else ""
    note = cut_note(min(len(rows), MAX_DIFFERENCES), len(rows), "difference", "findings first")
    return tuple(rows[:MAX_DIFFERENCES]), f"{note}{left_out}".strip()


def _difference(d: Difference, verdict: str, tone: Tone) -> DifferenceRow:
    noise = f"{text.share(d.noise)} of {text.plural(d.noise_of, 'pair')}" if d.noise_of else "not learned"
    return DifferenceRow(
        endpoint=text.line(d.endpoint),
        field=text.line(d.field),
        kind=d.kind,
        count=f"{text.count(d.differing)} of {text.count(d.compared)}",
        share=f"{text.share(d.share_low)} to {text.share(d.share_high)}",
        noise=noise,
        examples=tuple((text.line(a, 80), text.line(b, 80)) for a, b in d.examples),
        verdict=verdict,
        tone=tone,
    )
