"""The stages of a scenario's `load` as one schedule, the same on every sender. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np

from tracer_bullet.load.profile.arrivals import Even, Poisson, Spread
from tracer_bullet.load.profile.levels import Levels, Span
from tracer_bullet.load.profile.pieces import NS, Intensity, Ints
from tracer_bullet.load.profile.shapes import Curve, pieces_of
from tracer_bullet.load.profile.words import words_of
from tracer_bullet.workspace.traffic import StageSpec

_NONE: Final[Mapping[str, Curve]] = {}


class Profile:
    """Rates: iteration n is due where the integral of the rate reaches n's place, which is n + 0.5 (`even`), or the nth
    point of a Poisson process of unit rate. Users: how many there are.

    `span_s` is how long all stages take, `total` how many iterations there are: exactly the integral of the rate,
    rounded (`even`), or a Poisson number around it; 0 for users, whose iterations nobody knows beforehand. `curves`: of
    each archive that a stage names, (second from its first request on, requests in it); seconds without any may lack.

    Depends on nothing but its arguments. Raises UsageError TB1001 for a curve without requests, TB1002 where nothing
    begins.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        *,
        arrivals: Literal["even", "poisson"] = "even",
        seed: int = 1,
        curves: Mapping[str, Curve] = _NONE,
    ) -> None:
        made = pieces_of(stages, curves)
        flat = [piece for some in made for piece in some]
        self.is_open = stages[0].is_open
        self.span_s = sum(p.length_s for p in flat)
        self._words = words_of(stages, made)
        self._rate = Intensity(flat) if self.is_open else None
        self._users = None if self.is_open else Levels(flat)
        length = self._rate.total if self._rate is not None else 0.0
        self._spread: Spread = Poisson(length, seed) if arrivals == "poisson" and length > 0 else Even(length)
        self.total = self._spread.total

    @property
    def most_users(self) -> int:
        """The most users at any time; 0 for rates."""
        return 0 if self._users is None else self._users.most

    def due_ns(self, first: int = 0) -> Iterator[Ints]:
        """When iterations from number `first` on are due, in ns from the schedule's start, ascending, in blocks."""
        if self._rate is None:
            return
        number = max(0, first)
        while number < self.total:
            block = self._spread.block_of(number)
            begin = self._spread.first_of(block)
            due = self._rate.when_ns(self._spread.places(block))
            yield due[number - begin :]
            number = begin + len(due)

    def first_at(self, at_ns: int) -> int:
        """The number of the first iteration that is due at this time or after; `total` when none is."""
        if self._rate is None:
            return 0
        # A place may be rounded to the nanosecond before: so the block before is looked at too.
        block = max(0, self._spread.block_at(self._rate.until(at_ns / NS)) - 1)
        number = self._spread.first_of(block)
        for due in self.due_ns(number):
            if due[-1] >= at_ns:
                return number + int(np.searchsorted(due, at_ns))
            number += len(due)
        return number

    def rate_at(self, t_s: float) -> float:
        """Iterations that begin in a second at this time; 0 for users."""
        return 0.0 if self._rate is None else self._rate.rate_at(t_s)

    def expected(self, t_s: float) -> float:
        """How many iterations are expected to have begun by this time: the integral of the rate; 0 for users."""
        return 0.0 if self._rate is None else self._rate.until(t_s)

    def users_at(self, t_s: float) -> int:
        """How many users there are at this time; 0 for rates."""
        return 0 if self._users is None else self._users.at(t_s)

    def user_spans(self, user: int) -> tuple[Span, ...]:
        """From when to when this user (from 0 on) is there, in ns from the schedule's start."""
        return () if self._users is None else self._users.spans(user)

    def lines(self) -> tuple[str, ...]:
        """The stages in words, one a line."""
        return self._words
