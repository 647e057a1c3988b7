"""Which part of the iterations a sender has, and from when on."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ALWAYS: Final = -(1 << 62)
_FOR_EVER: Final = 1 << 62

Part = tuple[int, frozenset[int]]


class Share:
    """Iteration n, and user u, belongs to residue n % `shards`, u % `shards`; a sender owns some of the residues.

    Times are ns from the schedule's start, as `due_ns`. What is taken over is exact: give the residues to the new owner
    and take them from the old one with the same `from_ns`, later than what either has planned (`planned_to_ns`; a
    planner is at most the engine's `ahead_s` ahead of the clock, so now and three times that will do): then each
    iteration due before goes to the one, and each due then or after to the other. All methods may be called from any
    thread.
    """

    def __init__(self, shards: int, residues: Iterable[int]) -> None:
        if shards < 1:
            raise ValueError("there is at least one shard")
        self.shards = shards
        self._lock = threading.Lock()
        self._parts: list[Part] = [(_ALWAYS, self._checked(residues))]
        self._planned_to = _ALWAYS
        self._version = 0

    def own(self, residues: Iterable[int], from_ns: int) -> int:
        """Own these residues, and no others, for what is due from `from_ns` on. Returns from when that really holds:
        `from_ns`, or later when something due after it has been planned already, which stays as it was."""
        wanted = self._checked(residues)
        with self._lock:
            since = max(from_ns, self._planned_to)
            self._parts = [p for p in self._parts if p[0] < since] + [(since, wanted)]
            self._version += 1
            return since

    @property
    def residues(self) -> frozenset[int]:
        """What is owned in the end: as the last `own` said."""
        with self._lock:
            return self._parts[-1][1]

    @property
    def planned_to_ns(self) -> int:
        """All that is due before this has been planned."""
        with self._lock:
            return self._planned_to

    @property
    def version(self) -> int:
        """Changes whenever something else is owned."""
        return self._version

    # For the planner

    def claim(self, first: int, due_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the iterations `first`, `first` + 1, …, due at these times in ascending order, the indexes of the owned
        ones. They are planned from here on: they do not move any more. Each iteration is asked for once, in order."""
        with self._lock:
            cuts = np.searchsorted(due_ns, [since for since, _ in self._parts[1:]])
            ends = [*cuts.tolist(), len(due_ns)]
            chosen, begin = [], 0
            for (_, owned), end in zip(self._parts, ends, strict=True):
                chosen.append(self._among(first, begin, end, owned))
                begin = end
            if len(due_ns):
                last = int(due_ns[-1])  # more may be due at the same time
                self._planned_to = max(self._planned_to, last + 1)
                while len(self._parts) > 1 and self._parts[1][0] <= last:
                    del self._parts[0]
        return np.concatenate(chosen)

    def owned_spans(self, residue: int) -> list[tuple[int, int]]:
        """From when to when this residue is owned, as far as is known."""
        with self._lock:
            ends = [*(since for since, _ in self._parts[1:]), _FOR_EVER]
            spans: list[tuple[int, int]] = []
            for (since, owned), end in zip(self._parts, ends, strict=True):
                if residue not in owned:
                    continue
                if spans and spans[-1][1] == since:
                    spans[-1] = (spans[-1][0], end)
                else:
                    spans.append((since, end))
            return spans

    def begin(self, now_ns: int) -> int:
        """From when on to claim: since when anything is owned, or now when nothing is. What is due before never will
        be owned."""
        with self._lock:
            since = max(0, next((since for since, owned in self._parts if owned), now_ns))
            self._planned_to = max(self._planned_to, since)
            return since

    def _among(self, first: int, begin: int, end: int, owned: frozenset[int]) -> NDArray[np.int64]:
        indexes = np.arange(begin, end, dtype=np.int64)
        if len(owned) == self.shards:
            return indexes
        mask = np.zeros(self.shards, dtype=bool)
        mask[list(owned)] = True
        return indexes[mask[(indexes + first) % self.shards]]

    def _checked(self, residues: Iterable[int]) -> frozenset[int]:
        found = frozenset(residues)
        if any(not 0 <= residue < self.shards for residue in found):
            raise ValueError(f"residues are from 0 to {self.shards - 1}")
        return found
