"""Where iterations fall on the line of rescaled time, on which one begins in each unit on average. Pure.

Both ways are random access: any sender can begin at any iteration, without walking there from the first one.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np

from tracer_bullet.load.profile.pieces import Floats, Ints

_BLOCK: Final = 8192
_MOST_BLOCKS: Final = 65_536
_WORD: Final = 1 << 64
# Streams of random numbers that must not be the same.
_COUNTS, _PLACES = 1, 2
_TAIL: Final = 12.0


class Spread(Protocol):
    """Iterations in blocks. `total` is how many there are."""

    total: int

    def block_of(self, number: int) -> int:
        """The block that holds this iteration; one after the last when there is none."""

    def block_at(self, count: float) -> int:
        """The block in which this place of the rescaled time is."""

    def first_of(self, block: int) -> int:
        """The number of a block's first iteration."""

    def places(self, block: int) -> Floats:
        """Where its iterations are, ascending."""


class Even:
    """Iteration n at n + 0.5. So there are `round(length)`, and in any stretch one more or one less than its length at
    most."""

    def __init__(self, length: float) -> None:
        self.total = max(0, math.ceil(length - 0.5))

    def block_of(self, number: int) -> int:
        """The block that holds this iteration."""
        return number // _BLOCK

    def block_at(self, count: float) -> int:
        """The block in which this place is."""
        return int(count) // _BLOCK

    def first_of(self, block: int) -> int:
        """The number of its first iteration."""
        return min(block * _BLOCK, self.total)

    def places(self, block: int) -> Floats:
        """Where its iterations are."""
        return np.arange(self.first_of(block), self.first_of(block + 1), dtype=np.float64) + 0.5


class Poisson:
    """A Poisson process of unit rate: how many fall into each block of fixed length is drawn first, and in the block
    they are as many uniform places in order, which is the same process (J. Kingman, Poisson Processes, 1993, 2.4; L.
    Devroye, Non-Uniform Random Variate Generation, 1986, VI.1.3). Unlike a walk of exponential gaps, a block needs no
    block before it but for the running sum of the counts, which is one number a block.

    Random words come from Philox by block (J. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011), raw,
    since of all that numpy draws only these are promised to stay the same from version to version.
    """

    def __init__(self, length: float, seed: int) -> None:
        self._key = seed % _WORD
        self._length = length
        self._width = max(float(_BLOCK), length / _MOST_BLOCKS)
        blocks = max(1, math.ceil(length / self._width))
        chances = _uniform(np.random.Philox(key=self._key + _COUNTS * _WORD).random_raw(blocks))
        counts = _poisson(self._width, chances)
        counts[-1:] = _poisson(length - (blocks - 1) * self._width, chances[-1:])
        self._ends: Ints = np.concatenate(([0], np.cumsum(counts)))
        self.total = int(self._ends[-1])

    def block_of(self, number: int) -> int:
        """The block that holds this iteration."""
        return int(np.searchsorted(self._ends, number, side="right")) - 1

    def block_at(self, count: float) -> int:
        """The block in which this place is."""
        return min(int(count / self._width), len(self._ends) - 2)

    def first_of(self, block: int) -> int:
        """The number of its first iteration."""
        return int(self._ends[min(block, len(self._ends) - 1)])

    def places(self, block: int) -> Floats:
        """Where its iterations are."""
        if block >= len(self._ends) - 1:
            return np.empty(0)
        size = int(self._ends[block + 1] - self._ends[block])
        source = np.random.Philox(key=self._key + _PLACES * _WORD, counter=block * _WORD)
        begin = block * self._width
        places = _uniform(source.random_raw(size))
        places.sort()
        return np.minimum(begin + places * min(self._width, self._length - begin), self._length)


def _uniform(words: object) -> Floats:
    """Words of 64 random bits as numbers from 0 to below 1, as `random.random` makes them."""
    return np.asarray((np.asarray(words, dtype=np.uint64) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _poisson(mean: float, chances: Floats) -> Ints:
    """Poisson numbers by inversion of the distribution, of which all but 1e-30 is in the table."""
    if mean <= 0:
        return np.zeros(len(chances), dtype=np.int64)
    reach = _TAIL * math.sqrt(mean)
    low, high = max(0, int(mean - reach)), int(mean + reach) + 40
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(low, high)]
    table = np.cumsum(np.exp(logs))
    return low + np.searchsorted(table / table[-1], chances, side="right").astype(np.int64)
