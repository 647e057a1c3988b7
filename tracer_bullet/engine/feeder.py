"""The driver's thread that pulls arrivals from their source and hands them to the engine, not too many ahead."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Final

from tracer_bullet.engine import wire
from tracer_bullet.engine.client import LOST, STOPPED
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.shots import ShotBatch

_FRAME: Final = 128
_FRAME_BYTES: Final = 262_144
# What an arrival takes in the engine beside its bytes, roughly; an answer that is kept counts more.
_OVERHEAD: Final = 700
_KEPT: Final = 16_384
# An arrival that is due sooner is handed over at once instead of waiting for a full frame.
_SOON_NS: Final = 1_000_000_000

Owed = tuple[int, int, int, int, int]  # session, endpoint, origin, due (Unix ns), weight
_NOTHING: Final[Owed] = (0, 0, 0, 0, 0)
_NEVER: Final = 1 << 62


class Feeder:
    """Pulls `source` in a thread. `send` writes a frame (blocking). What was pulled is `owed` until it comes back.

    Memory is bounded in both directions: at most `ahead_bytes` are owed, and nothing is pulled that is due more than
    `ahead_s` after now; which wants a source in the order of due times. Arrivals that are due a pause after another one
    (`pause_ns`) are handed over with what was pulled before them, or at once, since nobody knows yet when they are due;
    and they do not count for `ahead_bytes`, lest those of iterations under way hold up the ones to come. How many there
    are is for the source to bound.
    """

    def __init__(
        self,
        source: Iterable[list[Arrival]],
        start_ns: int,
        send: Callable[[bytes], None],
        *,
        ahead_s: float,
        ahead_bytes: int,
    ) -> None:
        self._source = source
        self._start_ns = start_ns
        # As the engine does: a step of the clock neither holds the schedule up nor hurries it.
        self._unix_ns = time.time_ns() - time.monotonic_ns()
        self._send = send
        self._ahead_ns = int(ahead_s * 1e9)
        self._room = ahead_bytes
        self._owed: dict[int, Owed] = {}
        self._weight = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="tracer-bullet-feeder", daemon=True)
        self.error: BaseException | None = None
        self.ended = False

    def start(self) -> None:
        """Begin to pull."""
        self._thread.start()

    def stop(self) -> None:
        """Pull nothing more; the engine is told that the source has ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        stop_source = getattr(self._source, "stop", None)
        if callable(stop_source) and not self.ended:
            stop_source()  # it may block until something has come back

    @property
    def is_stopping(self) -> bool:
        """Whether it was stopped."""
        return self._stopping

    def join(self) -> None:
        """Wait until the source is no longer pulled: at most one item of it is still awaited."""
        self._thread.join()

    def came_back(self, batch: ShotBatch) -> None:
        """These are accounted for."""
        with self._changed:
            paid = map(self._owed.pop, batch.number, repeat(_NOTHING))
            self._weight -= sum([owed[4] for owed in paid])
            self._changed.notify_all()

    def unpaid(self, error: int) -> ShotBatch | None:
        """What was pulled and never came back, as shots with this error."""
        with self._changed:
            rows, self._owed, self._weight = self._owed, {}, 0
        return _failed(rows, error) if rows else None

    def _now_ns(self) -> int:
        return time.monotonic_ns() + self._unix_ns

    def _run(self) -> None:
        try:
            for frame in self._frames():
                if not self._wait(frame):
                    break
                self._send(wire.pack_arrivals(frame.arrivals))
        except BaseException as error:  # noqa: BLE001  (raised again by the driver)
            self.error = error
        finally:
            self.ended = True
            try:
                self._send(wire.pack(wire.SOURCE_ENDED))
            except OSError as error:  # the engine is gone, which its own socket tells too
                self.error = self.error or error

    def _frames(self) -> Iterator[_Frame]:
        """The source's arrivals in frames of a size that neither holds up the engine nor costs much each."""
        frame = _Frame(self._start_ns)
        for batch in self._source:
            at = 0
            while some := batch[at : at + _FRAME - len(frame.arrivals)]:
                at += len(some)
                self._owe(some, frame)
                if len(frame.arrivals) >= _FRAME or frame.size > _FRAME_BYTES:
                    yield frame
                    frame = _Frame(self._start_ns)
            if frame.arrivals and frame.go_ns - self._now_ns() < _SOON_NS:
                yield frame
                frame = _Frame(self._start_ns)
            if self._stopping:
                break
        if frame.arrivals:
            yield frame

    def _owe(self, arrivals: list[Arrival], frame: _Frame) -> None:
        """Note down what is pulled, and put it into the frame."""
        start, owed, size, more, earliest, pauses = self._start_ns, self._owed, 0, 0, _NEVER, False
        with self._changed:
            for number, due, session, origin, endpoint, head, body, _, _, _, _, _, keep, pause, *_ in arrivals:
                length = len(head) + len(body)
                size += length
                if pause >= 0:
                    weight, pauses = 0, True
                else:
                    weight = length + _OVERHEAD + (_KEPT if keep else 0)
                    more += weight
                    earliest = min(earliest, due)
                owed[number] = (session, endpoint, origin, start + due, weight)
            self._weight += more
        frame.add(arrivals, size, more, earliest, pauses=pauses)

    def _wait(self, frame: _Frame) -> bool:
        """Wait until the frame may be handed over; False when it need not be any more."""
        with self._changed:
            while not self._stopping:
                early_ns = frame.go_ns - self._now_ns() - self._ahead_ns
                if self._weight - frame.weight > self._room and frame.weight:
                    self._changed.wait(0.1 if early_ns <= 0 else None)
                elif early_ns > 0:
                    self._changed.wait(early_ns / 1e9)
                else:
                    return True
        return False


class _Frame:
    """Arrivals to be handed over together. `go_ns`: when the first of them is due, Unix time, and 0 when one is due a
    pause after one that was handed over before."""

    __slots__ = ("_numbers", "_start_ns", "arrivals", "go_ns", "size", "weight")

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._numbers: set[int] = set()
        self.arrivals: list[Arrival] = []
        self.size = self.weight = 0
        self.go_ns = _NEVER

    def add(self, arrivals: list[Arrival], size: int, weight: int, earliest_ns: int, *, pauses: bool) -> None:
        """More of them; `earliest_ns`: of those that are due at a time of their own; whether there are `pauses`."""
        self.arrivals += arrivals
        self.size += size
        self.weight += weight
        self.go_ns = min(self.go_ns, self._start_ns + earliest_ns)
        if pauses or self._numbers:
            self._numbers.update([a.number for a in (arrivals if self._numbers else self.arrivals)])
        if pauses and any(a.pause_ns >= 0 and a.after not in self._numbers for a in arrivals):
            self.go_ns = 0


def _failed(rows: dict[int, Owed], error: int) -> ShotBatch:
    now = time.time_ns()
    count = len(rows)

    def column(code: str, values: Iterable[int] = ()) -> array[int]:
        return array(code, values) or array(code, bytes(array(code).itemsize * count))

    values = list(rows.values())
    return ShotBatch(
        number=column("q", rows),
        session=column("q", [v[0] for v in values]),
        endpoint=column("i", [v[1] for v in values]),
        origin=column("i", [v[2] for v in values]),
        trace_hi=column("Q"),
        trace_lo=column("Q"),
        span_id=column("Q"),
        due_ns=column("q", [v[3] for v in values]),
        ready_ns=column("q", [v[3] for v in values]),
        sent_ns=column("q"),
        first_ns=column("q"),
        ended_ns=column("q", [now] * count),
        status=column("i"),
        error=column("b", [error] * count),
        request_bytes=column("q"),
        answer_bytes=column("q"),
    )


__all__ = ["LOST", "STOPPED", "Feeder"]
