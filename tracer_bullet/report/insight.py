"""What an analysis adds to the document: latency, paths, causes, objectives, drift, declarations.

The invariants of `shape` hold here too: text is clean and escaped for nothing, geometry is in
per mille of a drawing's width, and numbers that only JSON needs are kept beside their text.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.report.shape_base import Fact, Tick, Timing, Tone, TraceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """A service over its entry spans. `share` is its part of the critical paths; `share_text` "" if unknown."""

    service: str
    owner: str
    calls: int
    errors: int
    calls_text: str
    errors_text: str
    rate: str
    rate_per_s: float
    timing: Timing
    own: Timing
    share: float
    share_text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRow:
    """A wasteful shape of calls. `meaning` says what the kind is."""

    kind: str
    meaning: str
    service: str
    operation: str
    target: str
    traces: int
    times: int
    tally: str
    cost: str
    cost_ms: float
    message: str
    examples: tuple[TraceRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """An operation's part of the critical paths; `bar` and `drag_bar` in per mille of the largest one."""

    service: str
    operation: str
    traces: int
    calls: int
    tally: str
    exclusive: str
    exclusive_ms: float
    share: float
    share_text: str
    bar: float
    drag: str
    drag_ms: float
    drag_bar: float
    ambiguous: str
    ambiguous_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A rectangle of a flame view: `left` and `width` in per cent, `top` in pixels; `lane` colours its service
    (-1: none)."""

    top: int
    left: float
    width: float
    lane: int
    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlameRow:
    """A line of the flame view's table: `depth` indents; `own` without and `total` with what is below."""

    depth: int
    service: str
    name: str
    times: str
    own: str
    total: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlameView:
    """Time by call path, as blocks and as a table. `height` is in pixels; `note` says what was folded."""

    title: str
    blocks: tuple[Block, ...] = ()
    height: int = 0
    rows: tuple[FlameRow, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalView:
    """The critical paths of all traces, summed."""

    summary: str
    traces: int
    total_ms: float
    ambiguous_ms: float
    rows: tuple[ShareRow, ...]
    rows_note: str
    flame: FlameView


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewRow:
    """A clock against another."""

    caller: str
    callee: str
    calls: int
    offset: str
    offset_ms: float
    span: str
    state: str
    tone: Tone
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An address that was declared in a catalog. `url` is http or https, or "" when it is neither."""

    title: str
    url: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseRow:
    """A group of bad traces with one cause. `blame` says who, and by whose word."""

    symptom: str
    tone: Tone
    title: str
    service: str
    operation: str
    blame: str
    owner: str
    on_call: str
    links: tuple[Link, ...]
    traces: int
    share: float
    tally: str
    bar: float
    path: tuple[str, ...]
    examples: tuple[TraceRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastRow:
    """A value that bad traces have more often; bars are the shares in per mille."""

    attribute: str
    value: str
    service: str
    bad: str
    good: str
    bad_share: float
    good_share: float
    bad_bar: float
    good_bar: float
    low: str
    low_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatView:
    """Root durations over time. `levels` are (SVG path in cells, legend text), fewest first; row 0 is on top.

    `table` has a line for each slot that is not empty: (time, traces, quickest, slowest row, most common row).
    """

    slots: int
    rows: int
    levels: tuple[tuple[str, str], ...]
    times: tuple[Tick, ...]
    latencies: tuple[Tick, ...]
    summary: str
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SloRow:
    """An objective and what became of it. `budget_bar` is what is left of the budget, in per mille."""

    name: str
    service: str
    objective: str
    owner: str
    where: str
    state: str
    tone: Tone
    met: bool | None
    share: float
    share_text: str
    interval: str
    windows: str
    worst: str
    budget: str
    budget_left: float
    budget_bar: float
    burns: tuple[Fact, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedRow:
    """An inner objective that an outer one implies."""

    outer: str
    service: str
    operation: str
    depth: int
    calls: str
    share: str
    objective: str
    observed: str
    state: str
    tone: Tone
    met: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SloView:
    """All objectives; `checks` are (outer, sentence, tone) on whether the derivation holds."""

    summary: str
    tone: Tone
    rows: tuple[SloRow, ...]
    derived: tuple[DerivedRow, ...]
    checks: tuple[tuple[str, str, Tone], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """A change with its interval: `left` to `right` around `middle`, `zero` is no change; all in per mille."""

    service: str
    operation: str
    what: str
    change: str
    tone: Tone
    before: str
    after: str
    difference: str
    interval: str
    size: str
    calls: str
    left: float
    middle: float
    right: float
    zero: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEdgeRow:
    """An edge that came or went."""

    source: str
    target: str
    change: str
    tone: Tone
    calls: int
    expected: str
    chance: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftView:
    """What changed from one run to another."""

    before: str
    after: str
    summary: str
    tone: Tone
    regressed: tuple[str, ...]
    edges: tuple[DriftEdgeRow, ...]
    edges_note: str
    latencies: tuple[DriftRow, ...]
    latencies_note: str
    errors: tuple[DriftRow, ...]
    errors_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRow:
    """A difference between what is declared and what was observed."""

    rule: str
    severity: str
    tone: Tone
    entity: str
    message: str
    cure: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """An input that spans were read from. `losses` are (what, how often, examples), lost ones before repaired ones."""

    name: str
    format: str
    spans: int
    size: str
    tone: Tone
    problem: str
    losses: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """Everything that an analysis, objectives, a comparison and a catalog add. What is empty is not shown.

    `axis` is the time axis of all histograms.
    """

    services: tuple[ServiceRow, ...] = ()
    services_note: str = ""
    axis: tuple[Tick, ...] = ()
    heat: HeatView | None = None
    patterns: tuple[PatternRow, ...] = ()
    patterns_note: str = ""
    critical: CriticalView | None = None
    skews: tuple[SkewRow, ...] = ()
    skews_note: str = ""
    causes: tuple[CauseRow, ...] = ()
    causes_note: str = ""
    bad_traces: int = 0
    contrasts: tuple[ContrastRow, ...] = ()
    contrasts_note: str = ""
    slos: SloView | None = None
    drift: DriftView | None = None
    declared: tuple[DeclaredRow, ...] = ()
    declared_note: str = ""
    imported: tuple[ImportRow, ...] = ()
    imported_note: str = ""
    imported_summary: str = ""
