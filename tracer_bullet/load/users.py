"""The closed model: who begins an iteration when, as far as that can be planned. Knows no clock and no thread."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from tracer_bullet.load.profile import Profile
from tracer_bullet.load.profile.levels import Span
from tracer_bullet.load.share import Share

# An iteration that the engine could not be given ahead goes so long after it is planned, lest it be late at once.
_HANDING_OVER_NS: Final = 20_000_000
# How long an iteration takes, until one has ended.
_UNKNOWN_NS: Final = 5_000_000_000
_SOON_NS: Final = 200_000_000


class Planned(NamedTuple):
    """An iteration that was planned: its last arrival, and the pause after it."""

    last: int
    between_ns: int


class PlanIteration(Protocol):
    """Hands an iteration to the engine. Times are ns from the schedule's start."""

    def __call__(self, number: int, user: int, due_ns: int, *, after: int = -1, pause_ns: int = -1) -> Planned:
        """Plan iteration `number` of a user, due then, or `pause_ns` after the end of the arrival `after`."""


@dataclass(slots=True)
class _User:
    """`under`: iterations planned and not ended, the one under way and at most one behind it; `began_ns`: when the one
    under way began, or is expected to; `last`, `between_ns`: of the newest one; `pause_ns`: before it; `later`: spans
    of the user that begin soon."""

    number: int
    end_ns: int
    began_ns: int
    under: int = 0
    last: int = -1
    between_ns: int = 0
    pause_ns: int = 0
    later: list[Span] = field(default_factory=list)


class Users:
    """Users of one sender. Each is there in the spans that the profile gives it, as far as its residue is owned.

    While an iteration of a user is under way, the next one is planned behind it, so that the engine times it, exactly;
    but not when the user may have to end first: then it is planned when the one before has come back. So no user
    begins an iteration after its end, but for one whose iteration took over twice as long as any lately.

    The kth iteration of a residue has the number k × parts + residue, where parts are the shards, or the users when
    these are fewer: so with one shard iterations are numbered 0, 1, 2, … in the order in which they are planned. Who
    takes a residue over at a time begins with k above that time's microseconds, where no one came before, so that no
    number comes twice. No number is `limit` or above. `think_ns`: pauses within an iteration, at most.

    What is kept is one record a user who is there, and one a span to come.
    """

    def __init__(
        self, profile: Profile, share: Share, plan: PlanIteration, *, limit: int | None = None, think_ns: int = 0
    ) -> None:
        self._profile = profile
        self._share = share
        self._plan = plan
        self._limit = limit
        self._parts = max(1, min(share.shards, profile.most_users))
        self._next: dict[int, int] = {}
        self._owned: frozenset[int] = frozenset()
        self._version = -1
        self._coming: list[tuple[int, int, int]] = []  # begin, end, user
        self._there: dict[int, _User] = {}
        self._lately_ns = _UNKNOWN_NS + think_ns
        self._is_guess = True
        self._at_limit = False

    def __len__(self) -> int:
        return len(self._there)

    def is_over(self, now_ns: int) -> bool:
        """Whether nothing will come any more."""
        if self._there or self._coming:
            return False
        return self._share.shards == 1 or self._at_limit or now_ns >= self._profile.span_s * 1e9

    def next_ns(self) -> int | None:
        """When the next user begins; None when none is to come."""
        return self._coming[0][0] if self._coming else None

    def begin(self, now_ns: int, until_ns: int, *, most: int) -> None:
        """Plan the first iterations of users that begin up to `until_ns`, of `most` users at once."""
        if self._version != self._share.version:
            self._rebuild(now_ns)
        while most > 0 and self._coming and self._coming[0][0] <= until_ns:
            most -= 1
            begin_ns, end_ns, number = heapq.heappop(self._coming)
            user = self._there.get(number)
            if user is not None:  # an iteration of the span before is not over yet
                user.later.append((begin_ns, end_ns))
                continue
            due_ns = begin_ns if begin_ns >= now_ns else now_ns + _HANDING_OVER_NS
            user = self._there[number] = _User(number, end_ns, due_ns)
            self._plan_at(user, due_ns, now_ns)

    def ended(self, number: int, ended_ns: int, now_ns: int) -> None:
        """An iteration of this user has come back; it ended then."""
        user = self._there[number]
        user.under -= 1
        took = max(0, ended_ns - user.began_ns)
        less_ns = 0 if self._is_guess else self._lately_ns - (self._lately_ns - took) // 16
        self._lately_ns, self._is_guess = max(took, less_ns), False
        if user.under:
            user.began_ns = ended_ns + user.pause_ns
            self._plan_behind(user, now_ns)
        else:
            self._plan_at(user, max(ended_ns + user.between_ns, now_ns + _HANDING_OVER_NS), now_ns)

    def _plan_at(self, user: _User, due_ns: int, now_ns: int) -> None:
        """The next iteration of a user of whom none is under way; without one he is gone."""
        while due_ns >= user.end_ns and user.later:
            begin_ns, user.end_ns = user.later.pop(0)
            due_ns = max(due_ns, begin_ns)
        number = self._number(user.number) if due_ns < user.end_ns else None
        if number is None:
            del self._there[user.number]
            return
        user.began_ns = due_ns
        user.last, user.between_ns = self._plan(number, user.number, due_ns)
        user.under = 1
        self._plan_behind(user, now_ns)

    def _plan_behind(self, user: _User, now_ns: int) -> None:
        """The iteration after the one that is under way, if it surely begins before the user ends."""
        surely_ns = user.began_ns + 2 * self._lately_ns + user.between_ns
        if surely_ns >= user.end_ns:
            return
        number = self._number(user.number)
        if number is None:
            return
        user.pause_ns = user.between_ns
        due_ns = max(now_ns, min(user.began_ns + user.pause_ns, now_ns + _SOON_NS))
        user.last, user.between_ns = self._plan(number, user.number, due_ns, after=user.last, pause_ns=user.pause_ns)
        user.under = 2

    def _number(self, user: int) -> int | None:
        residue = user % self._share.shards
        k = self._next.get(residue, 0)
        number = k * self._parts + residue
        if self._limit is not None and number >= self._limit:
            self._at_limit = True
            return None
        self._next[residue] = k + 1
        return number

    def _rebuild(self, now_ns: int) -> None:
        """Other residues are owned: who ends, who is to come."""
        self._version = self._share.version
        owned = {residue: self._share.owned_spans(residue) for residue in range(self._parts)}
        for residue, spans in owned.items():
            if spans and residue not in self._owned:
                since_us = -(-max(0, spans[0][0]) // 1000)
                self._next[residue] = max(self._next.get(residue, 0), since_us)
        self._owned = frozenset(r for r, spans in owned.items() if spans)
        self._coming = []
        for number in range(self._profile.most_users):
            spans = owned[number % self._share.shards]
            user = self._there.get(number)
            if user is not None:
                user.end_ns = now_ns
                user.later = []
            if not spans:
                continue
            for begin_ns, end_ns in _both(self._profile.user_spans(number), spans):
                if user is not None and begin_ns <= now_ns < end_ns:
                    user.end_ns = end_ns
                elif end_ns > now_ns:
                    self._coming.append((max(begin_ns, 0), end_ns, number))
        heapq.heapify(self._coming)


def _both(one: tuple[tuple[int, int], ...], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where spans of both lists overlap, in order."""
    found = []
    for begin, end in one:
        for since, until in other:
            if max(begin, since) < min(end, until):
                found.append((max(begin, since), min(end, until)))
    return found
