"""Whatever happens to the bytes, what is read was written, and what is missing is told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.archive.exchanges import small
from tracer_bullet.capture.archive import Archive, ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.layout.scan import read_layout

EXCHANGES = [small(number) for number in range(60)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of twelve frames with five exchanges each, and an index."""
    path = tmp_path_factory.mktemp("archive") / "whole.tba"
    with ArchiveWriter(path, created_by="tests", clock=lambda: 7, flush_s=None) as writer:
        for number, exchange in enumerate(EXCHANGES):
            writer.append(exchange)
            if number % 5 == 4:
                writer.flush()
    return path.read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "a.tba"


def opened(path: Path, data: bytes) -> Archive:
    path.write_bytes(data)
    return open_archive(path)


def rows(path: Path, data: bytes) -> list[tuple[int, int]]:
    path.write_bytes(data)
    table = read_layout(path).table
    return list(zip(table.offset, table.length, strict=True))


def read_all(path: Path, data: bytes) -> tuple[list[int], Archive] | None:
    """The numbers of the exchanges, after a check that each is what was written; None when it is no archive at all."""
    try:
        archive = opened(path, data)
        ordered = list(archive.exchanges())
        assert list(archive.exchanges(ordered=False)) == ordered
    except ArchiveError as error:
        if error.code not in {"TB920", "TB921"}:
            raise
        return None
    numbers = [int(exchange.id[2:]) for exchange in ordered]
    assert ordered == [EXCHANGES[number] for number in numbers]
    assert numbers == sorted(set(numbers))
    return numbers, archive


def assert_told(numbers: list[int], archive: Archive) -> None:
    missing = len(EXCHANGES) - len(numbers)
    info = archive.info
    assert not missing or info.problems or not info.indexed
    lost = [problem.lost for problem in info.problems]
    if info.indexed and None not in lost:
        assert sum(lost) == missing  # type: ignore[arg-type]
    assert all(str(problem) for problem in info.problems)


@settings(max_examples=150)
@given(st.data())
def test_a_torn_file_is_read_up_to_the_tear(whole: bytes, place: Path, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(whole) - 1))
    ends = [offset + length for offset, length in rows(place, whole)]
    found = read_all(place, whole[:cut])
    kept = 5 * sum(end <= cut for end in ends)
    if found is None:
        assert kept == 0
        return
    numbers, archive = found
    assert numbers == list(range(kept))
    assert not archive.info.indexed
    torn = [problem for problem in archive.problems if problem.kind == "torn"]
    assert sum(problem.length for problem in torn) == cut - read_layout(place).end
    assert_told(numbers, archive)


@settings(max_examples=200)
@given(st.data())
def test_flipped_bits_cost_the_frames_that_they_are_in(whole: bytes, place: Path, data: st.DataObject) -> None:
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 7)), min_size=1, max_size=4))
    changed = bytearray(whole)
    for at, bit in flips:
        changed[at] ^= 1 << bit
    found = read_all(place, bytes(changed))
    hit = {
        number
        for number, (offset, length) in enumerate(rows(place, whole))
        if changed[offset : offset + length] != whole[offset : offset + length]
    }
    if found is None:  # the format's name or its version was hit
        assert changed[: frames.FIXED_BYTES] != whole[: frames.FIXED_BYTES]
        return
    numbers, archive = found
    assert numbers == [number for number in range(60) if number // 5 not in hit]
    assert_told(numbers, archive)


@settings(max_examples=100)
@given(st.data())
def test_bytes_that_come_in_or_go_missing(whole: bytes, place: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole)))
    until = data.draw(st.integers(at, min(len(whole), at + 400)))
    some = data.draw(st.binary(max_size=300) | st.just(whole[:500]) | st.just(frames.MAGIC * 20))
    found = read_all(place, whole[:at] + some + whole[until:])
    if found is not None:
        assert_told(*found)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_bytes_of_anything_are_no_archive(place: Path, data: bytes, ours: bool) -> None:
    start = frames.MAGIC + b"\0\0\0\0TBA\1" if ours else b""
    with pytest.raises(ArchiveError):
        opened(place, start + data)


def test_a_damaged_payload_is_told_with_its_place_and_number(whole: bytes, place: Path) -> None:
    offset, length = rows(place, whole)[3]
    damaged = bytearray(whole)
    damaged[offset + length - 1] ^= 0xFF
    archive = opened(place, bytes(damaged))
    assert archive.problems == ()  # opening does not read ten gigabytes
    assert len(list(archive.exchanges())) == 55
    (problem,) = archive.verify()
    assert (problem.kind, problem.offset, problem.length, problem.lost) == ("damaged", offset, length, 5)
    assert "checksum" in str(problem)


def test_damage_without_an_index_is_counted_too(whole: bytes, place: Path) -> None:
    """By the running number in the next frame's header."""
    found = rows(place, whole)
    end = found[-1][0] + found[-1][1]
    damaged = bytearray(whole[:end])
    from_, to = found[3][0], found[5][0] + 10
    damaged[from_:to] = b"\0" * (to - from_)
    damaged[found[8][0]] ^= 1
    numbers, archive = read_all(place, bytes(damaged)) or pytest.fail("not an archive")
    assert numbers == [number for number in range(60) if number // 5 not in (3, 4, 5, 8)]
    told = [(problem.kind, problem.offset, problem.lost) for problem in archive.problems]
    assert told == [("damaged", from_, 15), ("damaged", found[8][0], 5)]


@pytest.mark.parametrize("chunk", range(16, 24))
def test_the_next_frame_is_found_wherever_it_lies(
    whole: bytes, place: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Across the ends of what is read at once, too."""
    monkeypatch.setattr("tracer_bullet.capture.archive.layout.scan._CHUNK", chunk)
    found = rows(place, whole)
    damaged = bytearray(whole[: found[-1][0] + found[-1][1]])
    for number in range(0, 12, 2):
        damaged[found[number][0]] ^= 1
    numbers, _ = read_all(place, bytes(damaged)) or pytest.fail("not an archive")
    assert numbers == [number for number in range(60) if number // 5 % 2]


def test_a_last_frame_that_the_machine_did_not_save_is_torn(whole: bytes, place: Path) -> None:
    offset, length = rows(place, whole)[-1]
    archive = opened(place, whole[: offset + 200] + b"\0" * (length - 200))
    (problem,) = archive.problems
    assert (problem.kind, problem.offset, problem.lost) == ("torn", offset, 5)
    assert len(list(archive.exchanges())) == 55


def test_a_newer_version_is_said(whole: bytes, place: Path) -> None:
    newer = whole[: frames.VERSION_AT] + b"\2" + whole[frames.VERSION_AT + 1 :]
    with pytest.raises(ArchiveError, match="version 2; up to version 1") as caught:
        opened(place, newer)
    assert caught.value.code == "TB921"


def test_the_index_of_another_file_is_not_believed(whole: bytes, place: Path) -> None:
    """As when somebody puts two archives together with cat."""
    archive = opened(place, whole + whole)
    assert archive.info.count == 120
    assert not archive.info.indexed
    assert len(list(archive.exchanges())) == 120


def test_what_no_longer_is_there_is_an_error_not_an_end(whole: bytes, tmp_path: Path) -> None:
    archive = opened(tmp_path / "a.tba", whole)
    stream = archive.exchanges()
    next(stream)
    (tmp_path / "a.tba").unlink()
    with pytest.raises(ArchiveError) as caught:
        list(stream)
    assert caught.value.code == "TB924"


def test_a_bomb_is_not_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and checksums are right, but the frame says that it holds more than a frame may, or not what it holds."""
    line = b'{"started_ns":1,"id":"a","session":"","source":"t","request":{}}\n' * 1_000
    frame = frames.pack(frames.HEAD, frames.compress(b"{}", 3), raw_bytes=2)
    bomb = frames.pack(frames.DATA, frames.compress(line, 3), raw_bytes=len(line), count=1_000, min_ns=1, max_ns=1)
    liar = frames.pack(frames.DATA, frames.compress(line, 3), raw_bytes=5, count=1_000, min_ns=1, max_ns=1)
    archive = opened(tmp_path / "a.tba", frame + bomb + liar + frame)
    assert len(list(archive.lines())) == 1_000
    monkeypatch.setattr(frames, "_MAX_RAW", len(line) - 1)
    archive = opened(tmp_path / "a.tba", frame + bomb + liar + frame)
    assert list(archive.lines()) == []
    assert [problem.lost for problem in archive.problems] == [1_000, 1_000]


def test_a_header_that_does_not_describe_its_lines_is_not_believed(tmp_path: Path) -> None:
    line = b'{"started_ns":5,"id":"a","session":"","source":"t","request":{}}\n'
    data = b""
    for lines, count, low, high in [(1, 1, 5, 5), (1, 2, 5, 5), (1, 1, 4, 5), (1, 1, 5, 6), (0, 0, 0, 0), (0, 1, 5, 5)]:
        raw = line * lines
        data += frames.pack(
            frames.DATA, frames.compress(raw, 3), raw_bytes=len(raw), count=count, min_ns=low, max_ns=high
        )
    archive = opened(tmp_path / "a.tba", frames.pack(frames.HEAD, frames.compress(b"{}", 3), raw_bytes=2) + data + data)
    assert len(list(archive.lines())) == 2
    assert len(archive.problems) == 10


def test_random_damage_of_a_large_file_never_yields_what_was_not_written(whole: bytes, place: Path) -> None:
    chance = random.Random(5)
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        found = read_all(place, bytes(changed[: chance.randint(1, len(changed))]))
        if found is not None:
            assert_told(*found)
