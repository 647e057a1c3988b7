"""Error budgets and how fast they burn, from counts in minutes. Pure.

After Google's Site Reliability Workbook, chapter 5, "Alerting on SLOs", approach 6 (multiwindow, multi-burn-rate
alerts, table 5-8): 2 % of a 30-day budget in 1 h is a burn rate of 14.4, 5 % in 6 h is 6, 10 % in 3 d is 1; the short
window is a twelfth of the long one. https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tracer_bullet.model import BurnRate

MINUTE_NS: Final = 60_000_000_000
# (long window, short window, share of the budget that the long one may use), seconds.
ALERTS: Final = ((3_600.0, 300.0, 0.02), (21_600.0, 1_800.0, 0.05), (259_200.0, 21_600.0, 0.10))
_MAX_MINUTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """Calls in minutes since the epoch: `minute` ascending, each with calls; `first` to `last` are covered by data."""

    minute: npt.NDArray[np.int64]
    calls: npt.NDArray[np.int64]
    bad: npt.NDArray[np.int64]
    first: int
    last: int

    def within(self, ends: npt.NDArray[np.int64], length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Calls and bad calls in the `length` minutes up to each of `ends`, these included."""
        until = np.searchsorted(self.minute, ends, side="right")
        since = np.searchsorted(self.minute, ends - length, side="right")
        calls, bad = (np.concatenate(([0], np.cumsum(column))) for column in (self.calls, self.bad))
        return calls[until] - calls[since], bad[until] - bad[since]


def burn_rates(minutes: Minutes, *, target: float, budget_s: float) -> tuple[BurnRate, ...]:
    """The worst burn rate in each of the alerts' windows that the data covers whole.

    A rate is the share of bad calls over the share allowed: 1 uses the budget up in exactly its period. Limits are
    scaled to `budget_s`; one below 1 would alert within the budget and is left out. Windows slide by the minute.
    """
    found = []
    for long_s, short_s, part in ALERTS:
        limit = round(part * budget_s / long_s, 6)
        long, short = int(long_s // 60), int(short_s // 60)
        if limit < 1 or minutes.last - minutes.first + 1 < long:
            continue
        ends = _ends(minutes, long)
        slow, fast = (_rate(*minutes.within(ends, length), target) for length in (long, short))
        fired = bool(np.any((slow >= limit) & (fast >= limit)))
        found.append(BurnRate(window_s=long_s, rate=float(slow.max()), limit=limit, short_s=short_s, fired=fired))
    return tuple(found)


def budget_left(minutes: Minutes, *, target: float, budget_s: float) -> float:
    """The share of the period's budget that is left; negative when more was used than there is.

    Data that covers less than the period is taken to go on at its rate of calls, without further bad ones: what these
    calls used of it. Of data that covers more, the last period counts.
    """
    period = max(int(budget_s // 60), 1)
    covered = minutes.last - minutes.first + 1
    calls, bad = minutes.within(np.asarray([minutes.last]), min(period, covered))
    allowed = (1 - target) * float(calls[0]) * max(period / covered, 1.0)
    return 1.0 - float(bad[0]) / allowed if allowed > 0 else 1.0 - float(bad[0])


def _ends(minutes: Minutes, length: int) -> npt.NDArray[np.int64]:
    first = minutes.first + length - 1
    if minutes.last - first < _MAX_MINUTES:
        return np.arange(first, minutes.last + 1, dtype=np.int64)
    return np.append(minutes.minute[minutes.minute >= first], minutes.last)  # clocks years apart


def _rate(calls: npt.NDArray[np.int64], bad: npt.NDArray[np.int64], target: float) -> npt.NDArray[np.float64]:
    # Rounded, so that a burn of exactly the limit counts as reaching it.
    return np.asarray(np.round(bad / np.maximum(calls, 1) / (1 - target), 9))
