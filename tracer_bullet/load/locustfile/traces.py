"""What a process of Locust knows of its traces: one a task, one an arming request, one a request outside of tasks.

Context variables are greenlet-local (gevent 20.5 and later): what runs in a greenlet that a task has spawned has a
trace of its own. Does no I/O; the clock and the random numbers are arguments.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

_TOP: Final = 1 << 63
# A task that never ends must not keep its requests from the proof for ever.
_MOST_EXCHANGES: Final = 200


def make_clock() -> Callable[[], int]:
    """Unix nanoseconds on a clock that does not step back: anchored once."""
    anchor = time.time_ns() - time.perf_counter_ns()
    return lambda: anchor + time.perf_counter_ns()


@dataclass(slots=True)
class Exchange:
    """One HTTP request on the wire: a redirect or a retry is another. Times are Unix nanoseconds, 0: not yet."""

    span_id: str
    method: str
    url: str
    endpoint: str
    sent_ns: int
    ended_ns: int = 0
    status: int = 0
    error: str = ""
    answer_bytes: int = 0

    def row(self) -> list[Any]:
        """As a `trace` message has it."""
        return [
            self.span_id,
            self.method,
            self.url,
            self.endpoint,
            self.sent_ns,
            self.ended_ns,
            self.status,
            self.error,
            self.answer_bytes,
        ]


@dataclass(slots=True)
class Trace:
    """A trace and what was sent in it. `chosen`: its spans are held and audited. `arms`: the endpoint that waits for
    it."""

    trace_id: str
    name: str
    chosen: bool
    arms: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    closed: bool = False

    def message(self) -> dict[str, Any]:
        """As the conductor is told."""
        shots = [e.row() for e in self.exchanges]
        return {"t": "trace", "id": self.trace_id, "name": self.name, "arms": self.arms, "shots": shots}


@dataclass(slots=True)
class Hit:
    """A request as Locust counts it, with its exchanges; None as trace: it goes to somebody who is only allowed."""

    endpoint: str
    trace: Trace | None
    sent_ns: int
    ended_ns: int = 0
    last: Exchange | None = None
    reported: bool = False


class Sampler:
    """Says which traces are audited: at most `rate` a second, as a bucket that holds one second's worth."""

    def __init__(self, rate: float, clock_s: Callable[[], float]) -> None:
        self.rate = rate
        self._clock_s = clock_s
        self._left = max(rate, 1.0)
        self._seen_s = clock_s()

    def take(self) -> bool:
        """Whether the trace that begins now is one of them."""
        now_s = self._clock_s()
        self._left = min(max(self.rate, 1.0), self._left + (now_s - self._seen_s) * self.rate)
        self._seen_s = now_s
        if self._left < 1.0 or self.rate <= 0:
            return False
        self._left -= 1.0
        return True


class TaskRun:
    """One execution of a task; its trace begins with its first request."""

    __slots__ = ("last_sent_ns", "name", "trace")

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_sent_ns = 0
        self.trace: Trace | None = None


# What runs in this greenlet.
task_run: ContextVar[TaskRun | None] = ContextVar("tracer_bullet_task", default=None)
hit: ContextVar[Hit | None] = ContextVar("tracer_bullet_hit", default=None)
# Requests that a custom client has sent, and no event of Locust has claimed yet.
unclaimed: ContextVar[tuple[Hit, ...]] = ContextVar("tracer_bullet_unclaimed", default=())


class Traces:
    """Begins and ends traces. `tell` gets the message of each that is audited."""

    def __init__(
        self, sampler: Sampler, rng: random.Random, tell: Callable[[dict[str, Any]], None], *, per_request: bool
    ) -> None:
        self.sampler = sampler
        self._rng = rng
        self._tell = tell
        self._per_request = per_request

    def begin(self, name: str, *, arms: str = "") -> Trace:
        """A new trace. The low half of its id says whether it is audited (`protocol.KEPT_SHARE`)."""
        chosen = bool(arms) or self.sampler.take()
        low = self._rng.getrandbits(63) | (0 if chosen else _TOP)
        high = self._rng.getrandbits(64)
        if not high and not low:
            low = 1
        return Trace(trace_id=f"{high:016x}{low:016x}", name=name, chosen=chosen, arms=arms)

    def of_request(self, endpoint: str, *, arms: bool) -> Trace:
        """The trace that a request belongs to; an arming one has its own, which must not wait for the task's end."""
        run = task_run.get()
        if arms:
            return self.begin(f"arming {endpoint}", arms=endpoint)
        if run is None or self._per_request:
            return self.begin(run.name if run is not None else endpoint)
        if run.trace is not None and len(run.trace.exchanges) >= _MOST_EXCHANGES:
            self.end(run.trace)
            run.trace = None
        if run.trace is None:
            run.trace = self.begin(run.name)
        return run.trace

    def is_own(self, trace: Trace) -> bool:
        """Whether a trace ends with its request."""
        run = task_run.get()
        return run is None or run.trace is not trace

    def end(self, trace: Trace, *, now_ns: int = 0) -> None:
        """No more requests are in it: have it audited, when it is one of those."""
        if trace.closed:
            return
        trace.closed = True
        if not trace.chosen:
            return
        for exchange in trace.exchanges:
            if not exchange.ended_ns:
                exchange.ended_ns = max(now_ns, exchange.sent_ns)
                exchange.error = exchange.error or "stopped"
        if trace.exchanges or trace.arms:
            self._tell(trace.message())

    def span_id(self) -> str:
        """16 hex digits, not all zero."""
        return f"{self._rng.randrange(1, 1 << 64):016x}"
