"""Which rate to try next: upwards until the objective breaks, then between. Pure: who holds the rates is elsewhere.

Rates grow by doubling while the objective holds, then the bracket of the highest that held and the lowest that broke is
halved (geometrically) until it is as narrow as was asked for. A hold may err. So a rate counts as broken when two of at
most three holds say so, and the rate that is told as the capacity has held twice. A hold without enough data is held
again once, three times as long. A limit of the generator itself ends the search: what is above it says nothing of the
target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tracer_bullet.load.capacity.usl import fit_usl
from tracer_bullet.model.load import Capacity, CapacityStep
from tracer_bullet.workspace.thresholds import CapacitySpec

_GROWTH: Final = 2.0
_LONGER: Final = 3.0
# Of each hold: until queues are those of the rate, and after an overload longer, since what has piled up must drain.
_SETTLES: Final = 0.25
_SETTLES_AFTER_BREAK: Final = 0.75
# A start that breaks is followed downwards this far.
_LOWEST: Final = 1 / 64
# Less than this share of the rate was sent: the generator cannot do more.
_KEEPS_UP: Final = 0.97
_DEVIATIONS: Final = 4
_MOST_HOLDS: Final = 100
_FOUND: Final = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A rate (iterations a second) to hold for `settle_s` + `hold_s`; only what is due in the second part is judged."""

    rate: float
    settle_s: float
    hold_s: float
    why: str

    @property
    def total_s(self) -> float:
        """How long it takes."""
        return self.settle_s + self.hold_s


@dataclass(slots=True)
class _Rate:
    """What is known of a rate."""

    held: int = 0
    broke: int = 0
    unknown: int = 0
    limited: int = 0

    @property
    def verdict(self) -> bool | None:
        """Two of three; one that held is enough for a while when none broke."""
        if self.broke >= 2:
            return False
        return True if self.held > self.broke or self.held >= 2 else None

    @property
    def open(self) -> bool:
        """Whether another hold of it is worth its time."""
        return self.verdict is None and self.unknown < 2


@dataclass(slots=True)
class Search:
    """Ask `next` for a rate, hold it, tell `observe`; until `next` says None. Then `result`.

    A few dozen holds, and never more than a hundred, whatever is observed.
    """

    spec: CapacitySpec
    hold: Hold | None = None
    """The hold that `next` asked for."""
    _steps: list[CapacityStep] = field(default_factory=list)
    _rates: dict[float, _Rate] = field(default_factory=dict)
    _rate: float = 0.0
    _low: float = 0.0
    _high: float | None = None
    _longer: bool = False
    _ended: str = ""

    def __post_init__(self) -> None:
        self._rate = min(self.spec.start, self.spec.max)

    def next(self) -> float | None:
        """The rate to hold now, for as long as `hold` says; None when the search has ended."""
        if self._ended or len(self._steps) >= _MOST_HOLDS:
            self.hold = None
            return None
        known = self._rates.get(self._rate, _Rate())
        why = "longer" if self._longer else "to confirm" if known.held or known.broke or known.limited else "new"
        long = self.spec.hold_s * (_LONGER if self._longer else 1.0)
        share = _SETTLES_AFTER_BREAK if self._steps and self._steps[-1].held is False else _SETTLES
        self.hold = Hold(rate=self._rate, settle_s=self.spec.hold_s * share, hold_s=long, why=why)
        return self._rate

    def observe(self, step: CapacityStep, *, sent_rate: float | None = None, late: bool = False) -> None:
        """What came of the hold. `step.held`: whether the objective held, None without enough data. `sent_rate`: how
        many iterations a second the generator really began, whatever became of them; `late`: it was late by its own
        fault.

        Raises ValueError when the step is not of the rate that `next` gave.
        """
        if self.hold is None or not math.isclose(step.rate, self.hold.rate):
            raise ValueError(f"no hold of {step.rate:g}/s was asked for")
        limit = self._limit(sent_rate, late=late)
        self._steps.append(replace(step, detail="; ".join(p for p in (step.detail, limit) if p)))
        known = self._rates.setdefault(self._rate, _Rate())
        if limit:
            known.limited += 1
            if known.limited >= 2:
                self._end_at_limit(step, sent_rate, limit)
            return
        if step.held is None:
            known.unknown += 1
        elif step.held:
            known.held += 1
        else:
            known.broke += 1
        # The third hold decides between two that differ: it had better be sure.
        self._longer = known.open and (step.held is None or known.held > 0)
        if not known.open:
            self._go_on(known.verdict)

    def result(self, saturated: Sequence[tuple[str, float]] = ()) -> Capacity:
        """What was found, at any time."""
        points = [(s.concurrency, s.achieved) for s in self._steps if s.concurrency > 0 and s.achieved > 0]
        return Capacity(
            low=self._low,
            high=self._high,
            steps=tuple(self._steps),
            usl=fit_usl(points),
            saturated=tuple(saturated),
            detail=self._detail(),
        )

    def _limit(self, sent_rate: float | None, *, late: bool) -> str:
        rate = self._rate
        # So few may come by chance alone when arrivals are Poisson's.
        chance = _DEVIATIONS * math.sqrt(rate / self.hold.hold_s) if self.hold and self.hold.hold_s > 0 else 0.0
        if sent_rate is not None and sent_rate < _KEEPS_UP * rate - chance:
            return f"the generator sent {sent_rate:.4g}/s of {rate:.4g}/s"
        return "the generator was late" if late else ""

    def _end_at_limit(self, step: CapacityStep, sent_rate: float | None, limit: str) -> None:
        if step.held and sent_rate is not None and self._high is None:
            self._low = max(self._low, min(sent_rate, self._rate))
        self._ended = f"{limit}: this is the limit of the generator, not of the target"

    def _go_on(self, verdict: bool | None) -> None:
        if verdict is True:
            self._low = self._rate
        elif verdict is False:
            self._high = self._rate
            if self._low >= self._rate:  # it had held once, and did not again
                self._low = max(
                    (r for r, known in self._rates.items() if r < self._rate and known.verdict), default=0.0
                )
        if self._high is not None:
            self._narrow(self._high, verdict)
        elif (higher := min(self._rate * _GROWTH, self.spec.max)) not in self._rates:
            self._rate = higher
        elif not self._to_confirm():
            told = "up to the most that was asked for" if verdict else "and whether it holds at the most cannot be told"
            self._ended = f"the objective did not break, {told} ({self.spec.max:g}/s)"

    def _narrow(self, high: float, verdict: bool | None) -> None:
        precision = self.spec.precision + 1e-9
        below = max((rate for rate in self._rates if rate < high), default=0.0)
        if verdict is None:
            self._ended = f"not enough data at {self._rate:.4g}/s: hold each rate longer"
        elif self._low > 0:
            if high / self._low - 1 > precision:
                self._rate = math.sqrt(self._low * high)
            elif not self._to_confirm():
                self._ended = _FOUND
        elif below > 0:
            # Those could not be told: too few requests for the objective. Between, there may be enough.
            if high / below - 1 <= precision:
                self._ended = f"not enough data at {below:.4g}/s and below: hold each rate longer"
            self._rate = math.sqrt(below * high)
        elif high <= self.spec.start * _LOWEST:
            self._ended = "the objective does not even hold at a small part of the rate it began with"
        else:
            self._rate = high / _GROWTH

    def _to_confirm(self) -> bool:
        """Go back to the rate that would be the capacity, if it was held but once."""
        known = self._rates.get(self._low)
        if known is None or known.held >= 2:
            return False
        self._rate = self._low
        return True

    def _detail(self) -> str:
        parts = []
        if self._low > 0:
            parts.append(f"held at {self._low:.4g}/s{self._times(self._low)}")
        if self._high is not None:
            parts.append(f"broke at {self._high:.4g}/s{self._times(self._high)}")
        if self._low > 0 and self._high is None:
            parts.append(f"capacity is at least {self._low:.4g}/s")
        if self._ended != _FOUND:
            parts.append(self._ended or "the search was not finished")
        return "; ".join(parts)

    def _times(self, rate: float) -> str:
        known = self._rates.get(rate)
        if known is None:
            return ""
        n = known.held + known.broke
        hits = known.broke if rate == self._high else known.held
        return f" ({hits} of {n} holds)"
