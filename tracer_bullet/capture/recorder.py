"""From a live source to the archive: what must not be recorded is left out, the rest is redacted, then written.

Posture: the source never waits and never fails for its recording. What is left out is counted by reason; what cannot be
redacted is left out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Protocol, Self

from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter
from tracer_bullet.capture.selection import NOT_SAMPLED, Selection
from tracer_bullet.capture.sessions import Sessions
from tracer_bullet.errors import TracerBulletError
from tracer_bullet.model.exchange import Exchange

# Why an exchange was left out, besides what `selection` says.
REDACTION: Final = "redaction"
QUEUE_FULL: Final = "queue-full"
TOO_LARGE: Final = "too-large"
NOT_WRITTEN: Final = "not-written"
CLOSED: Final = "closed"

QUEUE_BYTES: Final = 64 << 20
QUEUE_LENGTH: Final = 50_000
# What an exchange takes besides its bodies, about.
_OVERHEAD: Final = 2_000


class Redacts(Protocol):
    """What the recorder needs of a redactor."""

    def apply(self, exchange: Exchange) -> Exchange:
        """The exchange without its secrets. Raises when it cannot look into it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderCounts:
    """`offered` = `written` + `waiting` + all that was left out, by reason."""

    offered: int
    written: int
    waiting: int
    left_out: Counter[str]


class Recorder:
    """Takes exchanges from any thread; one thread of its own redacts and writes them. Close it before its writer.

    `sessions` None: exchanges keep the session that they have; `selection` None: all is recorded that may be. Ids are
    `<prefix>-<number>`; the prefix is the time of the start, so that they stay unique when the archive is gone on with.
    `failed`: the archive could not be written (a full disk); it is tried again with each exchange.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        redactor: Redacts,
        *,
        sessions: Sessions | None = None,
        selection: Selection | None = None,
        clock: Callable[[], int] = time.time_ns,
        queue_bytes: int = QUEUE_BYTES,
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self._writer = writer
        self._redactor = redactor
        self._sessions = sessions
        self._selection = selection or Selection()
        self._prefix = f"{clock():x}"
        self._queue_bytes = queue_bytes
        self._queue_length = queue_length
        self._changed = threading.Condition()
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._waiting_bytes = 0
        self._busy = 0
        self._offered = 0
        self._written = 0
        self._left_out: Counter[str] = Counter()
        self._closed = False
        self.failed: TracerBulletError | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def counts(self) -> RecorderCounts:
        """What has become of what was offered, so far."""
        with self._changed:
            return RecorderCounts(
                offered=self._offered,
                written=self._written,
                waiting=len(self._queue) + self._busy,
                left_out=Counter(self._left_out),
            )

    def take(self, exchange: Exchange) -> bool:
        """Queue it; whether it was. Never waits, never raises."""
        reason = self._selection.why_not(exchange)
        size = _size(exchange)
        with self._changed:
            self._offered += 1
            if reason:
                return self._leave_out(reason)
            if self._closed:
                return self._leave_out(CLOSED)
            if len(self._queue) >= self._queue_length or (
                self._queue and self._waiting_bytes + size > self._queue_bytes
            ):
                return self._leave_out(QUEUE_FULL)
            self._queue.append((exchange, size))
            self._waiting_bytes += size
            self._changed.notify()
        return True

    def close(self) -> None:
        """Write what waits, and end the thread. Flushes the writer; raises ArchiveError when that fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._writer.flush()

    def _leave_out(self, reason: str) -> bool:
        self._left_out[reason] += 1
        return False

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return
                exchange, size = self._queue.popleft()
                self._waiting_bytes -= size
                self._busy = 1
            reason = self._record(exchange)
            with self._changed:
                self._busy = 0
                if reason:
                    self._left_out[reason] += 1
                else:
                    self._written += 1

    def _record(self, exchange: Exchange) -> str:
        """Why it was left out; empty when it is written."""
        try:
            if self._sessions is not None:
                exchange = self._sessions.place(exchange)
            if not self._selection.is_sampled(exchange):
                return NOT_SAMPLED
            exchange = self._redactor.apply(exchange)
        except Exception:  # noqa: BLE001  # whatever went wrong: it was not redacted, so it is not kept
            return REDACTION
        try:
            self._writer.append(replace(exchange, id=f"{self._prefix}-{self._written + 1:x}"))
        except ArchiveError as error:
            if error.code == "TB926":
                return TOO_LARGE
            self.failed = error
            return NOT_WRITTEN
        return ""


def _size(exchange: Exchange) -> int:
    answer = exchange.answer
    return _OVERHEAD + len(exchange.request.body or b"") + (len(answer.body or b"") if answer is not None else 0)
