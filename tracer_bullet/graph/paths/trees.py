"""What a span has from all its ancestors, for all spans at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.integer[Any]]
Ids: TypeAlias = npt.NDArray[np.uint64]
Combine = Callable[[Any, Any], Any]

NOBODY = -1
_ROOM = 1 << 61


def fold(parents: Ints, *folds: tuple[npt.NDArray[Any], Combine]) -> Ints:
    """Fold each span's value with those of all its ancestors, in place; returns each span's topmost ancestor.

    `parents` are indices, NOBODY at the top. Each of `folds` is an array of values and an
    associative, idempotent function of two arrays (np.maximum, np.logical_or). The top of a span whose
    ancestors go round in a circle is one of them, and its values mean nothing. Pointer doubling:
    log2(depth) passes over the spans that are not there yet.
    """
    jump = np.where(parents == NOBODY, np.arange(len(parents)), parents)
    active = np.flatnonzero(parents != NOBODY)
    for _ in range(len(parents).bit_length() + 1):
        if not active.size:
            break
        ahead = jump[active]
        for values, combine in folds:
            values[active] = combine(values[active], values[ahead])
        further = jump[ahead]
        jump[active] = further
        active = active[further != ahead]
    return jump


def batches(lengths: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Lay intervals of `lengths` (≥ 0) end to end on one axis of 64 bits: (from, to, where each begins).

    Only absurd lengths (a broken clock's) need more than one batch.
    """
    begin = 0
    while begin < len(lengths):
        reach = np.cumsum(lengths[begin:].astype(np.float64) + 2)
        end = begin + max(1, int(np.searchsorted(reach, float(_ROOM), side="right")))
        ends = np.cumsum(lengths[begin:end] + 2)
        yield begin, end, ends - lengths[begin:end] - 2
        begin = end


def positions(flags: Bools) -> Ints:
    """For each True its number among the Trues; NOBODY elsewhere."""
    found = np.full(len(flags), NOBODY, dtype=np.int64)
    found[flags] = np.arange(int(flags.sum()))
    return found
