"""When recent shots ended, and whether well: for arrivals that come to the engine after the one that they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Of at least so many shots, and at most twice as many: about 100 bytes each.
_GENERATION: Final = 32_768


class Ends:
    """Two generations of shots by number: when the newer one is full, the older one is forgotten."""

    __slots__ = ("_new", "_new_failed", "_old", "_old_failed", "_size")

    def __init__(self, size: int = _GENERATION) -> None:
        self._size = size
        self._new: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._new_failed: set[int] = set()
        self._old_failed: set[int] = set()

    def add(self, numbers: Sequence[int], ended_ns: Sequence[int], errors: Sequence[int]) -> None:
        """These ended then; an error other than 0 is a failure."""
        if len(self._new) >= self._size:
            self._old, self._new = self._new, {}
            self._old_failed, self._new_failed = self._new_failed, set()
        self._new.update(zip(numbers, ended_ns, strict=True))
        if any(errors):
            self._new_failed.update([n for n, error in zip(numbers, errors, strict=True) if error])

    def of(self, number: int) -> tuple[int, bool]:
        """When it ended, and whether it ended well; (0, False) when nothing is known of it any more."""
        ended = self._new.get(number)
        if ended is not None:
            return ended, number not in self._new_failed
        return self._old.get(number, 0), number in self._old and number not in self._old_failed

    def forget(self) -> None:
        """Before another run."""
        self._new, self._old, self._new_failed, self._old_failed = {}, {}, set(), set()
