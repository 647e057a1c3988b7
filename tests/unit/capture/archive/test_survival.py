"""kill -9, a second writer, a full disk: what was written stays, and the archive can be gone on with."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.capture.archive import writing_child
from tests.unit.capture.archive.exchanges import small
from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.layout.scan import read_layout
from tracer_bullet.capture.archive.writer import FLUSH_S
from tracer_bullet.model.exchange import Exchange

ROOT = Path(__file__).parents[4]


def killed_while_writing(path: Path, first: int, size: int, *, frames_first: int, more_s: float) -> tuple[int, int]:
    """How many exchanges a killed child had said to be in the file, and how many it took until a second before."""
    command = [sys.executable, writing_child.__file__, str(path), str(first), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) as child:
        assert child.stdout is not None
        lines: list[str] = []
        try:
            seen = 0
            while seen < frames_first:
                lines.append(child.stdout.readline())
                assert lines[-1], "the child ended"
                seen += lines[-1].startswith("in ")
            killer = threading.Timer(more_s, child.kill)
            killer.start()
            lines.extend(child.stdout)  # read on, so that it never waits for us
            killer.join()
        finally:
            child.kill()
        end_ns = time.monotonic_ns()
        assert child.wait() == -signal.SIGKILL
    rows = [line.split() for line in lines if line.endswith("\n")]
    written = [int(row[1]) for row in rows if row[0] == "in"]
    old = [int(row[1]) for row in rows if row[0] == "took" and int(row[2]) < end_ns - 1_000_000_000]
    return max(written), max(old, default=0)


def test_killed_writers_lose_nothing_that_is_a_second_old(tmp_path: Path) -> None:
    """Writers after one another into one file, each killed at some moment: most of them inside the write of a large
    frame, the last one between frames that only the time makes."""
    chance = random.Random(11)
    path = tmp_path / "a.tba"
    exchanges: list[Exchange] = []
    for round_ in range(5):
        before, first, last = len(exchanges), round_ * 1_000_000, round_ == 4
        size, more_s = (20, 1.2) if last else (9_000, chance.uniform(0, 0.3))
        written, second_old = killed_while_writing(path, first, size, frames_first=1 if last else 3, more_s=more_s)
        archive = open_archive(path)
        exchanges = list(archive.exchanges())
        now = len(exchanges) - before
        assert now >= written > 0
        assert now >= second_old
        assert second_old or not last
        assert exchanges[before:] == [small(number, size=size * (number % 13)) for number in range(first, first + now)]
        assert not archive.info.indexed
        assert {problem.kind for problem in archive.problems} <= {"torn"}
    count = len(exchanges)
    end = read_layout(path).end
    tail = path.read_bytes()[end:]
    with ArchiveWriter(path, created_by="again") as writer:
        writer.append(small(9_000_000))
    archive = open_archive(path)
    assert archive.info.indexed
    assert archive.info.created_by == ("child", "again")
    assert archive.verify() == ()
    assert archive.info.count == count + 1
    if tail:
        assert (tmp_path / "a.tba.torn").read_bytes().endswith(tail)


def test_what_came_last_is_written_without_a_further_exchange(tmp_path: Path) -> None:
    assert FLUSH_S <= 0.5  # half of what is promised
    there = threading.Event()
    with ArchiveWriter(tmp_path / "a.tba", created_by="t", flush_s=0.02, written=lambda _: there.set()) as writer:
        for number in range(3):
            writer.append(small(number))
            assert there.wait(60)
            there.clear()
            assert list(open_archive(tmp_path / "a.tba").exchanges()) == [small(one) for one in range(number + 1)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("archive")]


def test_a_torn_tail_is_kept_beside_and_the_archive_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    with ArchiveWriter(path, created_by="one", rules="r1", flush_s=None) as writer:
        for number in range(4):
            writer.append(small(number))
            writer.flush()
    table = read_layout(path).table
    cut = table.offset[3] + table.length[3] - 10
    tail = path.read_bytes()[table.offset[3] : cut]
    path.write_bytes(path.read_bytes()[:cut])
    with ArchiveWriter(path, created_by="two", rules="r2", flush_s=None) as writer:
        writer.append(small(9))
    archive = open_archive(path)
    assert list(archive.exchanges()) == [small(0), small(1), small(2), small(9)]
    info = archive.info
    assert (info.created_by, info.rules, info.sessions, info.problems) == (("one", "two"), ("r1", "r2"), None, ())
    assert (tmp_path / "a.tba.torn").read_bytes() == tail


@pytest.mark.parametrize("length", [1, 7, 12, 60, 100])
def test_a_writer_killed_in_its_first_write_leaves_a_file_to_go_on_with(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.tba"
    ArchiveWriter(path, created_by="one").close()
    start = path.read_bytes()[:length]
    path.write_bytes(start)
    with pytest.raises(ArchiveError) as caught:
        open_archive(path)
    assert caught.value.code == "TB920"
    with ArchiveWriter(path, created_by="two") as writer:
        writer.append(small(1))
    assert list(open_archive(path).exchanges()) == [small(1)]
    assert (tmp_path / "a.tba.torn").read_bytes() == start


def test_a_file_that_is_no_archive_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    path.write_text("my letters")
    with pytest.raises(ArchiveError) as caught:
        ArchiveWriter(path, created_by="t")
    assert caught.value.code == "TB920"
    newer = frames.pack(frames.HEAD, b"", raw_bytes=0)
    newer = newer[: frames.VERSION_AT] + b"\2" + newer[frames.VERSION_AT + 1 :]
    (tmp_path / "b.tba").write_bytes(newer)
    with pytest.raises(ArchiveError) as caught:
        ArchiveWriter(tmp_path / "b.tba", created_by="t")
    assert caught.value.code == "TB921"
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["a.tba", "b.tba"]
    assert (path.read_text(), (tmp_path / "b.tba").read_bytes()) == ("my letters", newer)


def test_damage_stays_known_when_the_archive_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    with ArchiveWriter(path, created_by="t", flush_s=None) as writer:
        for number in range(4):
            writer.append(small(number))
            writer.flush()
    table = read_layout(path).table
    data = bytearray(path.read_bytes()[: table.offset[3] + table.length[3]])
    data[table.offset[1]] ^= 1  # the header: the frame cannot even be found
    path.write_bytes(data)
    with ArchiveWriter(path, created_by="t", flush_s=None) as writer:
        writer.append(small(4))
    archive = open_archive(path)
    assert archive.info.indexed
    assert [(problem.kind, problem.lost) for problem in archive.problems] == [("damaged", 1)]
    assert list(archive.exchanges()) == [small(0), small(2), small(3), small(4)]


def test_two_writers(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    with ArchiveWriter(path, created_by="one") as writer:
        writer.append(small(1))
        with pytest.raises(ArchiveError) as caught:
            ArchiveWriter(path, created_by="two")
        assert caught.value.code == "TB922"
        writer.append(small(2))
    with ArchiveWriter(path, created_by="three") as writer:
        writer.append(small(3))
    assert list(open_archive(path).exchanges()) == [small(1), small(2), small(3)]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow past `size` bytes meanwhile, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_and_what_is_there_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    writer = ArchiveWriter(path, created_by="t", flush_bytes=8_000, flush_s=None)
    taken = 0
    with room_for(30_000):
        with pytest.raises(ArchiveError) as caught:  # noqa: PT012
            for taken in range(1_000):
                writer.append(small(taken, size=300))
        assert caught.value.code == "TB923"
        assert str(path) in caught.value.where
        found = open_archive(path)
        there = list(found.exchanges())
        assert found.problems == ()
        assert 0 < len(there) < taken
    # Room again: nothing that was taken is lost.
    writer.append(small(taken, size=300))
    writer.close()
    archive = open_archive(path)
    assert list(archive.exchanges()) == [small(number, size=300) for number in range(taken + 1)]
    assert archive.verify() == ()


def test_a_disk_that_stays_full_is_said_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    writer = ArchiveWriter(path, created_by="t", flush_s=None)
    writer.append(small(1))
    writer.flush()
    with room_for(path.stat().st_size + 100):
        writer.append(small(2))
        writer.append(small(3))
        with pytest.raises(ArchiveError, match="2 exchanges are not in it"):
            writer.close()
    assert list(open_archive(path).exchanges()) == [small(1)]
    with ArchiveWriter(path, created_by="t") as again:  # it is closed and unlocked
        again.append(small(2))
    assert open_archive(path).verify() == ()


def test_without_room_for_the_index_all_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    writer = ArchiveWriter(path, created_by="t", flush_s=None)
    writer.append(small(1))
    writer.flush()
    with room_for(path.stat().st_size + 100):
        writer.close()
    archive = open_archive(path)
    assert list(archive.exchanges()) == [small(1)]
    assert (archive.info.indexed, archive.problems) == (False, ())


def test_what_no_frame_can_hold_is_refused_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_LINE", 5_000)
    with ArchiveWriter(tmp_path / "a.tba", created_by="t") as writer:
        for unfit in (small(1, size=6_000), small(1, 2**63)):
            with pytest.raises(ArchiveError) as caught:
                writer.append(unfit)
            assert caught.value.code == "TB926"
        writer.append(small(2))
    assert list(open_archive(tmp_path / "a.tba").exchanges()) == [small(2)]


def test_the_first_error_is_the_one_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    with pytest.raises(KeyError), ArchiveWriter(path, created_by="t", flush_s=None) as writer:  # noqa: PT012
        writer.append(small(1))
        with room_for(path.stat().st_size):
            writer.__exit__(KeyError, KeyError(), None)
        raise KeyError
