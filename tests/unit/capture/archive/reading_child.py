"""Run as a program: reads an archive in order and prints how many exchanges it has, and its own peak memory in MB."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tracer_bullet.capture.archive import open_archive


def main() -> None:
    archive = open_archive(Path(sys.argv[1]))
    before = -1
    count = 0
    for exchange in archive.exchanges():
        assert exchange.started_ns >= before
        before = exchange.started_ns
        count += 1
    print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # noqa: T201
    assert not archive.problems


if __name__ == "__main__":
    main()
