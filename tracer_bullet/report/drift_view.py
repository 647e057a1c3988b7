"""What changed between two runs: edges that came and went, shifts with their intervals drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer_bullet.model.drift import Change, Drift, EdgeDrift, ErrorDrift, LatencyDrift
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.insight import DriftEdgeRow, DriftRow, DriftView
from tracer_bullet.report.shape_base import Tone

MAX_ROWS = 100

CHANGE: dict[Change, tuple[str, Tone]] = {
    Change.CAME: ("came", Tone.WARN),
    Change.WENT: ("went", Tone.WARN),
    Change.SLOWER: ("slower", Tone.BAD),
    Change.FASTER: ("faster", Tone.GOOD),
    Change.MORE_ERRORS: ("more errors", Tone.BAD),
    Change.FEWER_ERRORS: ("fewer errors", Tone.GOOD),
    Change.SAME: ("no change shown", Tone.PLAIN),
    Change.UNKNOWN: ("too few calls", Tone.UNSURE),
}


def build_drift(drift: Drift | None) -> DriftView | None:
    """The comparison; None when nothing was compared or both sets are empty."""
    if drift is None or not (drift.edges or drift.latencies or drift.errors or drift.regressed):
        return None
    moved = [d for d in drift.latencies if d.change is not Change.SAME]
    bad = [d for d in drift.errors if d.change is not Change.SAME]
    slow = tuple(_latencies((moved or list(drift.latencies))[:MAX_ROWS]))
    wrong = tuple(_errors(bad[:MAX_ROWS]))
    counts = [
        (sum(1 for e in drift.edges if e.change is Change.CAME), "edge came", "edges came"),
        (sum(1 for e in drift.edges if e.change is Change.WENT), "edge went", "edges went"),
        *((sum(1 for d in drift.latencies if d.change is c), CHANGE[c][0], CHANGE[c][0]) for c in _SHIFTS),
        *(
            (sum(1 for d in drift.errors if d.change is c), f"with {CHANGE[c][0]}", f"with {CHANGE[c][0]}")
            for c in _RATES
        ),
        (drift.unknown, "with too few calls to tell", "with too few calls to tell"),
    ]
    said = [text.plural(n, one, many) for n, one, many in counts if n]
    return DriftView(
        before=text.line(drift.before, 80),
        after=text.line(drift.after, 80),
        summary=f"{text.listing(said)}." if said else "No change could be shown.",
        tone=Tone.BAD if drift.regressed else Tone.GOOD,
        regressed=tuple(text.line(r) for r in drift.regressed[:MAX_ROWS]),
        edges=tuple(_edge(e) for e in drift.edges[:MAX_ROWS]),
        edges_note=cut_note(min(len(drift.edges), MAX_ROWS), len(drift.edges), "edge", "the surest first"),
        latencies=slow,
        latencies_note=_quiet(len(slow), len(moved), len(drift.latencies), "quantile"),
        errors=wrong,
        errors_note=_quiet(len(wrong), len(bad), len(drift.errors), "error rate") if wrong else "",
    )


_SHIFTS = (Change.SLOWER, Change.FASTER)
_RATES = (Change.MORE_ERRORS, Change.FEWER_ERRORS)


def _quiet(shown: int, moved: int, known: int, noun: str) -> str:
    still = known - max(moved, shown)
    parts = [f"{text.plural(moved - shown, f'further {noun}')} that moved" if moved > shown else ""]
    parts.append(f"{text.plural(still, noun)} without a change that can be shown" if still > 0 else "")
    said = text.listing([p for p in parts if p])
    return f"Not listed: {said}." if said else ""


def _edge(e: EdgeDrift) -> DriftEdgeRow:
    said, tone = CHANGE[e.change]
    return DriftEdgeRow(
        source=_name(e.source),
        target=_name(e.target),
        change=said,
        tone=tone,
        calls=e.calls,
        expected=f"{e.expected:,.3g}",
        chance="<0.001" if e.p_value < 0.001 else f"{e.p_value:.2g}",
        message=text.line(e.message),
    )


def _name(node_id: str) -> str:
    """A node id is `kind:name`."""
    return text.line(node_id.partition(":")[2] or node_id)


def _latencies(found: Sequence[LatencyDrift]) -> Iterable[DriftRow]:
    """Rows on one scale: each difference in per cent of what it was, so that quick operations are seen too."""
    shares = [
        (_of(d.low_ms, d.before_ms), _of(d.difference_ms, d.before_ms), _of(d.high_ms, d.before_ms)) for d in found
    ]
    frame = _Frame(shares)
    for d, share in zip(found, shares, strict=True):
        said, tone = CHANGE[d.change]
        yield DriftRow(
            service=text.line(d.service),
            operation=text.line(d.operation),
            what=f"p{100 * d.quantile:g}",
            change=said,
            tone=tone,
            before=text.ms(d.before_ms),
            after=text.ms(d.after_ms),
            difference=text.signed_ms(d.difference_ms),
            interval=f"{text.signed_ms(d.low_ms)} to {text.signed_ms(d.high_ms)}",
            size=f"{text.line(d.magnitude, 40)} ({d.effect:+.2f})",
            calls=f"{text.count(d.before_calls)} → {text.count(d.after_calls)}",
            left=frame.place(share[0]),
            middle=frame.place(share[1]),
            right=frame.place(share[2]),
            zero=frame.place(0.0),
        )


def _errors(found: Sequence[ErrorDrift]) -> Iterable[DriftRow]:
    frame = _Frame([(d.low, d.after - d.before, d.high) for d in found])
    for d in found:
        said, tone = CHANGE[d.change]
        yield DriftRow(
            service=text.line(d.service),
            operation=text.line(d.operation),
            what="errors",
            change=said,
            tone=tone,
            before=text.share(d.before),
            after=text.share(d.after),
            difference=_points(d.after - d.before),
            interval=f"{_points(d.low)} to {_points(d.high)}",
            size="",
            calls=f"{text.count(d.before_calls)} → {text.count(d.after_calls)}",
            left=frame.place(d.low),
            middle=frame.place(d.after - d.before),
            right=frame.place(d.high),
            zero=frame.place(0.0),
        )


def _of(difference: float, before: float) -> float:
    """A difference as part of what it was; at most tenfold, so that one new outlier does not flatten all others."""
    return min(max(difference / before, -1.0), 10.0) if before > 0 else 0.0


def _points(value: float) -> str:
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{abs(100 * value):.2g} points"


class _Frame:
    """A linear scale that holds all intervals and zero, with a margin."""

    def __init__(self, intervals: Sequence[tuple[float, float, float]]) -> None:
        self._low = min((i[0] for i in intervals), default=0.0)
        self._high = max((i[2] for i in intervals), default=0.0)
        self._low, self._high = min(self._low, 0.0), max(self._high, 0.0)
        self._span = (self._high - self._low) or 1.0

    def place(self, value: float) -> float:
        """0 to 1000; 20 are kept free on both sides."""
        return round(20 + 960 * min(max((value - self._low) / self._span, 0.0), 1.0), 1)
