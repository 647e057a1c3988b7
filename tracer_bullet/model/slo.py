"""Objectives, what became of them, and objectives derived for the parts of a system. `slos.json`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Indicator(Enum):
    """What an objective counts as good: an answer within `threshold_ms`, or an answer without error."""

    LATENCY = "latency"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`target` of the calls of `service` (all its operations, or one) are to be good, over `window_s`.

    `p99 < 300 ms over 5 min` is a latency objective with target 0.99, threshold 300 and window 300. `budget_s` is the
    period of the error budget. `where` is the YAML `file:line` that says so; `owner` is who is told.
    """

    name: str
    service: str
    indicator: Indicator
    target: float
    threshold_ms: float | None = None
    operation: str = ""
    window_s: float = 300.0
    budget_s: float = 30 * 86_400.0
    owner: str = ""
    where: str = ""
    client_errors: bool = False
    """Whether answers that are the client's fault (4xx) count as failures; of availability alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """How many times faster than allowed the budget went, over the worst stretch of `window_s` seconds.

    `fired`: at some moment that stretch and the last `short_s` seconds of it both reached `limit`, as an alert wants.
    """

    window_s: float
    rate: float
    limit: float
    short_s: float = 0.0
    fired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveVerdict:
    """What the spans say of an objective. `met` None: too few calls to tell. Shares are 0 to 1.

    `low` and `high` hold the true share of good calls at 95 % (Wilson). `worst_share` is that of the worst window,
    which starts at `worst_start_ns`. `budget_left` is the share of the period's budget that these calls left.
    """

    objective: Objective
    calls: int
    good: int
    met: bool | None
    share: float
    low: float
    high: float
    windows: int
    windows_missed: int
    worst_share: float
    worst_start_ns: int
    budget_left: float
    burn_rates: tuple[BurnRate, ...]
    measured_ms: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedObjective:
    """An inner objective that an outer one implies: `share` of its time, `calls` for each request of the outer.

    `own`: not about the operation's whole calls but about the time it spends itself, outside of its callees.
    """

    outer: str
    service: str
    operation: str
    depth: int
    calls: float
    share: float
    target: float
    threshold_ms: float
    observed_ms: float
    met_now: bool
    message: str
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivationCheck:
    """Whether inner objectives that hold make the outer one hold, found by resampling the observed spans."""

    outer: str
    resamples: int
    share_low: float
    share_high: float
    target: float
    holds: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SloReport:
    """All objectives of a run; `notes` says which were written down but cannot be judged from traces, and why."""

    verdicts: tuple[ObjectiveVerdict, ...] = ()
    derived: tuple[DerivedObjective, ...] = ()
    checks: tuple[DerivationCheck, ...] = ()
    notes: tuple[str, ...] = ()
