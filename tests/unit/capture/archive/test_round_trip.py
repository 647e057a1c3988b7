"""What is written is read: any exchanges, in order of time, out of one file or several."""

from __future__ import annotations

import io
import stat
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.archive.exchanges import EXCHANGES, small
from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.archive.merge import OpenFrames, in_order
from tracer_bullet.model.exchange import Exchange


def write(path: Path, exchanges: list[Exchange], *, flush_bytes: int = 1 << 20) -> Path:
    with ArchiveWriter(
        path, created_by="tests", rules="r1", clock=lambda: 7, flush_bytes=flush_bytes, flush_s=None
    ) as to:
        for exchange in exchanges:
            to.append(exchange)
    return path


@settings(max_examples=60)
@given(st.lists(EXCHANGES, max_size=12), st.sampled_from([1, 500, 1 << 20]))
def test_any_exchanges_come_back_in_order_of_time(exchanges: list[Exchange], flush_bytes: int) -> None:
    with TemporaryDirectory() as folder:
        archive = open_archive(write(Path(folder) / "a.tba", exchanges, flush_bytes=flush_bytes))
        assert list(archive.exchanges()) == sorted(exchanges, key=lambda e: e.started_ns)
        assert Counter(archive.exchanges(ordered=False)) == Counter(exchanges)
        assert archive.problems == ()
        info = archive.info
    assert info.count == len(exchanges)
    assert info.first_ns == min((e.started_ns for e in exchanges), default=None)
    assert info.last_ns == max((e.started_ns for e in exchanges), default=None)
    assert info.hosts == Counter(e.request.authority for e in exchanges)
    assert info.sessions == len({e.session for e in exchanges})
    assert (info.created_by, info.created_ns, info.rules, info.indexed) == (("tests",), 7, ("r1",), True)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=9).map(sorted), max_size=8),
    st.one_of(st.none(), st.integers(0, 30)),
    st.one_of(st.none(), st.integers(0, 30)),
    st.sampled_from([0, 60, 1 << 20]),
)
def test_the_merge_is_exact_however_frames_overlap(
    starts: list[list[int]], since: int | None, until: int | None, limit: int
) -> None:
    """With room for one open frame, some, or all."""
    frames = [[b'{"started_ns":%d,"n":%d}' % (start, place) for place, start in enumerate(one)] for one in starts]
    merged = in_order(
        range(len(frames)), [one[0] for one in starts], OpenFrames(frames.__getitem__, limit), since, until
    )
    rows = [(start, number, place) for number, one in enumerate(starts) for place, start in enumerate(one)]
    wanted = [row for row in sorted(rows) if (since is None or row[0] >= since) and (until is None or row[0] < until)]
    assert [(starts[number][place], number, place) for number, place, _ in merged] == wanted


def test_frames_in_order_are_opened_once_and_closed_again() -> None:
    frames = [[b'{"started_ns":%d,' % (number * 10 + place) for place in range(10)] for number in range(50)]
    held = OpenFrames(frames.__getitem__)
    assert len(list(in_order(range(50), [number * 10 for number in range(50)], held, None, None))) == 500
    assert held.loads == 50
    assert not held._open


def test_a_request_that_took_an_hour_in_each_frame_costs_no_memory() -> None:
    """All frames overlap, but few are open at once, and each is opened twice at the most but for the last ones."""
    pad = b"." * 100
    frames = [
        [b'{"started_ns":%d,%s' % (start, pad) for start in (number, *range(1_000 + number * 10, 1_010 + number * 10))]
        for number in range(200)
    ]
    limit = 5 * sum(map(len, frames[0]))
    held = OpenFrames(frames.__getitem__, limit)
    count = 0
    for _ in in_order(range(200), range(200), held, None, None):
        count += 1
        assert held._bytes <= limit
    assert count == 2_200
    assert held.loads <= 400


def test_a_window_of_time_opens_only_its_frames(tmp_path: Path) -> None:
    exchanges = [small(number) for number in range(100)]
    path = write(tmp_path / "a.tba", exchanges, flush_bytes=1)
    with path.open("r+b") as file:  # damage the first frames: they must not even be looked at
        file.seek(700)
        file.write(b"\0" * 400)
        file.seek(-10_000, 2)  # and of the last ones
        file.write(b"\0" * 400)
    archive = open_archive(path)
    since, until = exchanges[40].started_ns, exchanges[60].started_ns
    assert list(archive.exchanges(since_ns=since, until_ns=until)) == exchanges[40:60]
    assert list(archive.exchanges(since_ns=since, until_ns=until, ordered=False)) == exchanges[40:60]
    assert archive.problems == ()


def test_a_folder_reads_as_one(tmp_path: Path) -> None:
    exchanges = [small(number, host=f"h{number % 3}") for number in range(90)]
    for part in range(3):
        write(tmp_path / f"{part}.tba", exchanges[part::3], flush_bytes=2_000)
    (tmp_path / "notes.txt").write_text("not an archive")
    (tmp_path / "begun.tba").touch()
    archive = open_archive(tmp_path)
    assert list(archive.exchanges()) == exchanges
    info = archive.info
    assert (info.count, info.sessions, info.hosts) == (90, None, {"h0": 30, "h1": 30, "h2": 30})
    assert [(problem.kind, problem.path.name) for problem in info.problems] == [("file", "begun.tba")]
    assert "begun.tba" in str(info.problems[0])


def test_get_finds_ids(tmp_path: Path) -> None:
    archive = open_archive(write(tmp_path / "a.tba", [small(number) for number in range(50)], flush_bytes=2_000))
    found = archive.get(["x-3", "x-49", "x-50", '"'])
    assert found == {"x-3": small(3), "x-49": small(49)}
    assert archive.get([]) == {}


def test_it_is_a_zstd_file_of_json_lines(tmp_path: Path) -> None:
    """So that `zstd -dc` shows it: the rest is in skippable frames."""
    path = write(tmp_path / "a.tba", [small(number) for number in range(30)], flush_bytes=2_000)
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes()), read_across_frames=True)
    assert [orjson.loads(line)["id"] for line in reader.read().splitlines()] == [f"x-{number}" for number in range(30)]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "deeper" / "a.tba", [small(1)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("name", "code"), [("empty.tba", "TB920"), ("other.tba", "TB920"), ("missing.tba", "TB924")])
def test_what_is_no_archive_is_said(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "empty.tba").touch()
    (tmp_path / "other.tba").write_bytes(b'{"log": {"entries": []}}' * 10)
    with pytest.raises(ArchiveError) as caught:
        open_archive(tmp_path / name)
    assert caught.value.code == code
    assert name in caught.value.where


def test_a_folder_without_a_readable_archive_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="has no archive"):
        open_archive(tmp_path)
    (tmp_path / "begun.tba").touch()
    with pytest.raises(ArchiveError, match="none of the 1"):
        open_archive(tmp_path)


def test_a_folder_with_an_archive_of_a_newer_version_is_not_read_in_part(tmp_path: Path) -> None:
    data = write(tmp_path / "a.tba", [small(1)]).read_bytes()
    (tmp_path / "b.tba").write_bytes(data[:11] + b"\2" + data[12:])
    with pytest.raises(ArchiveError) as caught:
        open_archive(tmp_path)
    assert caught.value.code == "TB921"
