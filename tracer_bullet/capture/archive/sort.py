"""Putting a disordered archive in order of time, in bounded memory: sorted runs on the disk, then merges of them.

External merge sort (Knuth, The Art of Computer Programming 3, section 5.4). Runs are archives themselves: compressed,
and redacted as what they are made of.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from tracer_bullet.capture.archive import records
from tracer_bullet.capture.archive.errors import ArchiveError, write_failed
from tracer_bullet.capture.archive.layout.scan import read_layout
from tracer_bullet.capture.archive.reader import Archive, open_archive
from tracer_bullet.capture.archive.writer import ArchiveWriter

RUN_BYTES: Final = 48 << 20
FAN_IN: Final = 64
# Each run has one frame open in a merge.
_RUN_FRAME: Final = 256 << 10


def sort_archive(path: Path, *, run_bytes: int = RUN_BYTES, fan_in: int = FAN_IN) -> None:
    """Rewrite a closed archive so that its frames do not overlap; exchanges of one moment keep their order.

    The new file takes the old one's place when it is whole, so that nothing is lost whenever this ends. Needs as much
    disk again, twice. Raises ArchiveError (TB923), also for an archive with problems, which a copy would hide.
    """
    source = open_archive(path)
    folder = path.with_name(path.name + ".sorting")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        folder.mkdir(mode=0o700)
        try:
            runs = list(_runs(source, folder, run_bytes))
            if problems := source.problems:
                raise ArchiveError("TB923", "a damaged archive is not rewritten", where=str(path), why=str(problems[0]))
            level = 0
            while len(runs) > fan_in:
                level += 1
                runs = [_merged(group, folder / f"{level}-{at}.tba") for at, group in enumerate(_groups(runs, fan_in))]
            merged = folder / "sorted.tba"
            _write(merged, open_archive(runs), read_layout(path).table.writers)
            merged.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise write_failed(folder, error, 0) from None


def _groups(runs: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for at in range(0, len(runs), size):
        yield runs[at : at + size]


def _runs(source: Archive, folder: Path, run_bytes: int) -> Iterator[Path]:
    lines: list[tuple[int, bytes]] = []
    size = 0
    count = 0
    for _, _, line in source.lines(ordered=False):
        lines.append((records.started(line), line))
        size += len(line)
        if size >= run_bytes:
            yield _run(lines, folder / f"0-{count}.tba")
            lines, size, count = [], 0, count + 1
    yield _run(lines, folder / f"0-{count}.tba")


def _run(lines: list[tuple[int, bytes]], path: Path) -> Path:
    lines.sort(key=itemgetter(0))
    with ArchiveWriter(path, created_by="sort", flush_bytes=_RUN_FRAME, flush_s=None) as to:
        for started_ns, line in lines:
            to.append_line(started_ns, line, "", "")
    return path


def _merged(runs: Sequence[Path], path: Path) -> Path:
    source = open_archive(runs)
    with ArchiveWriter(path, created_by="sort", flush_bytes=_RUN_FRAME, flush_s=None) as to:
        for _, _, line in source.lines():
            to.append_line(records.started(line), line, "", "")
    for run in runs:
        run.unlink()
    return path


def _write(path: Path, source: Archive, writers: Sequence[dict[str, Any]]) -> None:
    """All of the source, under the names of those who wrote it."""
    for number, writer in enumerate(writers, start=1):
        with ArchiveWriter(
            path,
            created_by=writer.get("created_by", ""),
            rules=writer.get("rules", ""),
            clock=lambda writer=writer: writer.get("created_ns", 0),  # type: ignore[misc]
            flush_s=None,
        ) as to:
            if number == len(writers):
                for _, _, line in source.lines():
                    to.append_line(records.started(line), line, *records.owner(line))
