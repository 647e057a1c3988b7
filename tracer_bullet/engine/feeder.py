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


class Feeder:
    """Pulls `source` in a thread. `send` writes a frame (blocking). What was pulled is `owed` until it comes back.

    Memory is bounded in both directions: at most `ahead_bytes` are owed, and nothing is pulled that is due more than
    `ahead_s` after now.
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
                self._send(wire.pack_arrivals(frame))
        except BaseException as error:  # noqa: BLE001  (raised again by the driver)
            self.error = error
        finally:
            self.ended = True
            try:
                self._send(wire.pack(wire.SOURCE_ENDED))
            except OSError as error:  # the engine is gone, which its own socket tells too
                self.error = self.error or error

    def _frames(self) -> Iterator[list[Arrival]]:
        """The source's arrivals in lists of a size that neither holds up the engine nor costs much each."""
        frame: list[Arrival] = []
        size = 0
        for batch in self._source:
            at = 0
            while some := batch[at : at + _FRAME - len(frame)]:
                at += len(some)
                size += self._owe(some)
                frame += some
                if len(frame) >= _FRAME or size > _FRAME_BYTES:
                    yield frame
                    frame, size = [], 0
            if frame and self._start_ns + frame[0].due_ns - self._now_ns() < _SOON_NS:
                yield frame
                frame, size = [], 0
            if self._stopping:
                break
        if frame:
            yield frame

    def _owe(self, arrivals: list[Arrival]) -> int:
        """Note down what is pulled; how many bytes it has."""
        start, owed, total, more = self._start_ns, self._owed, 0, 0
        with self._changed:
            for number, due, session, origin, endpoint, head, body, _, _, _, _, _, keep, *_ in arrivals:
                size = len(head) + len(body)
                total += size
                weight = size + _OVERHEAD + (_KEPT if keep else 0)
                more += weight
                owed[number] = (session, endpoint, origin, start + due, weight)
            self._weight += more
        return total

    def _wait(self, frame: list[Arrival]) -> bool:
        """Wait until the frame may be handed over; False when it need not be any more."""
        mine = sum(self._owed[a.number][4] for a in frame)
        due = self._start_ns + frame[0].due_ns
        with self._changed:
            while not self._stopping:
                early_ns = due - self._now_ns() - self._ahead_ns
                if self._weight - mine > self._room:
                    self._changed.wait(0.1 if early_ns <= 0 else None)
                elif early_ns > 0:
                    self._changed.wait(early_ns / 1e9)
                else:
                    return True
        return False


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
