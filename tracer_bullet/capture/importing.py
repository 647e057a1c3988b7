"""From recordings of any known format to an archive. What is written is redacted already, whatever becomes of it later.

Posture: bad records are counted and passed over; a bad input does not keep the others out; nothing is replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from tracer_bullet.capture.archive import SUFFIX, ArchiveError, ArchiveProblem, ArchiveWriter, open_archive, records
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.sort import sort_archive
from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.capture.formats.detect import format_named, open_recording
from tracer_bullet.capture.formats.logs.choose import format_for
from tracer_bullet.capture.formats.shared.streams import expanded
from tracer_bullet.capture.recorder import REDACTION, TOO_LARGE, Redacts
from tracer_bullet.capture.selection import NOT_SAMPLED, Selection
from tracer_bullet.capture.sessions import SessionRules, Sessions
from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

Source = Path | BinaryIO

ARCHIVE: Final = "archive"
# More than this open at once, and reading in order would be slow: the archive is sorted.
_OVERLAP_BYTES: Final = 16 << 20
_OF_WRITING: Final = frozenset({"TB922", "TB923"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """`pseudonym` is keyed, as `Pseudonyms.plain`: it names sessions. `rules`: fingerprint of the redaction. `format`:
    a key of FORMATS, empty to look at the bytes. `read`: what the sources do not say. `tell` gets the number of
    exchanges read, each thousand."""

    pseudonym: Callable[[str], str]
    created_by: str = "tracer-bullet capture import"
    rules: str = ""
    format: str = ""
    read: ReadOptions = field(default_factory=ReadOptions)
    sessions: SessionRules = field(default_factory=SessionRules)
    selection: Selection = field(default_factory=Selection)
    tell: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSummary:
    """One input. `problem`: why it could not be read, or not to its end."""

    name: str
    format: str = ""
    read: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What came in. `read` = `written` + all of `left_out`; what readers lost before is in `losses`. `lacks`: marks of
    what is written (model.Lack). `never`: what of it is never sent again, by reason.

    `disordered`: exchanges that started before one that came earlier; `disorder_ns`: how far back at most. `is_sorted`:
    the archive was rewritten in order of time for that; `unsorted_because`: why that failed, which only makes
    reading slower. Times are Unix nanoseconds, None when nothing was written; then there is no archive.
    """

    path: Path
    inputs: tuple[InputSummary, ...]
    read: int
    written: int
    left_out: Counter[str]
    lacks: Counter[str]
    never: Counter[str]
    losses: Losses
    first_ns: int | None
    last_ns: int | None
    sessions: int | None
    disordered: int
    disorder_ns: int
    is_sorted: bool
    unsorted_because: str = ""


@dataclass(slots=True)
class _Tally:
    read: int = 0
    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    lacks: Counter[str] = field(default_factory=Counter)
    never: Counter[str] = field(default_factory=Counter)
    latest_ns: int | None = None
    disordered: int = 0
    disorder_ns: int = 0

    def see(self, started_ns: int) -> None:
        if self.latest_ns is None or started_ns >= self.latest_ns:
            self.latest_ns = started_ns
            return
        self.disordered += 1
        self.disorder_ns = max(self.disorder_ns, self.latest_ns - started_ns)


def import_files(sources: Sequence[Source], to: Path, redactor: Redacts, options: ImportOptions) -> ImportSummary:
    """Read recordings (files, folders, streams, archives) one after the other into a new archive.

    Ids depend on what an input holds and on the order of inputs: the same again gives the same ones. Raises
    ArchiveError: TB925 when `to` is there, TB923 when the disk is full; and the first input's error when none of them
    can be read.
    """
    if to.exists():
        raise ArchiveError(
            "TB925",
            "the archive is there already",
            where=str(to),
            cure="name another file: a folder of archives is read as one",
        )
    # An archive that is imported alone keeps its ids; of several, ids may be the same.
    alone = len(sources) == 1 and isinstance(sources[0], Path) and not sources[0].is_dir()
    work = _Import(to, redactor, options, keeps_ids=alone)
    with work:
        for source in sources:
            work.take(source)
    return work.summary(len(sources))


class _Import:
    def __init__(self, to: Path, redactor: Redacts, options: ImportOptions, *, keeps_ids: bool) -> None:
        self._to = to
        self._keeps_ids = keeps_ids
        self._redactor = redactor
        self._options = options
        self._sessions = Sessions(options.pseudonym, options.sessions)
        self._losses = Losses()
        self._tally = _Tally()
        self._inputs: list[InputSummary] = []
        self._errors: list[TracerBulletError] = []
        self._prefixes: Counter[str] = Counter()
        self._stack = ExitStack()
        self._writer: ArchiveWriter | None = None

    def __enter__(self) -> None:
        self._stack.__enter__()

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def take(self, source: Source) -> None:
        """Import one input; what keeps it from being read is its problem."""
        name = str(source) if isinstance(source, Path) else str(getattr(source, "name", "stream"))
        before = self._tally.read
        shown = ""
        problem = ""
        try:
            with ExitStack() as opened:
                shown, exchanges, archived = self._open(source, opened)
                self._write(exchanges, archived=archived)
        except TracerBulletError as error:
            if error.code in _OF_WRITING:
                raise
            self._errors.append(error)
            problem = str(error)
        except OSError as error:
            problem = error.strerror or str(error)
            self._errors.append(UsageError("TB927", "the recording cannot be read to its end", where=name, why=problem))
        self._inputs.append(InputSummary(name=name, format=shown, read=self._tally.read - before, problem=problem))

    def summary(self, inputs: int) -> ImportSummary:
        """What became of it all; the archive is closed by now."""
        if self._errors and len(self._errors) == inputs and not self._tally.read:
            raise self._errors[0]
        first = last = sessions = None
        is_sorted, because = False, ""
        if self._writer is not None:
            info = open_archive(self._to).info
            first, last, sessions = info.first_ns, info.last_ns, info.sessions
            if info.overlap_bytes > _OVERLAP_BYTES:
                try:
                    sort_archive(self._to)
                    is_sorted = True
                except ArchiveError as error:
                    because = str(error)
        tally = self._tally
        return ImportSummary(
            path=self._to,
            inputs=tuple(self._inputs),
            read=tally.read,
            written=tally.written,
            left_out=tally.left_out,
            lacks=tally.lacks,
            never=tally.never,
            losses=self._losses,
            first_ns=first,
            last_ns=last,
            sessions=sessions,
            disordered=tally.disordered,
            disorder_ns=tally.disorder_ns,
            is_sorted=is_sorted,
            unsorted_because=because,
        )

    def _open(self, source: Source, opened: ExitStack) -> tuple[str, Iterator[Exchange], bool]:
        """The format's name, the exchanges, and whether they come out of an archive."""
        read, key = self._options.read, self._options.format
        if key:
            found = format_named(key)
            return found.name, self._forced(found, source), False
        if isinstance(source, Path) and _is_archive(source):
            archive = open_archive(source)
            opened.callback(lambda: self._note_problems(archive.problems))
            return ARCHIVE, archive.exchanges(ordered=False), True
        if read.log_format:
            named = format_for(read.log_format, read.log_time)
            return named.name, self._forced(named, source), False
        found, stream = open_recording(source)
        opened.callback(stream.close)
        return found.name, found.read(stream, self._losses, read), False

    def _forced(self, found: Format, source: Source) -> Iterator[Exchange]:
        """Files that nobody recognises, since the user says what they are: logs of a format of his own."""
        if not isinstance(source, Path):
            yield from found.read(expanded(source, owned=False)[1], self._losses, self._options.read)
            return
        for path in sorted(one for one in source.iterdir() if one.is_file()) if source.is_dir() else [source]:
            with expanded(path.open("rb"), owned=True)[1] as stream:
                yield from found.read(stream, self._losses, self._options.read)

    def _write(self, exchanges: Iterator[Exchange], *, archived: bool) -> None:
        prefix = ""
        for number, exchange in enumerate(exchanges, start=1):
            self._tally.read += 1
            if self._options.tell is not None and not self._tally.read % 1000:
                self._options.tell(self._tally.read)
            kept = self._admitted(exchange, archived=archived)
            if kept is None:
                continue
            if not archived or not self._keeps_ids:
                prefix = prefix or self._prefix(kept)
                kept = replace(kept, id=f"{prefix}-{number:x}")
            self._append(kept)

    def _admitted(self, exchange: Exchange, *, archived: bool) -> Exchange | None:
        """The exchange as it may be written; None, and counted, when it may not."""
        selection = self._options.selection
        reason = selection.why_not(exchange)
        if not reason:
            try:
                exchange = exchange if archived else self._sessions.place(exchange)
                if selection.is_sampled(exchange):
                    return self._redactor.apply(exchange)
                reason = NOT_SAMPLED
            except Exception:  # noqa: BLE001  # whatever went wrong: it was not redacted, so it is not kept
                reason = REDACTION
        self._tally.left_out[reason] += 1
        return None

    def _append(self, exchange: Exchange) -> None:
        if self._writer is None:
            self._writer = self._stack.enter_context(
                ArchiveWriter(self._to, created_by=self._options.created_by, rules=self._options.rules)
            )
        try:
            self._writer.append(exchange)
        except ArchiveError as error:
            if error.code != "TB926":
                raise
            self._tally.left_out[TOO_LARGE] += 1
            return
        self._tally.written += 1
        self._tally.see(exchange.started_ns)
        self._tally.lacks.update(lack.value for lack in exchange.lacks)
        if exchange.unreplayable:
            self._tally.never[exchange.unreplayable] += 1

    def _prefix(self, first: Exchange) -> str:
        """What the ids of an input begin with: made of its first exchange, redacted, so that it tells nothing more."""
        digest = blake2b(records.encode(replace(first, id="")), digest_size=5).hexdigest()
        self._prefixes[digest] += 1
        count = self._prefixes[digest]
        return digest if count == 1 else f"{digest}.{count}"

    def _note_problems(self, problems: Sequence[ArchiveProblem]) -> None:
        for problem in problems:
            self._losses.lose(f"{problem.kind} parts of an archive", problem, problem.lost or 1)


def _is_archive(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob(f"*{SUFFIX}"))
    try:
        with path.open("rb") as file:
            start = file.read(frames.VERSION_AT)
    except OSError:  # told when it is opened as a recording
        return False
    return start.startswith(frames.MAGIC) and start.endswith(frames.TAG)
