"""Which scenario an iteration is of, by weights. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_BLOCK: Final = 1024
_MOST_BLOCK: Final = 65_536
_PRECISE: Final = 10_000
_WORD: Final = 1 << 64
_ORDER: Final = 3  # a stream beside those of profile/arrivals.py, in case the seeds are the same


class Mix:
    """Iterations come in blocks that have exactly the same number of each scenario, in an order drawn for each block.

    So shares are those of the weights at any length (to one in 65,536 where they are no simple fractions), and the rank
    of an iteration among those of its scenario is known without counting from the first one on.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self.counts = _counts(weights)
        self.block = sum(self.counts)
        self._key = seed % _WORD + _ORDER * _WORD
        # A sender is in few blocks at a time; users may be in some more.
        self._blocks = lru_cache(maxsize=16)(self._drawn)

    def of(self, number: int) -> tuple[int, int]:
        """(scenario, its rank among the iterations of this scenario)."""
        if len(self.counts) == 1:
            return 0, number
        block, place = divmod(number, self.block)
        scenarios, ranks = self._blocks(block)
        scenario = int(scenarios[place])
        return scenario, block * self.counts[scenario] + int(ranks[place])

    def scenarios(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The scenario of each number; numbers ascend."""
        if len(self.counts) == 1 or not len(numbers):
            return np.zeros(len(numbers), dtype=np.int64)
        blocks = numbers // self.block
        cuts = np.flatnonzero(np.diff(blocks)) + 1
        parts = [self._blocks(int(some[0] // self.block))[0][some % self.block] for some in np.split(numbers, cuts)]
        return np.concatenate(parts)

    def number_of(self, scenario: int, rank: int) -> int:
        """The iteration that has this rank among those of the scenario: the inverse of `of`."""
        if len(self.counts) == 1:
            return rank
        block, within = divmod(rank, self.counts[scenario])
        scenarios, _ = self._blocks(block)
        return block * self.block + int(np.flatnonzero(scenarios == scenario)[within])

    def _drawn(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The scenario of each place of a block, and its rank there."""
        words = np.random.Philox(key=self._key, counter=block * _WORD).random_raw(self.block)
        ordered = np.repeat(np.arange(len(self.counts)), self.counts)
        places = np.argsort(words, kind="stable")
        scenarios = np.empty(self.block, dtype=np.int64)
        scenarios[places] = ordered
        ranks = np.empty(self.block, dtype=np.int64)
        for scenario, count in enumerate(self.counts):
            ranks[scenarios == scenario] = np.arange(count)
        return scenarios, ranks


def _counts(weights: Sequence[float]) -> tuple[int, ...]:
    """How many of each scenario a block has: exactly by the weights where that takes no huge block."""
    if len(weights) == 1:
        return (1,)
    fractions = [Fraction(w).limit_denominator(_PRECISE) for w in weights]
    least = math.lcm(*(f.denominator for f in fractions))
    wholes = [int(f * least) for f in fractions]
    divisor = math.gcd(*wholes)
    total = sum(wholes) // divisor if divisor else 0
    if 0 < total <= _MOST_BLOCK and all(
        w and math.isclose(w / least, weight, rel_tol=1e-9) for w, weight in zip(wholes, weights, strict=True)
    ):
        times = math.ceil(_LEAST_BLOCK / total)
        return tuple(w // divisor * times for w in wholes)
    exact = [max(1.0, w / sum(weights) * _MOST_BLOCK) for w in weights]
    return tuple(round(e) for e in exact)
