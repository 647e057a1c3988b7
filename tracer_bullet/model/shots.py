"""What the engine gives back: shots as columns, since a Python object a request would cost more than the sending."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final

from tracer_bullet.model.exchange import Answer

# Why no complete answer came; a shot's `error` is an index into these. 0 is none.
SHOT_ERRORS: Final = (
    "",
    "connect",  # no connection: refused, unreachable, name unknown
    "tls",
    "connect-timeout",
    "send-timeout",
    "answer-timeout",
    "total-timeout",
    "reset",  # the connection broke before the answer was whole
    "protocol",  # the answer is no HTTP
    "too-large",  # its headers or its kept body pass a limit
    "slot",  # an answer did not mint what the request needs: it was not sent
    "stopped",  # the run ended first: it was not sent, or its answer was not awaited
    "lost",  # the process that had it died: whether it was sent is not known
    "unexpected",  # a whole answer came, and is not what its endpoint or its step expects
    "skipped",  # what it needs failed: it was not sent
    "stale",  # its time had long passed when its turn came: it was not sent, lest a burst hit the target
)
NOT_SENT: Final = frozenset({"slot", "stopped", "skipped", "stale"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotBatch:
    """Columns of equal length, one row a shot, in order of their ends.

    `number`, `session`, `endpoint`, `origin`: as in Arrival. `trace_hi`, `trace_lo`, `span_id`: unsigned halves of the
    W3C ids. Times are Unix nanoseconds on the engine's one clock (monotonic, anchored once): `due_ns` is the intended
    time, `ready_ns` when neither its session nor a pause that its host asked for kept it any more (≥ due_ns), `sent_ns`
    when its first byte was written (0: never), `first_ns` the answer's first byte (0: none), `ended_ns`. Lateness is
    sent − ready; held is ready − due; latency is ended − due; service time is ended − sent. `status` 0: none. `error`:
    index into SHOT_ERRORS.
    """

    number: array[int]  # q
    session: array[int]  # q
    endpoint: array[int]  # i
    origin: array[int]  # i
    trace_hi: array[int]  # Q
    trace_lo: array[int]  # Q
    span_id: array[int]  # Q
    due_ns: array[int]  # q
    ready_ns: array[int]  # q
    sent_ns: array[int]  # q
    first_ns: array[int]  # q
    ended_ns: array[int]  # q
    status: array[int]  # i
    error: array[int]  # b
    request_bytes: array[int]  # q
    answer_bytes: array[int]  # q

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """The answer to an arrival that asked for it. `cut`: the body was longer than is kept."""

    number: int
    answer: Answer
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNote:
    """What the engine tells beside shots, each half second and at the end of a run.

    Totals of the run: `sent` requests; `backed_off`, those that waited for a pause that their host asked for;
    `starved`, those that came to the engine after they were due; `resent`, those that were written again since an idle
    connection had been closed beneath them. Now: `waiting` for a connection, `connections` open. `disabled`: a service
    answered that the kill switch is on.
    """

    sent: int
    waiting: int
    connections: int
    backed_off: int = 0
    starved: int = 0
    resent: int = 0
    disabled: bool = False
