"""Which sessions' beginnings reach every endpoint: what arms a replay. Greedy, in memory that grows with endpoints."""

from __future__ import annotations

import heapq
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The first `requests` requests of the session with this number, and the endpoints (numbers) that they reach."""

    session: int
    requests: int
    endpoints: frozenset[int]


class CoverBuilder:
    """Remembers for each endpoint the shortest beginning of a session that reaches it.

    `masks` has a bit an endpoint that a session under way has reached, by its place in the session table.
    """

    def __init__(self) -> None:
        self._best: dict[int, tuple[int, int, int]] = {}  # endpoint → (requests, session, mask)
        self._masks: list[int] = []

    def reach(self, slot: int, session: int, nth: int, endpoint: int) -> None:
        """The nth request (from 1) of a session is one of this endpoint; slot -1: the session has no other."""
        if slot < 0:
            if self._best.get(endpoint, (2,))[0] > 1:
                self._best[endpoint] = (1, session, 1 << endpoint)
            return
        masks = self._masks
        if slot >= len(masks):
            masks.extend([0] * (slot + 1 - len(masks)))
        if nth == 1:
            masks[slot] = 0
        bit = 1 << endpoint
        if not masks[slot] & bit:
            masks[slot] |= bit
            self._offer(endpoint, nth, session, masks[slot])

    def _offer(self, endpoint: int, requests: int, session: int, mask: int) -> None:
        best = self._best.get(endpoint)
        if best is None or requests < best[0]:
            self._best[endpoint] = (requests, session, mask)

    def cover(self, final: dict[int, int]) -> tuple[Prefix, ...]:
        """The prefixes to send, in the order of their sessions. `final`: endpoint as given → endpoint as it is now."""
        candidates = [
            Prefix(session=session, requests=requests, endpoints=frozenset(final[e] for e in _bits(mask)))
            for requests, session, mask in self._best.values()
        ]
        return choose(candidates)


def choose(candidates: list[Prefix]) -> tuple[Prefix, ...]:
    """A small choice that reaches what all reach: always the one that adds most endpoints a request, as the greedy
    algorithm for weighted set cover does (Chvátal 1979, https://doi.org/10.1287/moor.4.3.233)."""
    missing = frozenset().union(*(c.endpoints for c in candidates))
    distinct = sorted(set(candidates), key=lambda c: (c.session, c.requests))
    chosen: dict[int, Prefix] = {}
    heap = [(_value(c, missing, chosen), place) for place, c in enumerate(distinct)]
    heapq.heapify(heap)
    while missing:
        _, place = heapq.heappop(heap)
        best = distinct[place]
        now = _value(best, missing, chosen)
        if heap and now > heap[0][0]:  # worth less than it was: what it reaches was reached meanwhile
            if best.endpoints & missing:
                heapq.heappush(heap, (now, place))
            continue
        if not best.endpoints & missing:
            continue
        chosen[best.session] = best
        missing -= best.endpoints
    return tuple(sorted(chosen.values(), key=lambda c: c.session))


def _value(candidate: Prefix, missing: frozenset[int], chosen: dict[int, Prefix]) -> tuple[float, int]:
    """Less is better. Of equal worth, what reaches more comes first."""
    gain = len(candidate.endpoints & missing)
    return -gain / _cost(candidate, chosen), -gain


def _cost(candidate: Prefix, chosen: dict[int, Prefix]) -> int:
    """What it adds: of a session that was chosen already, only the requests that come after."""
    before = chosen.get(candidate.session)
    return max(candidate.requests - (before.requests if before else 0), 1)


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
