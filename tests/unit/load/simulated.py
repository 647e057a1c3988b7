"""An engine without sockets and a clock without time: arrivals in, ends out, as `model/arrival.py` promises them."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tracer_bullet.load.planner import Planner
from tracer_bullet.load.share import Share
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.load import SenderJob
from tracer_bullet.model.shots import ShotBatch


@dataclass
class Clock:
    """Unix time in ns, moved by hand."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Engine:
    """Ends each arrival `took` ns after it may begin. `begun`: number → when its request went."""

    clock: Clock
    start_ns: int
    took: Callable[[Arrival], int]
    begun: dict[int, int] = field(default_factory=dict)
    keep: bool = True
    _ends: dict[int, int] = field(default_factory=dict)
    _waiting: dict[int, list[Arrival]] = field(default_factory=dict)
    _running: list[tuple[int, int, Arrival]] = field(default_factory=list)

    def hand_over(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.after < 0:
                self._begin(arrival, self.start_ns + arrival.due_ns)
            elif arrival.after in self._ends:
                self._begin(arrival, self._ends[arrival.after] + max(0, arrival.pause_ns))
            else:
                self._waiting.setdefault(arrival.after, []).append(arrival)

    def _begin(self, arrival: Arrival, at_ns: int) -> None:
        if self.keep:
            self.begun[arrival.number] = at_ns
        heapq.heappush(self._running, (at_ns + self.took(arrival), arrival.number, arrival))

    @property
    def next_ns(self) -> int | None:
        return self._running[0][0] if self._running else None

    def ended(self) -> ShotBatch | None:
        """What has ended by now."""
        rows: list[tuple[int, Arrival]] = []
        while self._running and self._running[0][0] <= self.clock.now_ns:
            at_ns, _, arrival = heapq.heappop(self._running)
            rows.append((at_ns, arrival))
            self._ends[arrival.number] = at_ns
            if len(self._ends) > 100:  # as the engine, it remembers only recent ends
                self._ends.pop(next(iter(self._ends)))
            for waiting in self._waiting.pop(arrival.number, ()):
                self._begin(waiting, at_ns + max(0, waiting.pause_ns))
        return batch_of(rows) if rows else None


def batch_of(rows: list[tuple[int, Arrival]]) -> ShotBatch:
    """A batch of arrivals that ended then, all well."""
    count = len(rows)
    none = array("q", bytes(8 * count))
    return ShotBatch(
        number=array("q", [a.number for _, a in rows]),
        session=array("q", [a.session for _, a in rows]),
        endpoint=array("i", [a.endpoint for _, a in rows]),
        origin=array("i", [a.origin for _, a in rows]),
        trace_hi=array("Q", bytes(8 * count)), trace_lo=array("Q", bytes(8 * count)),
        span_id=array("Q", bytes(8 * count)),
        due_ns=none, ready_ns=none, sent_ns=none, first_ns=none,
        ended_ns=array("q", [at for at, _ in rows]),
        status=array("i", [200]) * count, error=array("b", bytes(count)), request_bytes=none, answer_bytes=none,
    )  # fmt: skip


class Run:
    """A planner and an engine; iterating gives the arrivals as they are handed over, and moves the clock meanwhile.

    `told_after_ns`: how long the engine takes to tell what has ended.
    """

    def __init__(
        self,
        job: SenderJob,
        share: Share | None = None,
        *,
        took: Callable[[Arrival], int] = lambda _: 10_000_000,
        told_after_ns: int = 0,
        clock: Clock | None = None,
        keep: bool = True,
    ) -> None:
        self.clock = clock or Clock(job.start_ns - 500_000_000)
        self.share = share or Share(job.shards, range(job.shards))
        self.planner = Planner(job, self.share, now_ns=self.clock, pull_s=0.0001)
        self.engine = Engine(self.clock, job.start_ns, took, keep=keep)
        self._told_after_ns = told_after_ns
        self._lists = iter(self.planner)

    def __iter__(self) -> Iterator[list[Arrival]]:
        for arrivals in self._lists:
            if arrivals:
                self.engine.hand_over(arrivals)
                yield arrivals
            else:
                self.move()

    def move(self) -> None:
        """To the next end, but not more than a tenth of a second."""
        now_ns = self.clock.now_ns
        next_ns = self.engine.next_ns
        later_ns = now_ns + 100_000_000
        if next_ns is not None:
            later_ns = min(later_ns, max(now_ns + 1, next_ns + self._told_after_ns))
        self.clock.now_ns = later_ns
        self.tell()

    def tell(self) -> None:
        """Whatever has ended comes back."""
        batch = self.engine.ended()
        if batch is not None:
            self.planner.came_back(batch)

    def finish(self) -> None:
        """Let all end that is under way."""
        while self.engine.next_ns is not None:
            self.move()
