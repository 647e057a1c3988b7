"""Who sends which part of the iterations, and since when. Pure.

Iterations are divided into `shards` by their number; a residue is one part. Each has one owner at any time: what is due
before `from_ns` was its earlier owner's, and stays so, sent or not. Nothing is ever given to two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

# Divides evenly among up to six, and nearly so among more, also after some have left.
_EACH: Final = 60
_FOREVER: Final = 1 << 62


def shards_for(senders: int) -> int:
    """Into how many parts the iterations of so many senders are divided."""
    return max(1, senders) * _EACH


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A sender's residues for iterations due from `from_ns` to before `to_ns`, from the schedule's start."""

    sender: int
    residues: frozenset[int]
    from_ns: int
    to_ns: int = _FOREVER


@dataclass
class Duties:
    """Who owns what. `past`: duties that are over. What nobody took over stays its last owner's duty, undone."""

    shards: int
    owned: dict[int, frozenset[int]] = field(default_factory=dict)
    past: list[Duty] = field(default_factory=list)
    _since: dict[int, int] = field(default_factory=dict)
    _orphans: list[Duty] = field(default_factory=list)

    @property
    def orphaned(self) -> bool:
        """Whether there are residues that nobody sends."""
        return bool(self._orphans)

    def begin(self, senders: Iterable[int]) -> None:
        """Deal all residues out, evenly."""
        some = list(senders)
        for n, sender in enumerate(some):
            self._set(sender, frozenset(range(n, self.shards, len(some))), 0)

    def join(self, sender: int, from_ns: int) -> frozenset[int]:
        """A sender came later: it gets what nobody has. Usually nothing, and it stands by."""
        got = frozenset(residue for duty in self._orphans for residue in duty.residues)
        self._give_up(from_ns)
        self._set(sender, got, from_ns)
        return got

    def leave(self, sender: int, from_ns: int) -> dict[int, frozenset[int]]:
        """A sender is lost: what is due from `from_ns` on goes to spares, else evenly to those that have least.

        Returns all residues of those whose share has grown.
        """
        left = self.owned.pop(sender, frozenset())
        takers = {other: mine for other, mine in self.owned.items() if not mine} or dict(self.owned)
        if not takers:
            if left:
                self._orphans.append(Duty(sender=sender, residues=left, from_ns=self._since.pop(sender)))
            return {}
        self._close(sender, left, from_ns)
        grown = {other: set(mine) for other, mine in takers.items()}
        for residue in sorted(left):
            _, to = min((len(mine), other) for other, mine in grown.items())
            grown[to].add(residue)
        changed = {other: frozenset(mine) for other, mine in grown.items() if mine != self.owned[other]}
        for other, mine in changed.items():
            self._set(other, mine, from_ns)
        return changed

    def retire(self, sender: int) -> None:
        """A sender has sent its share to the schedule's end: it takes nothing more."""
        self._close(sender, self.owned.pop(sender, frozenset()), _FOREVER)

    def not_taken(self, sender: int, from_ns: int, since_ns: int) -> list[Duty]:
        """What a sender could not take over in time, since it had planned that far already."""
        before = next(
            (d.residues for d in reversed(self.past) if d.sender == sender and d.to_ns == from_ns), frozenset()
        )
        gained = self.owned.get(sender, frozenset()) - before
        if since_ns <= from_ns or not gained:
            return []
        return [Duty(sender=sender, residues=gained, from_ns=from_ns, to_ns=since_ns)]

    def end(self) -> None:
        """The run is over: what nobody has stays undone."""
        self._give_up(_FOREVER)

    def of(self, sender: int) -> list[Duty]:
        """All duties that a sender had, those that are not over left out."""
        return [duty for duty in self.past if duty.sender == sender]

    def _give_up(self, to_ns: int) -> None:
        self.past += [replace(duty, to_ns=to_ns) for duty in self._orphans]
        self._orphans.clear()

    def _set(self, sender: int, residues: frozenset[int], from_ns: int) -> None:
        if sender in self.owned:
            self._close(sender, self.owned[sender], from_ns)
        self.owned[sender], self._since[sender] = residues, from_ns

    def _close(self, sender: int, residues: frozenset[int], to_ns: int) -> None:
        since = self._since.pop(sender, 0)
        if residues and to_ns > since:
            self.past.append(Duty(sender=sender, residues=residues, from_ns=since, to_ns=to_ns))
