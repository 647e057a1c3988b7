"""What changed between two sets of traces. `drift.json`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Change(Enum):
    """What became of an edge or of a latency."""

    CAME = "came"
    WENT = "went"
    SLOWER = "slower"
    FASTER = "faster"
    MORE_ERRORS = "more-errors"
    FEWER_ERRORS = "fewer-errors"
    SAME = "same"
    UNKNOWN = "not-enough-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDrift:
    """An edge (node ids) that only one set has. `expected`: calls that the other set should have shown, at the same
    rate a trace; `p_value` of its not being there by chance, corrected for how many edges were looked at."""

    source: str
    target: str
    change: Change
    calls: int
    expected: float
    p_value: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyDrift:
    """A quantile of one operation, before and after. `low_ms` to `high_ms` is the 95 % interval of the difference;
    `effect` is Cliff's delta (−1 faster … 1 slower), `magnitude` its usual word."""

    service: str
    operation: str
    quantile: float
    before_calls: int
    after_calls: int
    before_ms: float
    after_ms: float
    difference_ms: float
    low_ms: float
    high_ms: float
    effect: float
    magnitude: str
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDrift:
    """An operation's share of errors, before and after, with the 95 % interval of the difference."""

    service: str
    operation: str
    before_calls: int
    after_calls: int
    before: float
    after: float
    low: float
    high: float
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All that changed from run `before` to run `after`; `regressed` is what makes CI stop, most important first.

    Of all comparisons `judged` had an answer and `unknown` had not: too few calls to show or to exclude a change.
    """

    before: str
    after: str
    edges: tuple[EdgeDrift, ...] = ()
    latencies: tuple[LatencyDrift, ...] = ()
    errors: tuple[ErrorDrift, ...] = ()
    regressed: tuple[str, ...] = ()
    unknown: int = 0
    judged: int = 0
    before_traces: int = 0
    after_traces: int = 0
