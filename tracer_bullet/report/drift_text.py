"""Drift as text for a terminal. Pure."""

from __future__ import annotations

from tracer_bullet.model import Change, Drift, EdgeDrift, ErrorDrift, LatencyDrift
from tracer_bullet.report.columns import columns
from tracer_bullet.report.text import line, ms, plural

_QUIET = (Change.SAME, Change.UNKNOWN)


def render_drift(drift: Drift, *, everything: bool = False) -> str:
    """What changed, then a summary; with `everything` also what stayed the same or is not known."""
    out = [line(f"{drift.before} ({plural(drift.before_traces, 'trace')}) → {drift.after}", 300)]
    out[0] += f" ({plural(drift.after_traces, 'trace')})"
    for title, table in (
        ("Edges", _edges(drift.edges, everything=everything)),
        ("Latency", _latencies(drift.latencies, everything=everything)),
        ("Errors", _errors(drift.errors, everything=everything)),
    ):
        if table:
            out += ["", title, *table]
    out.append("")
    for sentence in drift.regressed:
        out.append(f"✕ {line(sentence, 500)}")
    out.append(_summary(drift))
    return "\n".join(out) + "\n"


def _summary(drift: Drift) -> str:
    if drift.regressed:
        head = plural(len(drift.regressed), "regression")
    elif drift.judged:
        head = "✓ no regression"
    else:
        head = "? not enough data to tell"
    unknown = f"; of {drift.judged + drift.unknown:,} comparisons {drift.unknown:,} had too few calls to tell"
    return head + (unknown if drift.unknown else "")


def _edges(edges: tuple[EdgeDrift, ...], *, everything: bool) -> list[str]:
    rows = [
        (
            e.change.value,
            f"{_part(e.source)} → {_part(e.target)}",
            f"{e.calls:,}",
            f"{e.expected:,.1f}",
            f"{e.p_value:.2g}",
        )
        for e in edges
        if everything or e.change not in _QUIET
    ]
    return columns(("", "edge", "calls", "expected", "p"), rows, right=(2, 3, 4)) if rows else []


def _latencies(latencies: tuple[LatencyDrift, ...], *, everything: bool) -> list[str]:
    rows = [
        (
            r.change.value, f"{r.service} {r.operation}", f"p{r.quantile * 100:g}", ms(r.before_ms), ms(r.after_ms),
            f"{_signed(r.low_ms)} to {_signed(r.high_ms)}", f"{r.effect:+.2f} {r.magnitude}",
            f"{r.before_calls:,} → {r.after_calls:,}",
        )
        for r in latencies
        if everything or r.change not in _QUIET
    ]  # fmt: skip
    head = ("", "operation", "", "before", "after", "difference, 95 %", "effect", "calls")
    return columns(head, rows, right=(3, 4)) if rows else []


def _errors(errors: tuple[ErrorDrift, ...], *, everything: bool) -> list[str]:
    rows = [
        (
            r.change.value, f"{r.service} {r.operation}", f"{r.before:.2%}", f"{r.after:.2%}",
            f"{r.low:+.2%} to {r.high:+.2%}", f"{r.before_calls:,} → {r.after_calls:,}",
        )
        for r in errors
        if everything or r.change not in _QUIET
    ]  # fmt: skip
    return (
        columns(("", "operation", "before", "after", "difference, 95 %", "calls"), rows, right=(2, 3)) if rows else []
    )


def _part(node_id: str) -> str:
    return node_id.removeprefix("service:")


def _signed(value_ms: float) -> str:
    return f"{'+' if value_ms >= 0 else '−'}{ms(abs(value_ms))}"
