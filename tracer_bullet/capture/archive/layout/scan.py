"""Finding the frames of an archive: by its index, or frame by frame when the writer was killed before it wrote one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.archive.errors import ArchiveError, ArchiveProblem, read_failed
from tracer_bullet.capture.archive.layout import frames, table
from tracer_bullet.capture.archive.layout.frames import FIXED_BYTES, FrameDamagedError, FrameHead
from tracer_bullet.capture.archive.layout.table import FrameTable

_CHUNK: Final = 1 << 20
_SUMMARY_MOSTLY: Final = 512


@dataclass(slots=True)
class Layout:
    """What is in a file. `end`: where the last whole frame ends, and a writer may go on. `indexed`: an index was there,
    and nothing had to be searched."""

    path: Path
    table: FrameTable
    size: int
    end: int
    problems: list[ArchiveProblem] = field(default_factory=list)
    indexed: bool = False


def read_layout(path: Path) -> Layout:
    """The frames of the file. Raises ArchiveError: not an archive (TB920), of a newer version (TB921), or not to be
    read (TB924)."""
    try:
        with path.open("rb") as file:
            return layout_of(file, path)
    except OSError as error:
        raise read_failed(path, error) from None


def layout_of(file: BinaryIO, path: Path) -> Layout:
    """The same of an open file, whose position is moved."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    _check_start(file.read(FIXED_BYTES), path, size)
    indexed = _by_index(file, path, size)
    found = _by_scan(file, path, size) if indexed is None else indexed
    if not found.table.writers and not len(found.table):
        raise ArchiveError(
            "TB920",
            "the archive has no whole frame",
            where=str(path),
            why="its writer was killed before it had written anything",
            cure="nothing was recorded in it: remove it, or let the next capture go on with it",
        )
    return found


def _check_start(start: bytes, path: Path, size: int) -> None:
    begins = start[:4] == frames.MAGIC[: len(start)] and frames.TAG.startswith(start[8:11])
    if not size or not begins:
        raise ArchiveError(
            "TB920",
            "the file is empty" if not size else "the file is no archive",
            where=str(path),
            cure="recordings of other tools are read by `tracer-bullet capture import`" if size else "",
        )
    if len(start) > frames.VERSION_AT and start[frames.VERSION_AT] > frames.VERSION:
        raise ArchiveError(
            "TB921",
            f"the archive has version {start[frames.VERSION_AT]}; up to version {frames.VERSION} can be read",
            where=str(path),
            cure="upgrade tracer-bullet",
        )


def _by_index(file: BinaryIO, path: Path, size: int) -> Layout | None:
    if size < frames.TRAILER.size:
        return None
    file.seek(size - frames.TRAILER.size)
    length, tag = frames.TRAILER.unpack(file.read(frames.TRAILER.size))
    if tag != frames.TRAILER_TAG or not FIXED_BYTES <= length <= size:
        return None
    file.seek(size - length)
    try:
        found = table.load(file.read(length), size - length)
    except (FrameDamagedError, ValueError, KeyError, TypeError, OverflowError):
        return None
    layout = Layout(path, found, size, size, indexed=True)
    layout.problems.extend(
        ArchiveProblem(kind="damaged", path=path, offset=at, length=bytes_, lost=lost)
        for at, bytes_, lost in found.gaps
    )
    return layout


def _by_scan(file: BinaryIO, path: Path, size: int) -> Layout:
    layout = Layout(path, FrameTable(), size, 0)
    last: tuple[int, FrameHead] | None = None
    at = 0
    for offset, head in _frames(file, size):
        if offset > at:
            _add_gap(layout, at, offset - at, head.before - layout.table.written)
        at = offset + head.length
        if head.kind == frames.HEAD:
            layout.table.writers.append(_document(file, head, offset))
        elif head.kind == frames.DATA:
            layout.table.add(offset, head)
            last = offset, head
    # After a crash of the machine a file may have its length, but not its last bytes.
    if last is not None and last[0] + last[1].length == at and not _is_whole(file, *last):
        at = last[0]
        layout.table.drop_last()
    layout.end = at
    if at < size:
        lost = _count_at(file, at)
        layout.problems.append(ArchiveProblem(kind="torn", path=path, offset=at, length=size - at, lost=lost))
    return layout


def _count_at(file: BinaryIO, at: int) -> int | None:
    """How many exchanges the frame was to hold whose header is whole."""
    head = _read_head(file, at)
    if head is None:
        return None
    return head.count if head.kind == frames.DATA else 0


def _frames(file: BinaryIO, size: int) -> Iterator[tuple[int, FrameHead]]:
    """Whole frames (their payloads are there, but not looked at), with what is damaged passed over."""
    at = 0
    while at < size:
        head = _head_at(file, at, size)
        if head is not None:
            yield at, head
            at += head.length
            continue
        at = _next_frame(file, at + 1, size)


def _head_at(file: BinaryIO, at: int, size: int) -> FrameHead | None:
    head = _read_head(file, at)
    return head if head is not None and at + head.length <= size else None


def _read_head(file: BinaryIO, at: int) -> FrameHead | None:
    file.seek(at)
    data = file.read(FIXED_BYTES + _SUMMARY_MOSTLY)
    missing = frames.summary_missing(data)
    if missing:
        data += file.read(missing)
    return frames.parse_head(data)


def _next_frame(file: BinaryIO, at: int, size: int) -> int:
    """Where the next whole frame begins; `size` when there is none."""
    while at < size:
        file.seek(at)
        chunk = file.read(_CHUNK)
        found = chunk.find(frames.MAGIC)
        while found >= 0:
            if _head_at(file, at + found, size) is not None:
                return at + found
            found = chunk.find(frames.MAGIC, found + 1)
        if len(chunk) < _CHUNK:
            break
        at += len(chunk) - len(frames.MAGIC) + 1
    return size


def _add_gap(layout: Layout, at: int, length: int, lost: int) -> None:
    lost = max(lost, 0)
    layout.table.gaps.append((at, length, lost))
    layout.problems.append(ArchiveProblem(kind="damaged", path=layout.path, offset=at, length=length, lost=lost))


def _is_whole(file: BinaryIO, at: int, head: FrameHead) -> bool:
    file.seek(at)
    try:
        frames.unpack(file.read(head.length))
    except FrameDamagedError:
        return False
    return True


def _document(file: BinaryIO, head: FrameHead, at: int) -> dict[str, Any]:
    file.seek(at)
    try:
        _, raw = frames.unpack(file.read(head.length))
        return table.read_summary(raw)
    except (FrameDamagedError, ValueError):
        return {}
