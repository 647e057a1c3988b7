"""A rate over time in pieces, its integral, and the integral's inverse. Pure; columns, since there may be thousands.

The integral N(t) is the number of iterations that are expected to have begun by t. Its inverse says when the nth one is
due: a process of unit rate, mapped through it, has the given rate (E. Çinlar, Introduction to Stochastic Processes,
1975, chapter 4.7: the inversion method; the other way round it is the time-rescaling theorem).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

NS: Final = 1_000_000_000
# The bracket is halved at least every second round: from a period of days to below a nanosecond.
_ROUNDS: Final = 128
_CLOSE_S: Final = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`length_s` seconds in which the rate is `rate` + `slope` × t + `swing` × sin(2πt ÷ `period_s`), t from its
    beginning; never below 0. `slope` and `swing` are not both given."""

    length_s: float
    rate: float
    slope: float = 0.0
    swing: float = 0.0
    period_s: float = 1.0

    def rate_at(self, t_s: float) -> float:
        """The rate so long after its beginning."""
        wave = self.swing * math.sin(2 * math.pi * t_s / self.period_s) if self.swing else 0.0
        return max(0.0, self.rate + self.slope * t_s + wave)

    def integral(self, t_s: float) -> float:
        """How many iterations until then."""
        wave = self.period_s / math.pi * self.swing * math.sin(math.pi * t_s / self.period_s) ** 2 if self.swing else 0
        return self.rate * t_s + self.slope * t_s * t_s / 2 + wave


class Intensity:
    """Pieces, one after the other. `span_s` is how long all take, `total` the whole integral."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = tuple(pieces)
        lengths = [p.length_s for p in pieces]
        counts = [p.integral(p.length_s) for p in pieces]
        self._begins_s = np.concatenate(([0.0], np.cumsum(lengths)))
        self._begins_n = np.concatenate(([0.0], np.cumsum(counts)))
        self._begins_ns: Ints = np.rint(self._begins_s * NS).astype(np.int64)
        self._lengths = np.array(lengths, dtype=np.float64)
        self._rates = np.array([p.rate for p in pieces], dtype=np.float64)
        self._slopes = np.array([p.slope for p in pieces], dtype=np.float64)
        self._swings = np.array([p.swing for p in pieces], dtype=np.float64)
        self._periods = np.array([p.period_s for p in pieces], dtype=np.float64)
        self.span_s = float(self._begins_s[-1])
        self.total = float(self._begins_n[-1])

    def rate_at(self, t_s: float) -> float:
        """Iterations a second at this time; 0 before and after."""
        if not 0 <= t_s < self.span_s:
            return 0.0
        at = self._at(t_s)
        return self._pieces[at].rate_at(t_s - float(self._begins_s[at]))

    def until(self, t_s: float) -> float:
        """N(t)."""
        if t_s >= self.span_s or t_s <= 0:
            return self.total if t_s > 0 else 0.0
        at = self._at(t_s)
        return float(self._begins_n[at]) + self._pieces[at].integral(t_s - float(self._begins_s[at]))

    def when_ns(self, counts: Floats) -> Ints:
        """N⁻¹: for each count from 0 to `total` in ascending order, when it is reached, in ns; ascending.

        Where the rate is 0 for a while, a count is reached at the end of that.
        """
        at = np.searchsorted(self._begins_n, counts, side="right") - 1
        np.clip(at, 0, len(self._pieces) - 1, out=at)
        left = np.maximum(counts - self._begins_n[at], 0.0)
        rate, slope = self._rates[at], self._slopes[at]
        # The root of slope/2 t² + rate t = left in the form that loses no digits.
        below = rate + np.sqrt(np.maximum(rate * rate + 2 * slope * left, 0.0))
        local = np.divide(2 * left, below, out=np.zeros_like(left), where=below > 0)
        waves = np.flatnonzero(self._swings[at])
        if len(waves):
            local[waves] = self._on_wave(left[waves], at[waves])
        np.minimum(local, self._lengths[at], out=local)
        due: Ints = self._begins_ns[at] + np.rint(local * NS).astype(np.int64)
        last: Ints = self._begins_ns[at + 1]
        return np.asarray(np.minimum(due, last), dtype=np.int64)

    def _at(self, t_s: float) -> int:
        return int(np.searchsorted(self._begins_s, t_s, side="right")) - 1

    def _on_wave(self, left: Floats, at: Ints) -> Floats:
        """Where rate × t + swing × period ÷ π × sin²(πt ÷ period) is `left`: Newton's method, kept inside a bracket,
        which is halved where a step would leave it (W. H. Press et al., Numerical Recipes, 9.4: rtsafe)."""
        rate, swing, period = self._rates[at], self._swings[at], self._periods[at]
        whole = np.floor(left / (rate * period))
        left = left - whole * rate * period
        low, high = np.zeros_like(left), period.copy()
        t = np.clip(left / rate, low, high)
        for turn in range(_ROUNDS):
            over = rate * t + swing * period / np.pi * np.sin(np.pi * t / period) ** 2 - left
            high, low = np.where(over > 0, t, high), np.where(over > 0, low, t)
            slope = rate + swing * np.sin(2 * np.pi * t / period)
            step = np.divide(over, slope, out=np.full_like(over, np.inf), where=slope > 0)
            halved = (low + high) / 2
            wanted = t - step
            # Every second round halves: at the bottom of a wave that touches 0, Newton's steps are too short.
            inside = (wanted > low) & (wanted < high) & (turn % 2 == 0)
            nearer = np.where(inside, wanted, halved)
            settled = (np.abs(step) < _CLOSE_S) | (high - low < _CLOSE_S)
            t = np.where(settled, t, nearer)
            if settled.all():
                break
        return np.asarray(whole * period + t, dtype=np.float64)
