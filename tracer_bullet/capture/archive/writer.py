"""Writing an archive: exchanges in, frames out. Does I/O.

A frame is written in one go when enough bytes wait, or half a second after the first of them came: a writer that is
killed loses what it was given in the last second, and nothing that was written before.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import orjson

from tracer_bullet.capture.archive import records
from tracer_bullet.capture.archive.errors import ArchiveError, write_failed
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.layout.scan import layout_of
from tracer_bullet.capture.archive.layout.table import FrameTable, write_summary
from tracer_bullet.model.exchange import Exchange

FLUSH_BYTES: Final = 1 << 20
FLUSH_S: Final = 0.5
_LEVEL: Final = 3
# Above this the number of sessions is not told: counting them takes memory.
_MAX_SESSIONS: Final = 100_000


class ArchiveWriter:
    """Appends to an archive, which it makes when it is not there. One writer at a time (TB922). Thread-safe.

    `created_by` names the source, as `tracer-bullet 0.1 capture proxy`; `rules` is the fingerprint of the redaction
    rules. `flush_s` None: nothing is written before `flush_bytes` (of JSON) wait. `written` is told after each frame
    how many exchanges are in the archive by this writer. What a killed writer left unfinished is moved to
    `<name>.torn`. Raises ArchiveError: TB920 and TB921 as read_layout, TB923 for what the disk does not take.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        created_by: str,
        rules: str = "",
        clock: Callable[[], int] = time.time_ns,
        flush_bytes: int = FLUSH_BYTES,
        flush_s: float | None = FLUSH_S,
        written: Callable[[int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self._flush_bytes = flush_bytes
        self._flush_s = flush_s
        self._tell = written
        self._changed = threading.Condition(threading.Lock())
        self._lines: list[tuple[int, bytes]] = []
        self._hosts: list[str] = []
        self._waiting_bytes = 0
        self._oldest_s = 0.0
        self._appended = 0
        self._closed = False
        self._sessions: set[int] | None = set()
        self._thread: threading.Thread | None = None
        try:
            self._file = _open(self.path)
        except OSError as error:
            raise write_failed(self.path, error, 0) from None
        try:
            _lock(self._file, self.path)
            self._table, self._end = self._resume()
            self._write_head(created_by, rules, clock())
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ArchiveError:
            if error is None:  # else it would hide what went wrong first
                raise

    @property
    def appended(self) -> int:
        """Exchanges that this writer took."""
        return self._appended

    def append(self, exchange: Exchange) -> None:
        """Take an exchange. An error means that it was not taken: TB923, or TB926 for what no frame can hold."""
        try:
            line = records.encode(exchange)
        except ValueError as error:
            raise self._unfit(str(error)) from None
        self.append_line(exchange.started_ns, line, exchange.request.authority, exchange.session)

    def append_line(self, started_ns: int, line: bytes, authority: str, session: str) -> None:
        """Take what `records.encode` made of an exchange."""
        if len(line) > frames.MAX_LINE:
            raise self._unfit(f"it has {len(line)} bytes; {frames.MAX_LINE} are the most")
        with self._changed:
            if self._closed:
                raise ValueError("the archive is closed")
            if self._waiting_bytes >= self._flush_bytes:  # it could not be written before
                self._write()
            self._lines.append((started_ns, line))
            self._hosts.append(authority)
            self._waiting_bytes += len(line) + 1
            self._appended += 1
            self._count_session(session)
            if self._waiting_bytes >= self._flush_bytes:
                self._write_softly()
            elif len(self._lines) == 1 and self._flush_s is not None:
                self._wake_later()

    def flush(self) -> None:
        """Write what waits, to the operating system."""
        with self._changed:
            self._write()

    def close(self) -> None:
        """Write what waits and the index, to the disk. The file is closed even when that fails."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        try:
            self._write()
            self._write_index()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_failed(self.path, error, len(self._lines)) from None
        finally:
            self._file.close()

    def _resume(self) -> tuple[FrameTable, int]:
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            return FrameTable(), 0
        try:
            found = layout_of(self._file, self.path)
        except ArchiveError:
            if not _is_stub(self._file, size):
                raise
            table, end = FrameTable(), 0
        else:
            table, end = found.table, found.end
        if end < size:
            self._move_torn(end)
        self._sessions = None if len(table) else self._sessions
        return table, end

    def _move_torn(self, end: int) -> None:
        torn = self.path.with_name(self.path.name + ".torn")
        self._file.seek(end)
        try:
            with torn.open("ab") as to:
                while part := self._file.read(1 << 20):
                    to.write(part)
                to.flush()
                os.fsync(to.fileno())
            os.ftruncate(self._file.fileno(), end)
        except OSError as error:
            raise write_failed(torn, error, 0) from None

    def _write_head(self, created_by: str, rules: str, now_ns: int) -> None:
        document = {"format": "tracer-bullet archive", "version": frames.VERSION, "created_by": created_by}
        document |= {"created_ns": now_ns, "rules": rules}
        raw = orjson.dumps(document)
        try:
            self._put(
                frames.pack(frames.HEAD, frames.compress(raw, _LEVEL), raw_bytes=len(raw), before=self._table.written)
            )
        except OSError as error:
            raise write_failed(self.path, error, 0) from None
        self._table.writers.append(document)

    def _write_index(self) -> None:
        self._table.sessions = None if self._sessions is None else len(self._sessions)
        try:
            self._put(self._table.dump(self._end))
        except OSError:  # a reader does without it
            return

    def _write(self) -> None:
        if not self._lines:
            return
        try:
            self._write_frame()
        except OSError as error:
            raise write_failed(self.path, error, len(self._lines)) from None

    def _write_softly(self) -> None:
        try:
            self._write()
        except ArchiveError:  # what waits is kept; the next append tries again, and tells
            return

    def _write_frame(self) -> None:
        self._lines.sort(key=itemgetter(0))
        raw = b"\n".join([line for _, line in self._lines]) + b"\n"
        frame = frames.pack(
            frames.DATA,
            frames.compress(raw, _LEVEL),
            raw_bytes=len(raw),
            count=len(self._lines),
            before=self._table.written,
            min_ns=self._lines[0][0],
            max_ns=self._lines[-1][0],
            summary=write_summary(self._hosts),
        )
        offset = self._end
        self._put(frame)
        head = frames.parse_head(frame)
        assert head is not None  # noqa: S101
        self._table.add(offset, head)
        self._lines.clear()
        self._hosts.clear()
        self._waiting_bytes = 0
        if self._tell is not None:
            self._tell(self._appended)

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            at = self._end
            while rest:
                done = os.pwrite(self._file.fileno(), rest, at)
                at += done
                rest = rest[done:]
        except OSError:
            os.ftruncate(self._file.fileno(), self._end)  # no half frame stays
            raise
        self._end = at

    def _count_session(self, session: str) -> None:
        if self._sessions is None:
            return
        self._sessions.add(hash(session))
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions = None

    def _wake_later(self) -> None:
        self._oldest_s = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_time, name=f"archive {self.path.name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _keep_time(self) -> None:
        """Write what has waited for `flush_s`, until the writer closes."""
        every = self._flush_s
        assert every is not None  # noqa: S101
        with self._changed:
            while not self._closed:
                if not self._lines:
                    self._changed.wait()
                    continue
                rest = self._oldest_s + every - time.monotonic()
                if rest > 0:
                    self._changed.wait(rest)
                    continue
                self._write_softly()
                self._oldest_s = time.monotonic()

    def _unfit(self, why: str) -> ArchiveError:
        return ArchiveError("TB926", "an exchange cannot be kept", where=str(self.path), why=why)


def _open(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only for its owner: a recording is other people's traffic.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError(
            "TB922",
            "the archive is being written by another process",
            where=str(path),
            cure="write to another file: a folder of archives is read as one",
        ) from None
    except OSError as error:
        raise write_failed(path, error, 0) from None


def _is_stub(file: BinaryIO, size: int) -> bool:
    """Whether the file is the beginning of a header frame and no more: its writer was killed in its first write."""
    if size >= frames.FIXED_BYTES + (1 << 16):
        return False
    file.seek(0)
    start = file.read(frames.VERSION_AT + 1)
    whole = frames.MAGIC + start[4:8] + frames.TAG + bytes([frames.VERSION])
    return start == whole[: len(start)]
