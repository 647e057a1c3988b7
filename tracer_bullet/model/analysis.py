"""What the spans of a run say: where time goes, who is to blame, whose clock is wrong. `analysis.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tracer_bullet.model.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLatency:
    """A service over all its entry spans (server, consumer). `rate_per_s` is over the span of time of the whole set.

    `own` is self time: a span without the union of its children's time.
    """

    service: str
    calls: int
    errors: int
    rate_per_s: float
    durations: Distribution
    own: Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationLatency:
    """One operation of a service: its entry spans of one name. `fan_out` is the mean number of calls it makes.

    `traces`: in how many traces it was called; 0 where that was not counted.
    """

    service: str
    name: str
    calls: int
    errors: int
    rate_per_s: float
    durations: Distribution
    own: Distribution
    fan_out: float
    traces: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLatency:
    """An edge of the graph, by node ids. `caller` is what the caller waited, `callee` what the callee took (may be
    empty); `calls_per_trace` is over the traces that use the edge."""

    source: str
    target: str
    calls: int
    errors: int
    rate_per_s: float
    caller: Distribution
    callee: Distribution
    calls_per_trace: float


class Waste(Enum):
    """Shapes of calls that cost more than they must."""

    REPEATED = "repeated-calls"
    RETRY = "retry"
    SEQUENTIAL = "sequential-calls"
    TIMEOUT = "timeout-beyond-caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A wasteful shape at one place. `times` counts it over `traces` traces; `cost_ms` is the median that it costs."""

    waste: Waste
    service: str
    operation: str
    target: str
    traces: int
    times: int
    cost_ms: float
    message: str
    example_trace_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathShare:
    """What one operation (any span's service and name) adds to the critical paths, summed over all traces.

    `exclusive_ms`: time on the path in its own spans. `share` of all roots' time. `drag_ms`: of that, the time in
    which nothing else that the root waits for was under way; so much shorter, at the least, the roots would have
    been, had it taken no time at all. `ambiguous_ms`: of `exclusive_ms`, what another tie rule would give away.
    `calls`: its spans on paths.
    """

    service: str
    operation: str
    traces: int
    calls: int
    exclusive_ms: float
    share: float
    drag_ms: float
    ambiguous_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSection:
    """A stretch of one trace's critical path; a trace's sections are disjoint and cover its root."""

    span_id: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPaths:
    """The critical paths of all traces, summed; docs/critical-path.md. `resolution_ns` is the clocks' detected grain.

    Each trace is walked from one root. `rootless` ones lost theirs and are walked from an orphan; `extra_roots`
    counts roots and orphans that were not walked from; `circular` traces have no root but only parents that go
    round in a circle, and are not among `traces`. `detached` counts spans that their parents did not wait for.
    """

    traces: int
    total_ms: float
    ambiguous_ms: float
    resolution_ns: int
    shares: tuple[PathShare, ...]
    rootless: int = 0
    extra_roots: int = 0
    circular: int = 0
    detached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew:
    """How far host `callee`'s clock is ahead of host `caller`'s, over all calls between them.

    `low_ms` to `high_ms` is what the calls allow. `corrected`: spans of `callee` were moved; `reason` says why, or
    why not.
    """

    caller: str
    callee: str
    calls: int
    offset_ms: float
    low_ms: float
    high_ms: float
    corrected: bool
    reason: str


class Symptom(Enum):
    """What made a trace a bad one. `SWALLOWED` is not bad: an error that the outside was never told of."""

    ERROR = "error"
    SLOW = "slow"
    SWALLOWED = "swallowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Bad traces with one cause. `service` is to be blamed, `owner` to be told ("" where no catalog says).

    `peer`: the service is only blamed by its caller's word (it left no span, or a clean one); `caller` is who says so,
    else "". `error` is the error's type and message with ids and numbers taken out. `path`: operations from the root
    to the place, `service name` each, `…` where steps were left out. `share` is of the bad traces (failed or slow); of
    a swallowed error, of the traces that swallowed one.
    """

    key: str
    symptom: Symptom
    traces: int
    share: float
    service: str
    operation: str
    peer: bool
    error: str
    owner: str
    path: tuple[str, ...]
    example_trace_ids: tuple[str, ...]
    caller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """An attribute's value that bad traces have more often than good ones of the same root operations.

    `score` orders: the correlation of having it with being bad, within root operations (0 to 1). `low` is the lower
    95 % bound of the difference of shares, already corrected for how many values were looked at. Totals are of the
    traces that were looked at: a fair sample of large sets. Values are cut to 200 characters.
    """

    attribute: str
    value: str
    service: str
    bad: int
    bad_total: int
    good: int
    good_total: int
    score: float
    low: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleTrace:
    """A trace worth looking at, and why it was chosen."""

    trace_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Root durations over time: `cells` are (time slot, latency row, count); row r begins at `row_0_ms`·2^r."""

    start_ns: int
    slot_ns: int
    slots: int
    row_0_ms: float
    rows: int
    cells: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything derived from a span table besides the graph. Tuples are sorted, most important first."""

    start_ns: int
    end_ns: int
    traces: int
    spans: int
    services: tuple[ServiceLatency, ...] = ()
    operations: tuple[OperationLatency, ...] = ()
    edges: tuple[EdgeLatency, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    critical: CriticalPaths | None = None
    skews: tuple[ClockSkew, ...] = ()
    causes: tuple[Cause, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    bad_traces: int = 0
    heatmap: Heatmap | None = None
    examples: tuple[ExampleTrace, ...] = ()
    clock_ns: Mapping[str, int] = field(default_factory=dict)
    """Machines whose clocks were corrected for the critical paths, and by how much they are ahead."""
