"""Latency as tables: services, operations, and the heatmap of roots over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracer_bullet.model import Operation
from tracer_bullet.model.analysis import Analysis, Heatmap, OperationLatency
from tracer_bullet.model.catalog import Catalog
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.insight import HeatView, ServiceRow
from tracer_bullet.report.shape import OperationRow
from tracer_bullet.report.shape_base import Tick, Timing, Tone
from tracer_bullet.report.timing_view import Axis, errors_text, finite, scale_of, tick_text, timing

_HEAT_LEVELS = 5
_HEAT_LABELS = 6


def build_operations(operations: Sequence[Operation], limit: int) -> tuple[tuple[OperationRow, ...], str]:
    """Rows of a graph's operations, the slowest p95 first, at most `limit`, and a note when some were left out."""
    ordered = sorted(operations, key=lambda o: (-finite(o.latency.p95_ms), o.service, o.name))[:limit]
    scale = scale_of(o.latency for o in ordered)
    rows = tuple(
        OperationRow(
            service=text.line(o.service),
            name=text.line(o.name),
            calls=o.calls,
            errors=o.errors,
            calls_text=text.count(o.calls),
            errors_text=errors_text(o.errors, o.calls),
            timing=timing(o.latency, scale),
            self_p50=text.ms(o.self_p50_ms),
            tone=Tone.BAD if o.errors else Tone.PLAIN,
        )
        for o in ordered
    )
    return rows, cut_note(len(rows), len(operations), "operation", "slowest p95 first")


def build_analysed_operations(analysis: Analysis, axis: Axis, limit: int) -> tuple[tuple[OperationRow, ...], str]:
    """The same of an analysis, with rate, fan-out, the tail of self time and a histogram."""
    known = [(o, o.durations.latency()) for o in analysis.operations]
    ordered = sorted(known, key=lambda k: (-k[1].p95_ms, k[0].service, k[0].name))[:limit]
    scale = scale_of(latency for _, latency in ordered)
    rows = tuple(_operation(o, timing(latency, scale, axis.histogram(o.durations))) for o, latency in ordered)
    return rows, cut_note(len(rows), len(known), "operation", "slowest p95 first")


def _operation(o: OperationLatency, shown: Timing) -> OperationRow:
    own = o.own.latency()
    return OperationRow(
        service=text.line(o.service),
        name=text.line(o.name),
        calls=o.calls,
        errors=o.errors,
        calls_text=text.count(o.calls),
        errors_text=errors_text(o.errors, o.calls),
        timing=shown,
        self_p50=text.ms(own.p50_ms),
        self_p95=text.ms(own.p95_ms),
        rate=text.rate(o.rate_per_s),
        fan_out=f"{finite(o.fan_out):,.3g}",
        tone=Tone.BAD if o.errors else Tone.PLAIN,
    )


def build_services(
    analysis: Analysis, catalog: Catalog | None, axis: Axis, limit: int
) -> tuple[tuple[ServiceRow, ...], str]:
    """Services, those first that the critical paths spend the most time in (then the slowest p95)."""
    critical = analysis.critical
    shares: dict[str, float] = {}
    for part in critical.shares if critical is not None else ():
        shares[part.service] = shares.get(part.service, 0.0) + part.share
    known = [(s, s.durations.latency()) for s in analysis.services]
    ordered = sorted(known, key=lambda k: (-shares.get(k[0].service, 0.0), -k[1].p95_ms, k[0].service))[:limit]
    scale = scale_of(latency for _, latency in ordered)
    rows = tuple(
        ServiceRow(
            service=text.line(s.service),
            owner=text.line(catalog.owner_of(s.service)) if catalog is not None else "",
            calls=s.calls,
            errors=s.errors,
            calls_text=text.count(s.calls),
            errors_text=errors_text(s.errors, s.calls),
            rate=text.rate(s.rate_per_s),
            rate_per_s=s.rate_per_s,
            timing=timing(latency, scale, axis.histogram(s.durations)),
            own=timing(s.own.latency(), scale),
            share=shares.get(s.service, 0.0),
            share_text=text.share(shares[s.service]) if s.service in shares else "",
            tone=Tone.BAD if s.errors else Tone.PLAIN,
        )
        for s, latency in ordered
    )
    order = "largest part of the critical paths first" if shares else "slowest p95 first"
    return rows, cut_note(len(rows), len(known), "service", order)


def axis_of(analysis: Analysis) -> Axis:
    """The one time axis of all histograms of an analysis."""
    return Axis.of(
        [
            *(s.durations for s in analysis.services),
            *(o.durations for o in analysis.operations),
            *(e.caller for e in analysis.edges),
            *(e.callee for e in analysis.edges),
        ]
    )


# ---- heatmap


def build_heat(heatmap: Heatmap | None) -> HeatView | None:
    """The heatmap with its rows from slow (top) to quick; None when there is nothing in it."""
    if heatmap is None:
        return None
    cells = [c for c in heatmap.cells if 0 <= c[0] < heatmap.slots and 0 <= c[1] < heatmap.rows and c[2] > 0]
    if not cells:
        return None
    used = [row for _, row, _ in cells]
    low, high = min(used), max(used)
    rows = high - low + 1
    limits = _limits(max(n for _, _, n in cells))
    paths: list[list[str]] = [[] for _ in limits]
    for slot, row, n in sorted(cells):
        paths[next(i for i, (_, top) in enumerate(limits) if n <= top)].append(f"M{slot} {high - row}h1v1h-1z")
    total = sum(n for _, _, n in cells)
    span = text.span_of(heatmap.slots * heatmap.slot_ns / 1e9)
    return HeatView(
        slots=heatmap.slots,
        rows=rows,
        levels=tuple(("".join(p), _range(*limit)) for p, limit in zip(paths, limits, strict=True)),
        times=_times(heatmap),
        latencies=tuple(
            Tick(at=round(100 * (high + 1 - r) / rows, 2), text=_row_text(heatmap, r))
            for r in range(low, high + 2, -(-rows // 8))
        ),
        summary=f"{text.plural(total, 'trace')} over {span}; each column is {text.span_of(heatmap.slot_ns / 1e9)}.",
        table=_heat_table(heatmap, cells),
    )


def _row_text(heatmap: Heatmap, row: int) -> str:
    return tick_text(heatmap.row_0_ms * 2.0**row * 1e6)


def _limits(most: int) -> list[tuple[int, int]]:
    """Ranges of counts of about equal ratio: at most five, without gaps."""
    tops = sorted({max(1, round(most ** (i / _HEAT_LEVELS))) for i in range(1, _HEAT_LEVELS + 1)})
    return [(low, top) for low, top in zip([1, *(t + 1 for t in tops)], tops, strict=False)]


def _range(low: int, top: int) -> str:
    return text.count(top) if low >= top else f"{text.count(low)}–{text.count(top)}"


def _times(heatmap: Heatmap) -> tuple[Tick, ...]:
    step = -(-heatmap.slots // _HEAT_LABELS)
    whole = heatmap.slot_ns * step >= 1_000_000_000
    return tuple(
        Tick(
            at=round(100 * slot / heatmap.slots, 2),
            text=text.clock(heatmap.start_ns + slot * heatmap.slot_ns)
            if whole
            else f"+{text.ms(slot * heatmap.slot_ns / 1e6)}",
        )
        for slot in range(0, heatmap.slots, step)
    )


def _heat_table(heatmap: Heatmap, cells: Sequence[tuple[int, int, int]]) -> tuple[tuple[str, ...], ...]:
    by_slot: dict[int, Mapping[int, int]] = {}
    for slot, row, n in cells:
        by_slot[slot] = {**by_slot.get(slot, {}), row: n}
    lines = []
    for slot, rows in sorted(by_slot.items()):
        common = max(rows, key=lambda r: (rows[r], -r))
        ends = [
            f"{_row_text(heatmap, min(rows))}",
            f"{_row_text(heatmap, common)} to {_row_text(heatmap, common + 1)}",
            f"{_row_text(heatmap, max(rows) + 1)}",
        ]
        when = text.moment(heatmap.start_ns + slot * heatmap.slot_ns)
        lines.append((when, text.count(sum(rows.values())), *ends))
    return tuple(lines)
