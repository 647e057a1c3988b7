"""Where time goes end to end: critical paths, wasteful shapes of calls, clocks that disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracer_bullet.model.analysis import ClockSkew, CriticalPaths, PathShare, Pattern, Waste
from tracer_bullet.report import text
from tracer_bullet.report.flame_view import critical_flame
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.insight import CriticalView, PatternRow, ShareRow, SkewRow
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.timing_view import finite, trace_refs

WASTE_TEXT = {
    Waste.REPEATED: "the same call again and again in one trace (N+1): ask once for all",
    Waste.RETRY: "a failed call was made again",
    Waste.SEQUENTIAL: "calls one after the other that do not need each other: they could run side by side",
    Waste.TIMEOUT: "a call went on after its caller had given up",
}


def build_patterns(
    patterns: Sequence[Pattern], keys: Mapping[str, str], limit: int
) -> tuple[tuple[PatternRow, ...], str]:
    """Rows in the order of the analysis."""
    rows = tuple(
        PatternRow(
            kind=p.waste.value.replace("-", " "),
            meaning=WASTE_TEXT[p.waste],
            service=text.line(p.service),
            operation=text.line(p.operation),
            target=text.line(p.target),
            traces=p.traces,
            times=p.times,
            tally=f"{text.count(p.times)}× in {text.plural(p.traces, 'trace')}",
            cost=text.ms(p.cost_ms),
            cost_ms=p.cost_ms,
            message=text.line(p.message),
            examples=trace_refs(p.example_trace_ids, keys),
        )
        for p in patterns[:limit]
    )
    return rows, cut_note(len(rows), len(patterns), "pattern", "the most important first")


def build_critical(critical: CriticalPaths | None, limit: int) -> CriticalView | None:
    """Shares of operations, the largest first; None when no trace had a root."""
    if critical is None or not critical.shares:
        return None
    ordered = sorted(critical.shares, key=lambda s: (-finite(s.exclusive_ms), s.service, s.operation))[:limit]
    widest = max((finite(s.exclusive_ms) for s in ordered), default=0.0)
    deepest = max((finite(s.drag_ms) for s in ordered), default=0.0)
    unsure = f", of which {text.ms(critical.ambiguous_ms)} would go elsewhere by another rule for ties"
    grain = f" Clocks tick every {text.ms(critical.resolution_ns / 1e6)}." if critical.resolution_ns > 1000 else ""
    counts = [
        (critical.rootless, "trace had lost its root", "traces had lost their roots"),
        (critical.circular, "trace goes round in a circle", "traces go round in a circle"),
        (critical.extra_roots, "further root was not walked", "further roots were not walked"),
    ]
    holes = text.listing([text.plural(n, one, many) for n, one, many in counts if n])
    return CriticalView(
        summary=f"{text.ms(critical.total_ms)} in {text.plural(critical.traces, 'trace')}"
        f"{unsure if critical.ambiguous_ms > 0 else ''}.{grain}{f' {holes}.' if holes else ''}",
        traces=critical.traces,
        total_ms=critical.total_ms,
        ambiguous_ms=critical.ambiguous_ms,
        rows=tuple(_share_row(s, widest, deepest) for s in ordered),
        rows_note=cut_note(len(ordered), len(critical.shares), "operation", "the largest share first"),
        flame=critical_flame(critical),
    )


def _share_row(s: PathShare, widest: float, deepest: float) -> ShareRow:
    return ShareRow(
        service=text.line(s.service),
        operation=text.line(s.operation),
        traces=s.traces,
        calls=s.calls,
        tally=f"{text.count(s.calls)} in {text.plural(s.traces, 'trace')}",
        exclusive=text.ms(s.exclusive_ms),
        exclusive_ms=s.exclusive_ms,
        share=s.share,
        share_text=text.share(s.share),
        bar=_bar(s.exclusive_ms, widest),
        drag=text.ms(s.drag_ms),
        drag_ms=s.drag_ms,
        drag_bar=_bar(s.drag_ms, deepest),
        ambiguous=text.ms(s.ambiguous_ms) if s.ambiguous_ms > 0 else "",
        ambiguous_ms=s.ambiguous_ms,
    )


def _bar(value: float, largest: float) -> float:
    return round(1000 * finite(value) / largest, 1) if largest else 0.0


def build_skews(skews: Sequence[ClockSkew], limit: int) -> tuple[tuple[SkewRow, ...], str]:
    """Clock pairs in the order of the analysis."""
    rows = tuple(
        SkewRow(
            caller=text.line(s.caller),
            callee=text.line(s.callee),
            calls=s.calls,
            offset=text.signed_ms(s.offset_ms),
            offset_ms=s.offset_ms,
            span=f"{text.signed_ms(s.low_ms)} to {text.signed_ms(s.high_ms)}",
            state="corrected" if s.corrected else "may agree" if _may_agree(s) else "left as it is",
            tone=Tone.GOOD if s.corrected else Tone.PLAIN if _may_agree(s) else Tone.WARN,
            reason=text.line(s.reason),
        )
        for s in skews[:limit]
    )
    return rows, cut_note(len(rows), len(skews), "pair", "the most important first")


def _may_agree(skew: ClockSkew) -> bool:
    return skew.low_ms <= 0 <= skew.high_ms
