"""Durations as the report shows them: quantiles as text, bars, and histograms on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tracer_bullet.model import Distribution, Latency
from tracer_bullet.model.distribution import GROWTH
from tracer_bullet.report import text
from tracer_bullet.report.shape_base import Bar, Histogram, Tick, Timing, TraceRef

BINS = 60
_TICKS = 7
# Shorter durations are drawn at the axis' left end: no instrumentation measures them.
_LOWEST_NS = 1_000.0
_LOG_GROWTH = math.log10(GROWTH)
QUANTILES = ("p50", "p90", "p95", "p99", "p99.9", "slowest")


def timing(latency: Latency, scale: float, histogram: Histogram | None = None) -> Timing:
    """Quantiles as text, with a bar in per mille of `scale` (milliseconds; 0 gives empty bars)."""

    def place(value: float) -> float:
        return round(1000 * min(finite(value) / scale, 1.0), 1) if scale else 0.0

    return Timing(
        ms=latency,
        p50=text.ms(latency.p50_ms),
        p90=text.ms(latency.p90_ms),
        p95=text.ms(latency.p95_ms),
        p99=text.ms(latency.p99_ms),
        p999=text.ms(latency.p999_ms),
        max=text.ms(latency.max_ms),
        bar=Bar(p50=place(latency.p50_ms), p95=place(latency.p95_ms)),
        histogram=histogram,
    )


def quantile_texts(latency: Latency) -> tuple[str, ...]:
    """The values of `QUANTILES`, as text."""
    found = (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
    return tuple(text.ms(v) for v in found)


def scale_of(latencies: Iterable[Latency]) -> float:
    """The largest p95 in milliseconds; 0 when there is none."""
    return max((finite(found.p95_ms) for found in latencies), default=0.0)


def finite(value: float) -> float:
    """A number that can be drawn and sorted: what is negative, infinite or no number is 0."""
    return value if 0 <= value < 1e300 else 0.0


def errors_text(errors: int, calls: int) -> str:
    """`12 (0.3 %)`, or `0`."""
    return f"{text.count(errors)} ({text.percent(errors, calls)})" if errors else "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A logarithmic time axis from `low_ns` to `high_ns`, both powers of ten, over 1000 units."""

    low_ns: float = _LOWEST_NS
    high_ns: float = 1e9

    @classmethod
    def of(cls, distributions: Iterable[Distribution]) -> Axis:
        """The narrowest axis on which all of them lie."""
        known = [d for d in distributions if d.buckets]
        if not known:
            return cls()
        low = max(min(d.min_ns for d in known), _LOWEST_NS)
        high = max(low, *(d.max_ns for d in known))
        low_ns = 10.0 ** math.floor(math.log10(low))
        return cls(low_ns=low_ns, high_ns=max(10.0 ** math.ceil(math.log10(high)), 10 * low_ns))

    @property
    def decades(self) -> int:
        """How many powers of ten it spans."""
        return round(math.log10(self.high_ns / self.low_ns))

    def ticks(self) -> tuple[Tick, ...]:
        """A label at every power of ten, or at every second or third where they would be too many."""
        step = -(-self.decades // _TICKS)
        exponents = range(0, self.decades + 1, step)
        return tuple(
            Tick(at=round(100 * e / self.decades, 2), text=tick_text(self.low_ns * 10.0**e)) for e in exponents
        )

    def histogram(self, distribution: Distribution) -> Histogram | None:
        """Its shape in `BINS` bins of equal ratio, the fullest as high as the box; None when it is empty."""
        if not distribution.buckets:
            return None
        bins = [0] * BINS
        width, start = _LOG_GROWTH * BINS / self.decades, math.log10(self.low_ns) * BINS / self.decades
        for bucket, n in distribution.buckets:
            bins[min(max(int((bucket + 0.5) * width - start), 0), BINS - 1)] += n
        spread = f"{text.ms(distribution.min_ns / 1e6)} to {text.ms(distribution.max_ns / 1e6)}"
        label = f"{text.plural(distribution.count, 'duration')} from {spread}"
        return Histogram(path=_steps(bins), label=f"{label}, half of them within {_half(distribution)}")


def _half(distribution: Distribution) -> str:
    return text.ms(distribution.quantile_ns(0.5) / 1e6)


def _steps(bins: Sequence[int]) -> str:
    """Filled steps, one closed subpath a run of bins that are not empty; a full bin reaches y 0."""
    top = max(bins)
    edges = [round(1000 * i / len(bins)) for i in range(len(bins) + 1)]
    path, inside = [], False
    for i, n in enumerate(bins):
        if n:
            height = max(3, round(100 * n / top))  # a single slow call must be seen
            path.append(f"{'' if inside else f'M{edges[i]} 100'}V{100 - height}H{edges[i + 1]}")
        elif inside:
            path.append("V100Z")
        inside = n > 0
    return "".join(path) + ("V100Z" if inside else "")


def tick_text(ns: float) -> str:
    """A round duration for an axis: `10 µs`, `1 ms`, `2.5 s`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size * 0.999:
            return f"{ns / size:,.3g} {unit}"
    return f"{ns:.0f} ns"


def trace_refs(trace_ids: Iterable[str], keys: Mapping[str, str], limit: int = 3) -> tuple[TraceRef, ...]:
    """Traces to look at, those that the document shows first; `keys` is example keys by trace id."""
    ordered = sorted(dict.fromkeys(trace_ids), key=lambda i: i not in keys)
    return tuple(TraceRef(id=text.line(i, 40), key=keys.get(i, "")) for i in ordered[:limit])
