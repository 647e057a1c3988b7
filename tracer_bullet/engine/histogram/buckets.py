"""HdrHistogram's bucket layout as numpy arithmetic: 1 µs to 1 h, 3 significant digits, values in whole microseconds.

The layout is that of http://hdrhistogram.org (Java: `countsArrayIndex`): buckets double in width, each of
`SUB_BUCKETS / 2` slots but the first, which has all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3
# The power of two that holds 2 × 10^DIGITS; below it each microsecond has its own slot.
SUB_BUCKETS: Final = 2048
_HALF: Final = SUB_BUCKETS // 2
_HALF_BITS: Final = _HALF.bit_length() - 1
_BUCKETS: Final = HIGHEST_US.bit_length() - SUB_BUCKETS.bit_length() + 2
SLOTS: Final = (_BUCKETS + 1) * _HALF


def slots_of_ns(values_ns: Ints) -> Ints:
    """The slot of each time, in nanoseconds. Below 0 counts as 0, above an hour as an hour; µs are rounded down."""
    us = np.clip(values_ns // 1000, 0, HIGHEST_US)
    # frexp's exponent is the bit length, exactly so below 2^53.
    bucket = np.frexp((us | (SUB_BUCKETS - 1)).astype(np.float64))[1].astype(np.int64) - (_HALF_BITS + 1)
    return (bucket << _HALF_BITS) + (us >> bucket)


def _bounds() -> tuple[Ints, Ints]:
    slots = np.arange(SLOTS, dtype=np.int64)
    bucket = np.maximum((slots >> _HALF_BITS) - 1, 0)
    lowest = (slots - (bucket << _HALF_BITS)) << bucket
    return lowest, np.int64(1) << bucket


# Of each slot, in µs: its lowest value, and how many values it holds.
LOWEST, WIDTH = _bounds()
HIGHEST: Final = LOWEST + WIDTH - 1
MEDIAN: Final = LOWEST + (WIDTH >> 1)
