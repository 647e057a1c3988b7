"""One offset a machine out of what pairs of machines say."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """The clock of `other` is ahead of that of `one` by `low_ns` to `high_ns`, if `firm`; else nothing is known
    and the two are left as they stand to each other."""

    one: str
    other: str
    calls: int
    low_ns: int
    high_ns: int
    firm: bool

    @property
    def offset_ns(self) -> int:
        """What is nearest to nothing: 0 where it is allowed, else the middle."""
        return 0 if not self.firm or self.low_ns <= 0 <= self.high_ns else (self.low_ns + self.high_ns) // 2


def settle_clocks(bonds: Iterable[Bond]) -> tuple[dict[str, int], set[str]]:
    """By how much each machine's clock is ahead (those of 0 are left out), and machines in conflict.

    Offsets run along a spanning tree of each group of machines: firm bonds first, the narrowest before wider
    ones. The clock that most machines agree with is right. Where a firm bond beside the tree does not allow
    what the tree says, none of the group's machines is moved.
    """
    known = sorted(bonds, key=lambda b: (not b.firm, b.high_ns - b.low_ns, -b.calls, b.one, b.other))
    group: dict[str, str] = {}
    ahead: dict[str, int] = {}
    members: dict[str, list[str]] = {}
    conflicts: set[str] = set()
    for bond in known:
        for machine in (bond.one, bond.other):
            if machine not in group:
                group[machine], ahead[machine], members[machine] = machine, 0, [machine]
        if group[bond.one] != group[bond.other]:
            _join(bond, group, ahead, members)
        elif not _holds(bond, ahead):
            conflicts.add(bond.one)
    troubled = {group[machine] for machine in conflicts}
    inside: dict[str, list[Bond]] = defaultdict(list)
    for bond in known:
        inside[group[bond.one]].append(bond)
    found: dict[str, int] = {}
    for name, machines in members.items():
        if name not in troubled:
            found.update({m: ns for m, ns in _set_right(machines, ahead, inside[name]).items() if ns})
    return found, {m for name in troubled for m in members[name]}


def _holds(bond: Bond, ahead: dict[str, int]) -> bool:
    return not bond.firm or bond.low_ns <= ahead[bond.other] - ahead[bond.one] <= bond.high_ns


def _join(bond: Bond, group: dict[str, str], ahead: dict[str, int], members: dict[str, list[str]]) -> None:
    """Shift the smaller of the two groups so that the bond holds, and make it part of the other."""
    kept, moved = group[bond.one], group[bond.other]
    shift = ahead[bond.one] + bond.offset_ns - ahead[bond.other]
    if len(members[kept]) < len(members[moved]):
        kept, moved, shift = moved, kept, -shift
    for machine in members.pop(moved):
        group[machine] = kept
        ahead[machine] += shift
        members[kept].append(machine)


def _set_right(machines: list[str], ahead: dict[str, int], bonds: list[Bond]) -> dict[str, int]:
    """The offsets against the clock that most machines agree with; theirs are 0, where all bonds allow it.

    A machine agrees with what lies within the width of its narrowest firm bond: so well is its offset known.
    """
    calls: Counter[str] = Counter()
    doubt: dict[str, int] = {}
    for bond in bonds:
        for machine in (bond.one, bond.other):
            calls[machine] += bond.calls
            if bond.firm:
                width = bond.high_ns - bond.low_ns
                doubt[machine] = min(doubt.get(machine, width), width)
    lows = sorted(ahead[m] - doubt.get(m, 0) for m in machines)
    highs = sorted(ahead[m] + doubt.get(m, 0) for m in machines)

    def standing(machine: str) -> tuple[int, int, str]:
        agreeing = bisect_right(lows, ahead[machine]) - bisect_left(highs, ahead[machine])
        return -agreeing, -calls[machine], machine

    right = ahead[min(machines, key=standing)]
    exact = {m: ahead[m] - right for m in machines}
    rounded = {m: 0 if abs(ns) <= doubt.get(m, 0) else ns for m, ns in exact.items()}
    return rounded if all(_holds(bond, rounded) for bond in bonds) else exact
