"""Reading archives: what is in them, and the exchanges as a stream. Does I/O; holds no file open between frames."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tracer_bullet.capture.archive import records
from tracer_bullet.capture.archive.errors import ArchiveError, ArchiveProblem, read_failed
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.layout.frames import FrameDamagedError
from tracer_bullet.capture.archive.layout.scan import Layout, read_layout
from tracer_bullet.capture.archive.layout.table import overlap
from tracer_bullet.capture.archive.merge import OPEN_BYTES, OpenFrames, in_order
from tracer_bullet.model.exchange import Exchange

SUFFIX: Final = ".tba"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveInfo:
    """What is known without reading the exchanges. Times are Unix nanoseconds, None when there is no exchange.

    `count` is without what is lost. `hosts`: exchanges by authority (`*`: further hosts). `sessions`: how many, None
    when nobody counted (a writer was killed, or the archive is a folder of several). `created_by`, `rules`: each
    different one. `bytes` on the disk, `raw_bytes` of JSON. `indexed`: every file was closed properly.
    `overlap_bytes`: JSON that is open at once, at most, when reading in order. `problems` as of now.
    """

    paths: tuple[Path, ...]
    count: int
    first_ns: int | None
    last_ns: int | None
    hosts: Mapping[str, int]
    sessions: int | None
    created_by: tuple[str, ...]
    created_ns: int | None
    rules: tuple[str, ...]
    frames: int
    bytes: int
    raw_bytes: int
    overlap_bytes: int
    indexed: bool
    problems: tuple[ArchiveProblem, ...]


class Archive:
    """One archive, or several read as one. `open_archive` makes it."""

    def __init__(self, layouts: Sequence[Layout], problems: Sequence[ArchiveProblem] = ()) -> None:
        self._layouts = layouts
        self._file = array("i")
        self._row = array("i")
        self._min_ns = array("q")
        for number, layout in enumerate(layouts):
            self._file.extend([number] * len(layout.table))
            self._row.extend(range(len(layout.table)))
            self._min_ns.extend(layout.table.min_ns)
        # By place, so that what is read twice is told once.
        self._problems: dict[tuple[Path, int, int], ArchiveProblem] = {}
        for problem in (*problems, *(p for layout in layouts for p in layout.problems)):
            self._note(problem)

    @property
    def info(self) -> ArchiveInfo:
        """What is known of it. `problems` grows as exchanges are read: a checksum is looked at only then."""
        tables = [layout.table for layout in self._layouts]
        hosts: Counter[str] = Counter()
        for table in tables:
            hosts.update(table.hosts)
        writers = [writer for table in tables for writer in table.writers]
        return ArchiveInfo(
            paths=tuple(layout.path for layout in self._layouts),
            count=sum(sum(table.count) for table in tables),
            first_ns=min(self._min_ns, default=None),
            last_ns=max((high for table in tables for high in table.max_ns), default=None),
            hosts=dict(hosts.most_common()),
            sessions=tables[0].sessions if len(tables) == 1 else None,
            created_by=tuple(dict.fromkeys(writer.get("created_by", "") for writer in writers)),
            created_ns=min((writer["created_ns"] for writer in writers if "created_ns" in writer), default=None),
            rules=tuple(dict.fromkeys(writer.get("rules", "") for writer in writers)),
            frames=len(self._row),
            bytes=sum(layout.size for layout in self._layouts),
            raw_bytes=sum(sum(table.raw) for table in tables),
            overlap_bytes=sum(overlap(table) for table in tables),
            indexed=all(layout.indexed for layout in self._layouts),
            problems=self.problems,
        )

    @property
    def problems(self) -> tuple[ArchiveProblem, ...]:
        """What was passed over, as far as was read."""
        return tuple(self._problems.values())

    def exchanges(
        self, *, since_ns: int | None = None, until_ns: int | None = None, ordered: bool = True
    ) -> Iterator[Exchange]:
        """The exchanges that started at `since_ns` or later and before `until_ns`, by `started_ns`; those of one
        moment, and all when not `ordered`, as they stand in the file, frame by frame.

        What is damaged is passed over and noted in `problems`. Raises ArchiveError (TB924) when a file cannot be read
        any more.
        """
        for number, place, line in self.lines(since_ns=since_ns, until_ns=until_ns, ordered=ordered):
            exchange = self._decode(number, place, line)
            if exchange is not None:
                yield exchange

    def lines(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        ordered: bool = True,
        open_bytes: int = OPEN_BYTES,
    ) -> Iterator[tuple[int, int, bytes]]:
        """The same as frame, place within it, and line of JSON."""
        numbers = [number for number in range(len(self._row)) if self._touches(number, since_ns, until_ns)]
        if ordered:
            yield from in_order(numbers, self._min_ns, OpenFrames(self._load, open_bytes), since_ns, until_ns)
            return
        for number in numbers:
            for place, line in enumerate(self._load(number)):
                start = records.started(line)
                if (since_ns is None or start >= since_ns) and (until_ns is None or start < until_ns):
                    yield number, place, line

    def get(self, ids: Collection[str]) -> dict[str, Exchange]:
        """The exchanges with these ids, as far as they are there. Reads the archive until it has all of them."""
        wanted = {key: identity for identity in ids for key in records.id_keys(identity)}
        missing = set(ids)
        found: dict[str, Exchange] = {}
        for number in range(len(self._row)):
            if not missing:
                break
            for place, line in enumerate(self._load(number)):
                identity = wanted.get(records.id_key(line))
                if identity in missing and (exchange := self._decode(number, place, line)) is not None:
                    found[exchange.id] = exchange
                    missing.discard(exchange.id)
        return found

    def verify(self) -> tuple[ArchiveProblem, ...]:
        """Read all of it, every checksum and every record; what is wrong."""
        for number in range(len(self._row)):
            for place, line in enumerate(self._load(number)):
                self._decode(number, place, line)
        return self.problems

    def _touches(self, number: int, since_ns: int | None, until_ns: int | None) -> bool:
        layout, row = self._place(number)
        table = layout.table
        return (since_ns is None or table.max_ns[row] >= since_ns) and (
            until_ns is None or table.min_ns[row] < until_ns
        )

    def _place(self, number: int) -> tuple[Layout, int]:
        return self._layouts[self._file[number]], self._row[number]

    def _load(self, number: int) -> list[bytes]:
        """The lines of a frame; none, and a note, when it is damaged."""
        layout, row = self._place(number)
        table = layout.table
        offset, length = table.offset[row], table.length[row]
        try:
            with layout.path.open("rb", buffering=0) as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise read_failed(layout.path, error) from None
        try:
            head, raw = frames.unpack(data)
            lines = raw.split(b"\n")
            lines.pop()  # what follows the last line's end
            described = (head.count, head.min_ns, head.max_ns)
            if not lines or described != (len(lines), records.started(lines[0]), records.started(lines[-1])):
                raise FrameDamagedError("its header and its lines do not agree")
        except ValueError as error:
            self._note(
                ArchiveProblem(
                    kind="damaged",
                    path=layout.path,
                    offset=offset,
                    length=length,
                    lost=table.count[row],
                    detail=str(error),
                )
            )
            return []
        return lines

    def _decode(self, number: int, place: int, line: bytes) -> Exchange | None:
        try:
            return records.decode(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            layout, row = self._place(number)
            self._note(
                ArchiveProblem(
                    kind="record",
                    path=layout.path,
                    offset=layout.table.offset[row],
                    length=place,
                    lost=1,
                    detail=f"line {place + 1} of the frame: {type(error).__name__}: {error}",
                )
            )
            return None

    def _note(self, problem: ArchiveProblem) -> None:
        self._problems[problem.path, problem.offset, problem.length] = problem


def open_archive(path: Path | str | Sequence[Path]) -> Archive:
    """The archive at `path`; of a folder all `*.tba` in it, read as one; or of several paths.

    Raises ArchiveError: TB920 no archive, TB921 of a newer version, TB924 cannot be read or is not there. A file of a
    folder that was never begun is a problem, not an error, as long as another one can be read.
    """
    if not isinstance(path, (str, Path)):
        return Archive([read_layout(one) for one in path])
    path = Path(path)
    if not path.is_dir():
        return Archive([read_layout(path)])
    layouts: list[Layout] = []
    problems: list[ArchiveProblem] = []
    paths = sorted(path.glob(f"*{SUFFIX}"))
    for one in paths:
        try:
            layouts.append(read_layout(one))
        except ArchiveError as error:
            if error.code != "TB920":
                raise
            problems.append(ArchiveProblem(kind="file", path=one, detail=error.what))
    if not layouts:
        raise ArchiveError(
            "TB924",
            f"none of the {len(paths)} archives in the folder can be read" if paths else "the folder has no archive",
            where=str(path),
            why=problems[0].detail if problems else "",
            cure=f"archives are named *{SUFFIX}",
        )
    return Archive(layouts, problems)
