"""An archive is streamed, never loaded: what reading takes does not grow with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.capture.archive import reading_child
from tests.unit.capture.archive.exchanges import small
from tracer_bullet.capture.archive import ArchiveWriter, records

ROOT = Path(__file__).parents[4]


def write(path: Path, count: int) -> None:
    """Exchanges in the order of their ends, with one in a thousand that took up to a minute."""
    line = records.encode(small(0, 1_700_000_000_000_000_000, size=200))
    with ArchiveWriter(path, created_by="t", flush_s=None) as writer:
        for number in range(count):
            late = 60_000_000_000 if number % 1_000 == 999 else number * 7919 % 50 * 1_000_000
            start = 1_700_000_000_000_000_000 + number * 1_000_000 - late
            writer.append_line(start, line.replace(b"1700000000000000000", b"%d" % start, 1), "shop", "s")


def read(path: Path) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, reading_child.__file__, str(path)],
        capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    count, megabytes = map(int, done.stdout.split())
    return count, megabytes


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_exchanges_take_little_memory(tmp_path: Path, count: int) -> None:
    write(tmp_path / "small.tba", 100)
    write(tmp_path / "large.tba", count)
    _, least = read(tmp_path / "small.tba")
    found, megabytes = read(tmp_path / "large.tba")
    assert found == count
    assert megabytes < least + 64
