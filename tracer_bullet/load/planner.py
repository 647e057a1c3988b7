"""From a job to arrivals, in the order in which they are due: a sender's share of the iterations.

Iterating blocks (the feeder's thread pulls), and wakes for `stop`. What an iteration is (its scenario, row and pauses)
depends on its number and the seed alone, so all senders agree without talking. Nothing is kept of an iteration that is
over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.load.choice import chance
from tracer_bullet.load.missed import Missed
from tracer_bullet.load.parts import Part, Parts, read_parts
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.share import Share
from tracer_bullet.load.users import Planned, Users
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.load import Iteration, SenderJob
from tracer_bullet.model.shots import ShotBatch
from tracer_bullet.workspace.template import Scalar

_NS: Final = 1_000_000_000
# Arrivals in one list: half of a frame of the feeder's.
_LIST: Final = 64
# Iterations that are claimed at once when they are in time.
_CLAIM: Final = 512
# After it an empty list is given, so that the feeder looks at what it holds already.
_PULL_S: Final = 0.2
# At high rates not each iteration is waited for alone.
_NAP_S: Final = 0.005
_AHEAD_S: Final = 3.0
_MOST_USERS_AHEAD_NS: Final = _NS // 2
# Streams of random numbers, one for each use.
_KEEP, _BETWEEN, _THINK = 21, 22, 1000


class _UnderWay:
    """An iteration of which not every arrival has come back."""

    __slots__ = ("ended_ns", "first", "left", "part", "row", "user")

    def __init__(self, left: int, first: int, row: Mapping[str, Scalar], part: Part, user: int) -> None:
        self.left = left
        self.first = first
        self.row = row
        self.part = part
        self.user = user
        self.ended_ns = 0


class Planner:
    """What `share` owns of a job's iterations, as lists of arrivals for `EngineProcess.run`. One thread iterates it;
    `came_back`, `missed`, `row_of` and `stop` may be called from another.

    `scripts`, `origins`, `endpoints`, `steps`: of all scenarios, the same in every process that has the job. Counts so
    far: `planned` arrivals and `iterations`, missed ones included, of which `stale` were missed; `users` are there now.
    `ending` says in words what ends the traffic before its profile does, empty when nothing does.

    A pull blocks for `pull_s` at most. `now_ns` is Unix time; by default a clock that no step of the system's disturbs,
    as the engine's. Raises UsageError for what a profile or a script refuses, TB1003 for a unique feed without rows.
    """

    def __init__(
        self, job: SenderJob, share: Share, *, now_ns: Callable[[], int] | None = None, pull_s: float = _PULL_S
    ) -> None:
        parts = read_parts(job)
        load = parts.load
        self._job = job
        self._parts: Parts = parts
        self._share = share
        self._now_ns = now_ns or _steady()
        self._pull_s = pull_s
        self.scripts = parts.scripts
        self.origins = [parts.origin]
        self.endpoints = [endpoint for script in parts.scripts for endpoint in script.endpoints]
        self.steps = [step for script in parts.scripts for step in script.steps]
        self._stride = max(len(script.steps) for script in parts.scripts)
        self._profile = Profile(load.profile, arrivals=load.arrivals, seed=load.seed, curves=job.curves)
        self._limit, self.ending = parts.limit(self._profile)
        self._seed = load.seed
        self._checks = load.checks
        ahead_s = job.engine.get("ahead_s", _AHEAD_S)
        self._ahead_ns = int(float(ahead_s) * _NS) if isinstance(ahead_s, (int, float)) else int(_AHEAD_S * _NS)
        self._stale_ns = int(load.stale_s * _NS)
        numbers = [[endpoint.number for endpoint in script.endpoints] for script in parts.scripts]
        self._missed = Missed(numbers, self._stride, parts.origin.number)
        self._sessions = 0
        self._under_way: dict[int, _UnderWay] = {}
        self._ended: deque[tuple[int, int]] = deque()  # user, when
        self._changed = threading.Condition()
        self._stopping = False
        self._users: Users | None = None
        self._list: list[Arrival] = []
        self.planned = self.iterations = self.stale = 0

    @property
    def users(self) -> int:
        """Users who are there now; 0 in the open model."""
        return 0 if self._users is None else len(self._users)

    @property
    def under_way(self) -> int:
        """Iterations that were handed over and are not back."""
        return len(self._under_way)

    def __iter__(self) -> Iterator[list[Arrival]]:
        """Lists of arrivals. Empty ones say only that time passes."""
        return self._open() if self._profile.is_open else self._closed()

    def stop(self) -> None:
        """End: an iteration that waits wakes, nothing more is planned."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def row_of(self, number: int) -> Mapping[str, Scalar]:
        """The row that the iteration of this arrival was made from, until `came_back` had all of the iteration; then
        an empty one."""
        found = self._under_way.get(number // self._stride)
        return {} if found is None else found.row

    def came_back(self, batch: ShotBatch) -> None:
        """These arrivals are over, whatever became of them."""
        woken = False
        for session, ended_ns in zip(batch.session, batch.ended_ns, strict=True):
            iteration = self._under_way.get(session)
            if iteration is None:
                continue
            iteration.left -= 1
            iteration.ended_ns = max(iteration.ended_ns, ended_ns)
            if iteration.left:
                continue
            del self._under_way[session]
            iteration.part.script.forget(iteration.first)
            if iteration.user >= 0:
                self._ended.append((iteration.user, iteration.ended_ns - self._job.start_ns))
                woken = True
        if woken:
            with self._changed:
                self._changed.notify_all()

    def missed(self) -> ShotBatch | None:
        """Arrivals whose time had passed by more than `stale` when their turn came, as shots that were not sent; those
        since the last time. They are among `planned`, and are not told by `came_back`."""
        return self._missed.take()

    # The open model

    def _open(self) -> Iterator[list[Arrival]]:
        number = self._profile.first_at(self._share.begin(self._now()))
        for due_ns in self._profile.due_ns(number):
            at, end = 0, len(due_ns) if self._limit is None else min(len(due_ns), max(0, self._limit - number))
            while at < end:
                now_ns = self._now()
                stale = int(np.searchsorted(due_ns[:end], now_ns - self._stale_ns))
                until = int(np.searchsorted(due_ns[:end], now_ns + self._ahead_ns, side="right"))
                if stale > at and not self._missed.is_full:
                    self._miss(number + at, due_ns[at:stale])
                    at = stale
                elif stale > at or until <= at:
                    yield []
                    self._wait(None if stale > at else int(due_ns[at]) - self._ahead_ns)
                else:
                    until = min(until, at + _CLAIM)
                    yield from self._claim(number + at, due_ns[at:until])
                    at = until
                if self._stopping:
                    return
            if end < len(due_ns):
                return
            number += len(due_ns)

    def _claim(self, first: int, due_ns: NDArray[np.int64]) -> Iterator[list[Arrival]]:
        """The arrivals of those of these iterations that are ours."""
        for index in self._share.claim(first, due_ns).tolist():
            if self._stopping:
                return
            self._iteration(first + index, int(due_ns[index]))
            if len(self._list) > _LIST - self._stride:
                yield from self._flush()
        yield from self._flush()

    def _miss(self, first: int, due_ns: NDArray[np.int64]) -> None:
        """Count those of these iterations that are ours, and make nothing of them."""
        mine = self._share.claim(first, due_ns)
        scenarios = self._parts.mix.scenarios(mine + first)
        self.planned += self._missed.add(
            self._sessions, scenarios, due_ns[mine] + self._job.start_ns, self._job.start_ns + self._now()
        )
        self._sessions += len(mine)
        self.iterations += len(mine)
        self.stale += len(mine)

    # The closed model

    def _closed(self) -> Iterator[list[Arrival]]:
        users = self._users = Users(
            self._profile, self._share, self._plan, limit=self._limit, think_ns=self._parts.most_think_ns
        )
        ahead_ns = min(self._ahead_ns, _MOST_USERS_AHEAD_NS)
        while not self._stopping:
            now_ns = self._now()
            while self._ended and len(self._list) <= _LIST - self._stride:
                user, ended_ns = self._ended.popleft()
                users.ended(user, ended_ns, now_ns)
            users.begin(now_ns, now_ns + ahead_ns, most=max(1, _LIST // self._stride))
            if self._list:
                yield from self._flush()
            elif users.is_over(now_ns):
                return
            else:
                yield []
                next_ns = users.next_ns()
                self._wait(None if next_ns is None else next_ns - ahead_ns, unless=self._ended)

    def _plan(self, number: int, user: int, due_ns: int, *, after: int = -1, pause_ns: int = -1) -> Planned:
        session, part = self._iteration(number, due_ns, user=user, after=after, pause_ns=pause_ns)
        last = session * self._stride + len(part.script.steps) - 1
        return Planned(last, part.between.draw(self._seed, _BETWEEN, number))

    # Both

    def _iteration(
        self, number: int, due_ns: int, *, user: int = -1, after: int = -1, pause_ns: int = -1
    ) -> tuple[int, Part]:
        """Add the arrivals of iteration `number` to the list; its session, and what it is of."""
        scenario, rank = self._parts.mix.of(number)
        part = self._parts.parts[scenario]
        seed, session = self._seed, self._sessions
        row = part.feed.row(rank)
        first = session * self._stride
        pauses = part.still or [part.think.draw(seed, _THINK + k, number) for k in range(part.pauses)]
        arrivals = part.script.arrivals(
            Iteration(
                number=number, scenario=scenario, due_ns=due_ns, user=user, after=after, pause_ns=pause_ns
            ),
            row,
            first_number=first,
            session=session,
            pauses_ns=pauses,
            keep=self._checks >= 1 or chance(seed, _KEEP, number) < self._checks,
        )  # fmt: skip
        # The feeder holds a frame back until its first arrival is near. A later step is due after the pauses before
        # it; as what comes first in a frame, it would hold back all the others.
        self._list += [a if a.due_ns == due_ns else a._replace(due_ns=due_ns) for a in arrivals]
        self._under_way[session] = _UnderWay(len(arrivals), first, row, part, user)
        self._sessions = session + 1
        self.iterations += 1
        self.planned += len(arrivals)
        return session, part

    def _flush(self) -> Iterator[list[Arrival]]:
        while made := self._list[:_LIST]:
            del self._list[:_LIST]
            yield made

    def _now(self) -> int:
        """Now, in ns from the schedule's start."""
        return self._now_ns() - self._job.start_ns

    def _wait(self, until_ns: int | None, unless: deque[tuple[int, int]] | None = None) -> None:
        seconds = self._pull_s if until_ns is None else min((until_ns - self._now()) / _NS, self._pull_s)
        with self._changed:
            if seconds > 0 and not self._stopping and not unless:
                self._changed.wait(max(seconds, min(_NAP_S, self._pull_s)))


def _steady() -> Callable[[], int]:
    """Unix time by the monotonic clock, anchored now."""
    anchor_ns = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + anchor_ns
