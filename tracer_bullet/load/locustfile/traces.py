"""What a process of Locust knows of its traces: one an execution of a task, or as the mode says.

A bullet that wrote something finds it again only in the same trace (`TRACER_BULLET_HOLD_S`), so a request that arms an
endpoint is in the trace of its task, like all others.

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
# Others wait for a trace that arms: so long may its task be silent.
_IDLE_NS: Final = 1_000_000_000
# After the last endpoint that was new: so long all traces are kept, should they meet another.
_ARMING_NS: Final = 30_000_000_000


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
    """A trace and what was sent in it. `kept`: its spans are held by the receiver; `audited`: and judged. `arms`: the
    endpoints that wait for it. `seen_ns`: when something of it began or ended last; `busy`: requests under way."""

    trace_id: str
    name: str
    kept: bool
    audited: bool
    seen_ns: int
    arms: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    busy: int = 0
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
    """One execution of a task, or what a user does outside of tasks; its trace begins with its first request."""

    __slots__ = ("is_task", "last_sent_ns", "name", "trace")

    def __init__(self, name: str, *, is_task: bool) -> None:
        self.name = name
        self.is_task = is_task
        self.last_sent_ns = 0
        self.trace: Trace | None = None


# What runs in this greenlet.
task_run: ContextVar[TaskRun | None] = ContextVar("tracer_bullet_task", default=None)
hit: ContextVar[Hit | None] = ContextVar("tracer_bullet_hit", default=None)
# Requests that a custom client has sent, and no event of Locust has claimed yet.
unclaimed: ContextVar[tuple[Hit, ...]] = ContextVar("tracer_bullet_unclaimed", default=())


class Traces:
    """Begins and ends traces. `tell` gets the message of each that is audited. `mode`: `task`, `user` or `request`."""

    def __init__(
        self,
        sampler: Sampler,
        rng: random.Random,
        tell: Callable[[dict[str, Any]], None],
        *,
        mode: str,
        now_ns: Callable[[], int],
    ) -> None:
        self.sampler = sampler
        self.mode = mode
        self._rng = rng
        self._tell = tell
        self._now_ns = now_ns
        self._arming: list[Trace] = []
        self._asked_ns = now_ns()

    def begin_request(self, endpoint: str, *, arms: bool) -> Trace:
        """The trace that a request belongs to, which is now under way. An arming one makes its trace an audited one."""
        run = task_run.get()
        alone = run is None or self.mode == "request"
        trace = None if alone or run is None else run.trace
        if trace is not None and (trace.closed or (arms and not trace.kept) or self._is_long(trace)):
            self.end(trace)
            trace = None
        if trace is None:
            trace = self._begin(run.name if run is not None else endpoint, arms=arms)
            if not alone and run is not None:
                run.trace = trace
        if arms:
            trace.audited = True
            trace.arms.append(endpoint)
            self._asked_ns = self._now_ns()
            if trace not in self._arming:
                self._arming.append(trace)
        trace.busy += 1
        trace.seen_ns = self._now_ns()
        return trace

    def end_request(self, trace: Trace) -> None:
        """It is no longer under way; a trace that it has for itself ends with it."""
        trace.busy -= 1
        trace.seen_ns = self._now_ns()
        run = task_run.get()
        if (run is None or run.trace is not trace) and trace.busy <= 0:
            self.end(trace)

    def end_run(self, run: TaskRun) -> None:
        """A task has ended, or what came before it."""
        if run.trace is not None:
            self.end(run.trace)
            run.trace = None

    def end_waited_for(self, endpoint: str) -> None:
        """Before this greenlet waits for an endpoint: should its own trace be what arms it, that must end first."""
        run = task_run.get()
        if run is not None and run.trace is not None and endpoint in run.trace.arms:
            self.end_run(run)

    def end_idle(self) -> None:
        """End traces that arm endpoints and have been idle for a while: others wait for them."""
        now_ns = self._now_ns()
        for trace in list(self._arming):
            if trace.busy <= 0 and now_ns - trace.seen_ns > _IDLE_NS:
                self.end(trace)

    def end(self, trace: Trace) -> None:
        """No more requests are in it: have it audited, when it is one of those."""
        if trace.closed:
            return
        trace.closed = True
        if trace in self._arming:
            self._arming.remove(trace)
        if not trace.audited:
            return
        for exchange in trace.exchanges:
            if not exchange.ended_ns:
                exchange.ended_ns = max(self._now_ns(), exchange.sent_ns)
                exchange.error = exchange.error or "stopped"
        if trace.exchanges or trace.arms:
            self._tell(trace.message())

    def span_id(self) -> str:
        """16 hex digits, not all zero."""
        return f"{self._rng.randrange(1, 1 << 64):016x}"

    def _begin(self, name: str, *, arms: bool) -> Trace:
        """A new trace. The low half of its id says whether it is kept (`protocol.KEPT_SHARE`)."""
        audited, now_ns = self.sampler.take(), self._now_ns()
        # While endpoints are still being armed, any trace may have to be one that arms.
        kept = audited or arms or now_ns - self._asked_ns < _ARMING_NS
        low = self._rng.getrandbits(63) | (0 if kept else _TOP)
        high = self._rng.randrange(1, 1 << 64)
        return Trace(trace_id=f"{high:016x}{low:016x}", name=name, kept=kept, audited=audited, seen_ns=now_ns)

    def _is_long(self, trace: Trace) -> bool:
        return self.mode == "task" and len(trace.exchanges) >= _MOST_EXCHANGES and trace.busy <= 0
