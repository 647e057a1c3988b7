"""A disordered archive is put in order with little memory, and nothing of it is lost on the way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.archive.exchanges import small
from tests.unit.capture.archive.test_survival import room_for
from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.archive.sort import sort_archive


def shuffled(path: Path, count: int, *, seed: int = 3) -> None:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    for writer, part in (("one", numbers[: count // 2]), ("two", numbers[count // 2 :])):
        with ArchiveWriter(path, created_by=writer, rules=writer, flush_bytes=4_000, flush_s=None) as to:
            for number in part:
                to.append(small(number, host=f"h{number % 2}"))


def test_frames_no_longer_overlap(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    shuffled(path, 6_000)
    before = open_archive(path).info
    assert before.overlap_bytes > 0.9 * before.raw_bytes
    (tmp_path / "a.tba.sorting").mkdir()  # of one that was killed
    (tmp_path / "a.tba.sorting" / "0-0.tba").write_bytes(b"half a run")
    sort_archive(path, run_bytes=60_000, fan_in=4)  # some fifty runs: three levels of merges
    archive = open_archive(path)
    info = archive.info
    assert list(archive.exchanges(ordered=False)) == [small(number, host=f"h{number % 2}") for number in range(6_000)]
    assert info.raw_bytes == before.raw_bytes
    assert info.frames > 2
    assert info.overlap_bytes < 1.01 * (1 << 20)  # one frame
    assert (info.created_by, info.rules, info.created_ns) == (before.created_by, before.rules, before.created_ns)
    assert (info.count, info.hosts, info.sessions, info.indexed) == (6_000, before.hosts, 7, True)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tba"]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 2_000), st.integers(2, 4))
def test_exchanges_of_one_moment_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory, starts: list[int], run_bytes: int, fan_in: int
) -> None:
    path = tmp_path_factory.mktemp("sort") / "a.tba"
    exchanges = [small(number, start) for number, start in enumerate(starts)]
    with ArchiveWriter(path, created_by="t", flush_bytes=1_000, flush_s=None) as to:
        for exchange in exchanges:
            to.append(exchange)
    sort_archive(path, run_bytes=run_bytes, fan_in=fan_in)
    assert list(open_archive(path).exchanges()) == sorted(exchanges, key=lambda e: e.started_ns)


def test_without_room_the_archive_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    shuffled(path, 500)
    before = path.read_bytes()
    with room_for(5_000), pytest.raises(ArchiveError) as caught:
        sort_archive(path)
    assert caught.value.code == "TB923"
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.tba"]


def test_a_damaged_archive_is_not_replaced_by_a_copy_that_hides_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tba"
    shuffled(path, 100)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged"):
        sort_archive(path)
    assert path.read_bytes() == data
