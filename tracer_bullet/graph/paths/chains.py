"""Which children of a span one waited for the other, back from the last: all siblings of all spans at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_bullet.graph.paths.trees import NOBODY, Bools, Ids, Ints, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Each span's chain of children. `chosen`: is in its parent's chain; `previous` and `next` are its neighbours
    there, `last` the last of its own children's chain; `tied`: was chosen although another ended as late.
    Spans are numbers, NOBODY where there is none."""

    chosen: Bools
    previous: Ints
    next: Ints
    last: Ints
    tied: Bools


def find_chains(parents: Ints, start: Ints, end: Ints, span_id: Ids, grain_ns: int) -> Chains:
    """The chains of spans that lie inside their parents and are not empty.

    A sibling's sure end is its end less the grain, and at least 1 ns after its start. It was waited for by
    those that start no earlier than that; of several the surest to have ended last counts. Since a sure end
    is after the start, each step goes back in time.
    """
    size = len(parents)
    chains = Chains(
        chosen=np.zeros(size, dtype=np.bool_),
        previous=np.full(size, NOBODY, dtype=np.int64),
        next=np.full(size, NOBODY, dtype=np.int64),
        last=np.full(size, NOBODY, dtype=np.int64),
        tied=np.zeros(size, dtype=np.bool_),
    )
    kids = np.flatnonzero(parents != NOBODY)
    # Only parents take room on the axis.
    lengths = np.zeros(size, dtype=np.int64)
    lengths[parents[kids]] = (end - start)[parents[kids]]
    for low, high, offset in batches(lengths):
        some = kids if high - low == size else kids[(parents[kids] >= low) & (parents[kids] < high)]
        shift = offset[parents[some] - low] - start[parents[some]]
        sure = np.maximum(end[some] - grain_ns, start[some] + 1) + shift
        order = np.argsort(sure)
        some, shift = some[order], shift[order]
        _Siblings(
            spans=some,
            parents=parents[some],
            sure=sure[order],
            place=start[some] + shift,
            start=start[some],
            length=end[some] - start[some],
            span_id=span_id[some],
        ).link(chains, max(grain_ns - 2, 0))
    return chains


class _Siblings:
    """The children of many parents, by parent and sure end; `sure` and `place` (starts) are on one axis for all."""

    def __init__(
        self, *, spans: Ints, parents: Ints, sure: Ints, place: Ints, start: Ints, length: Ints, span_id: Ids
    ) -> None:
        self._spans, self._parents = spans, parents
        self._sure, self._place = sure, place
        self._start, self._length, self._span_id = start, length, span_id
        self._new = np.ones(len(spans), dtype=np.bool_)
        self._new[1:] = parents[1:] != parents[:-1]
        self._eldest = np.maximum.accumulate(np.where(self._new, np.arange(len(spans)), 0))

    def link(self, chains: Chains, slack_ns: int) -> None:
        """Write the chains down. Sure ends at most `slack_ns` apart are tied."""
        size = len(self._spans)
        if not size:
            return
        pick, several = self._picks(slack_ns)
        latest = np.searchsorted(self._sure, self._place, side="right") - 1
        waited = latest >= self._eldest
        before = np.where(waited, pick[latest], NOBODY)
        youngest = np.flatnonzero(np.append(self._new[1:], True))
        heads = pick[youngest]
        chosen = _reachable(heads, before)
        tied = np.zeros(size, dtype=np.bool_)
        tied[heads] = several[youngest]
        here = np.flatnonzero(chosen & waited)
        there = before[here]
        tied[there] = several[latest[here]]
        chains.last[self._parents[youngest]] = self._spans[heads]
        chains.chosen[self._spans] = chosen
        chains.tied[self._spans] = tied
        chains.previous[self._spans[here]] = self._spans[there]
        chains.next[self._spans[there]] = self._spans[here]

    def _picks(self, slack_ns: int) -> tuple[Ints, Bools]:
        """For each place: whom to choose when the span here is the last that ended, and whether it was a tie."""
        size = len(self._spans)
        pick = np.arange(size)
        several = np.zeros(size, dtype=np.bool_)
        several[1:] = ~self._new[1:] & (self._sure[1:] - self._sure[:-1] <= slack_ns)
        ask = np.flatnonzero(several)
        if not ask.size:
            return pick, several
        low = np.maximum(np.searchsorted(self._sure, self._sure[ask] - slack_ns, side="left"), self._eldest[ask])
        ranked = self._ranked(several)
        # The best of each window: of two overlapping ones of a power of two, doubled from step to step.
        table = np.full(size, NOBODY, dtype=np.int64)
        table[ranked] = np.arange(len(ranked))
        level = np.floor(np.log2(ask - low + 1)).astype(np.int64)
        for step in range(int(level.max()) + 1):
            width = 1 << step
            now = np.flatnonzero(level == step)
            pick[ask[now]] = ranked[np.maximum(table[low[now]], table[ask[now] - width + 1])]
            table = np.maximum(table[:-width], table[width:])
        return pick, several

    def _ranked(self, several: Bools) -> Ints:
        """Those that take part in ties, the best one last: longest, then earliest start, then smallest id."""
        taking_part = several.copy()
        taking_part[:-1] |= several[1:]
        members = np.flatnonzero(taking_part)
        keys = (~self._span_id[members], -self._start[members], self._length[members])
        return members[np.lexsort(keys)]


def _reachable(heads: Ints, before: Ints) -> Bools:
    """What the steps of `before` reach from `heads`, by doubling: chains are long where spans call in a loop."""
    found = np.zeros(len(before), dtype=np.bool_)
    reached, jump = heads, before
    while reached.size:
        found[reached] = True
        ahead = jump[reached]
        ahead = ahead[ahead != NOBODY]
        if not ahead.size:
            break
        reached = np.concatenate((reached, ahead))
        jump = np.where(jump == NOBODY, NOBODY, jump[jump])
    return found
