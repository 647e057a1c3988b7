"""Five steps of how bad a part is, by errors or by latency: they colour the service map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from tracer_bullet.report import text
from tracer_bullet.report.shape import Level
from tracer_bullet.report.timing_view import finite

STEPS = 5
NOTHING = Level(step=0, text="")
ERROR_STEPS = ("no errors", "under 0.1 %", "under 1 %", "under 5 %", "5 % and more")
_ERROR_LIMITS = (0.0, 0.001, 0.01, 0.05)


def error_level(errors: int, calls: int) -> Level:
    """The step of a share of errors: limits are 0, 0.1 %, 1 % and 5 %. Without calls nothing is known."""
    if calls <= 0:
        return NOTHING
    share = errors / calls
    step = 1 if share <= 0 else next((i + 1 for i, top in enumerate(_ERROR_LIMITS) if share < top), STEPS)
    return Level(step=step, text=f"{text.percent(errors, calls)} errors" if errors else "no errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySteps:
    """Limits in milliseconds between the five steps, of equal ratio (2 at least, so that like looks alike)."""

    limits_ms: tuple[float, ...]

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> LatencySteps:
        """Steps from the quickest to the slowest of these."""
        known = [v for v in map(finite, values_ms) if v > 0]
        high = max(known, default=1.0)
        low = max(min(known, default=1.0), high * 1e-5)
        ratio = max((high / low) ** (1 / STEPS), 2.0)
        return cls(limits_ms=tuple(_round(high / ratio**i) for i in range(STEPS - 1, 0, -1)))

    def level(self, value_ms: float) -> Level:
        """The step of a duration."""
        if not math.isfinite(value_ms):
            return NOTHING
        step = 1 + sum(1 for limit in self.limits_ms if value_ms >= limit)
        return Level(step=step, text=f"p95 {text.ms(value_ms)}")

    def texts(self) -> tuple[str, ...]:
        """What each step means."""
        ends = [text.ms(limit) for limit in self.limits_ms]
        return (f"under {ends[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(ends)), f"from {ends[-1]}")


def _round(value: float) -> float:
    """Two digits, so that limits read well."""
    return float(f"{value:.2g}")
