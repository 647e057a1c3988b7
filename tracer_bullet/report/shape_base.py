"""The small parts that every view of the document is made of. See `shape` for the invariants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tracer_bullet.model import Latency


class Tone(StrEnum):
    """How a thing is to be felt. Every output shows it by a sign or a word too, never by colour alone."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"
    WARN = "warn"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A labelled value."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A headline number: `value` large, `note` small."""

    label: str
    value: str
    note: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRef:
    """A trace that proves something. `key` is the example's on the page, "" where the trace is not shown."""

    id: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label on an axis; `at` in per cent."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often which durations were met: an SVG path in a box of 1000 × 100, its foot at the bottom.

    All histograms of a document share one logarithmic time axis. `label` says it in words.
    """

    path: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Where p50 and p95 lie, in per mille of the largest p95 of the table."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Quantiles as numbers (milliseconds) and as text, with their bar, and their histogram where one is known."""

    ms: Latency
    p50: str
    p90: str
    p95: str
    p99: str
    p999: str
    max: str
    bar: Bar
    histogram: Histogram | None = None
