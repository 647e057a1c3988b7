"""How customers fare while bullets fly: entry spans (server, consumer) that belong to no bullet, counted as they come.

Counted where all spans come by, whatever share of traces is kept. Memory is bounded: a meter holds counts by second of
its window, and there is one only for what somebody asked to be watched.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple

from tracer_bullet.model import SpanKind, SpanStatus, attributes
from tracer_bullet.model.distribution import Distribution, bucket_of
from tracer_bullet.traces.columns import SpanColumns

_ENTRY: Final = frozenset({int(SpanKind.SERVER), int(SpanKind.CONSUMER)})
_ERROR: Final = int(SpanStatus.ERROR)
# docs/protocol.md, section 1: services without guards forward it, and their spans have it too.
_FLAG: Final = "tb=t"
_OWN_PROBES: Final = "tracer-bullet-health/"
_USER_AGENTS: Final = ("user_agent.original", "http.user_agent")
_HTTP_STATUSES: Final = ("http.response.status_code", "http.status_code")
_GRPC_STATUSES: Final = ("rpc.grpc.status_code", "rpc.response.status_code")
# What OpenTelemetry's conventions for RPC spans do not take for a server's error; as graph/sql/slo.py.
_GRPC_CLIENT_FAULTS: Final = frozenset((
    "1", "3", "5", "6", "7", "8", "9", "10", "11", "16", "CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNAUTHENTICATED",
))  # fmt: skip


class StandardCall(NamedTuple):
    """A call of a customer's. `client_fault`: it failed, and not by the service's fault."""

    service: str
    operation: str
    duration_ns: int
    failed: bool
    client_fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWindow:
    """The calls of a window. `bad` of them are what the meter was told to take for bad."""

    calls: int
    bad: int
    durations: Distribution


@dataclass(slots=True)
class _Slot:
    second: int
    calls: int = 0
    bad: int = 0
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    buckets: Counter[int] = field(default_factory=Counter)


class StandardMeter:
    """Counts the calls of one service (or one operation of it) over the last `window_s` whole seconds.

    A call counts when it is heard of: clocks of services may be wrong, and exporters send late. For several threads.
    """

    def __init__(
        self,
        service: str,
        operation: str = "",
        *,
        window_s: float,
        is_bad: Callable[[StandardCall], bool] = lambda call: call.failed and not call.client_fault,
    ) -> None:
        self.service = service
        self.operation = operation
        self._window_s = int(window_s)
        self._is_bad = is_bad
        self._slots: deque[_Slot] = deque()
        self._lock = threading.Lock()

    def add(self, calls: Iterable[StandardCall], now_s: float) -> None:
        """Count those of the calls that are the service's. `now_s` is of a monotonic clock."""
        mine = [
            call
            for call in calls
            if call.service == self.service and (not self.operation or call.operation == self.operation)
        ]
        if not mine:
            return
        durations = [max(call.duration_ns, 0) for call in mine]
        with self._lock:
            slot = self._slot(int(now_s))
            slot.min_ns = min((slot.min_ns, *durations)) if slot.calls else min(durations)
            slot.max_ns = max(slot.max_ns, *durations)
            slot.calls += len(mine)
            slot.bad += sum(map(self._is_bad, mine))
            slot.total_ns += sum(durations)
            slot.buckets.update(map(bucket_of, durations))

    def window(self, now_s: float) -> StandardWindow:
        """What was counted in the window that ends at `now_s`."""
        with self._lock:
            self._forget(int(now_s))
            slots = [slot for slot in self._slots if slot.calls]
            buckets: Counter[int] = Counter()
            for slot in slots:
                buckets.update(slot.buckets)
            durations = Distribution(
                buckets=tuple(sorted(buckets.items())),
                total_ns=sum(slot.total_ns for slot in slots),
                min_ns=min((slot.min_ns for slot in slots), default=0),
                max_ns=max((slot.max_ns for slot in slots), default=0),
            )
            return StandardWindow(calls=sum(s.calls for s in slots), bad=sum(s.bad for s in slots), durations=durations)

    def _slot(self, second: int) -> _Slot:
        if not self._slots or self._slots[-1].second < second:
            self._slots.append(_Slot(second=second))
            self._forget(second)
        return self._slots[-1]

    def _forget(self, second: int) -> None:
        while self._slots and self._slots[0].second <= second - self._window_s:
            self._slots.popleft()


class StandardTap:
    """Where a receiver's spans come by. Without meters it costs nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._meters: tuple[StandardMeter, ...] = ()

    def open(self, meter: StandardMeter) -> None:
        """Count into `meter` from now on."""
        self._meters = (*self._meters, meter)

    def close(self, meter: StandardMeter) -> None:
        """No longer."""
        self._meters = tuple(m for m in self._meters if m is not meter)

    @property
    def watched(self) -> set[str]:
        """The services of all meters."""
        return {meter.service for meter in self._meters}

    def window_of(self, meter: StandardMeter) -> StandardWindow:
        """What a meter has counted, now."""
        return meter.window(self._clock())

    def take(self, columns: SpanColumns) -> None:
        """Spans have come; called in the thread that received them."""
        meters = self._meters
        if not meters:
            return
        now_s = self._clock()
        calls = list(standard_calls(columns, {meter.service for meter in meters}))
        for meter in meters:
            meter.add(calls, now_s)


def standard_calls(columns: SpanColumns, services: set[str]) -> Iterator[StandardCall]:
    """The entry spans of these services that belong to no bullet.

    A bullet's are known by `tb.request_type` or by the flag in their trace state, refused ones by `tb.refused`; the
    harness's own health probes, where their user agent is recorded, are nobody's.
    """
    rows = [
        row
        for row, (kind, service, state) in enumerate(
            zip(columns.kinds, columns.services, columns.trace_states, strict=True)
        )
        if kind in _ENTRY and service in services and not _flagged(state)
    ]
    if not rows:
        return
    ends = list(accumulate(columns.attributes.counts, initial=0))
    for row in rows:
        begin, end = ends[row], ends[row + 1]
        told = dict(zip(columns.attributes.keys[begin:end], columns.attributes.values[begin:end], strict=True))
        if _is_bullet(told) or any(told.get(key, "").startswith(_OWN_PROBES) for key in _USER_AGENTS):
            continue
        failed = columns.statuses[row] == _ERROR
        yield StandardCall(
            service=columns.services[row],
            operation=columns.names[row],
            duration_ns=columns.ends[row] - columns.starts[row],
            failed=failed,
            client_fault=failed and _is_client_fault(told),
        )


def _flagged(trace_state: str) -> bool:
    return _FLAG in trace_state and any(member.strip() == _FLAG for member in trace_state.split(","))


def _is_bullet(told: Mapping[str, str]) -> bool:
    return told.get(attributes.REQUEST_TYPE) == "TRACE" or attributes.REFUSED in told


def _is_client_fault(told: Mapping[str, str]) -> bool:
    http = (told.get(key, "") for key in _HTTP_STATUSES)
    return any(len(status) == 3 and status[0] == "4" for status in http) or any(
        told.get(key) in _GRPC_CLIENT_FAULTS for key in _GRPC_STATUSES
    )
