"""Who sends which part of the iterations, and since when. Pure.

Iterations are divided into `shards` by their number; a residue is one part. Each has one owner at any time: what is due
before `from_ns` was its earlier owner's, and stays so, sent or not. Nothing is ever given to two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    """Who owns what. `orphans`: residues that nobody owns, and since when."""

    shards: int
    owned: dict[int, frozenset[int]] = field(default_factory=dict)
    orphans: dict[int, int] = field(default_factory=dict)
    past: list[Duty] = field(default_factory=list)
    _since: dict[int, int] = field(default_factory=dict)

    def begin(self, senders: Iterable[int], spares: Iterable[int] = ()) -> None:
        """Deal all residues out, evenly. `spares` stand by with none."""
        some = list(senders)
        for n, sender in enumerate(some):
            self._set(sender, frozenset(range(n, self.shards, len(some))), 0)
        for sender in spares:
            self._set(sender, frozenset(), 0)

    def join(self, sender: int, from_ns: int) -> bool:
        """A sender came later. Whether it got what nobody had; otherwise it stands by."""
        got = frozenset(self.orphans)
        self._gap(from_ns)
        self._set(sender, got, from_ns)
        return bool(got)

    def leave(self, sender: int, from_ns: int) -> dict[int, frozenset[int]]:
        """A sender is lost: what is due from `from_ns` on goes to spares, else evenly to those that have least.

        Returns the new residues of those whose share has changed.
        """
        left = self.owned.pop(sender, frozenset())
        self._close(sender, left, from_ns)
        takers = {other: set(mine) for other, mine in self.owned.items()}
        spares = {other: mine for other, mine in takers.items() if not mine}
        takers = spares or takers
        if not takers:
            self.orphans.update(dict.fromkeys(left, from_ns))
            return {}
        for residue in sorted(left):
            _, to = min((len(mine), other) for other, mine in takers.items())
            takers[to].add(residue)
        changed = {other: frozenset(mine) for other, mine in takers.items() if mine != self.owned[other]}
        for other, mine in changed.items():
            self._set(other, mine, from_ns)
        return changed

    def retire(self, sender: int) -> None:
        """A sender has sent all of its share to the schedule's end."""
        mine = self.owned.pop(sender, None)
        if mine is not None:
            self._close(sender, mine, _FOREVER)

    def lost(self, losers: Mapping[int, int]) -> list[Duty]:
        """The duties of `losers`, and what was nobody's (sender −1)."""
        return [duty for duty in self.past if duty.sender in losers or duty.sender < 0]

    def end(self) -> None:
        """The run is over: what is nobody's now stays so."""
        self._gap(_FOREVER)

    def _gap(self, to_ns: int) -> None:
        for since in sorted(set(self.orphans.values())):
            residues = frozenset(r for r, at in self.orphans.items() if at == since)
            self.past.append(Duty(sender=-1, residues=residues, from_ns=since, to_ns=to_ns))
        self.orphans.clear()

    def _set(self, sender: int, residues: frozenset[int], from_ns: int) -> None:
        if sender in self.owned:
            self._close(sender, self.owned[sender], from_ns)
        self.owned[sender], self._since[sender] = residues, from_ns

    def _close(self, sender: int, residues: frozenset[int], to_ns: int) -> None:
        since = self._since.pop(sender, 0)
        if residues and to_ns > since:
            self.past.append(Duty(sender=sender, residues=residues, from_ns=since, to_ns=to_ns))
