"""Run as a program: writes exchanges into an archive until it is killed, and tells what is in the file.

`python writing_child.py PATH FIRST SIZE`: from exchange number FIRST, bodies of up to 12 SIZE bytes. Prints `in N` for
each frame that was written (N by this writer), `took N NS` with the monotonic time for each hundredth that was taken.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.unit.capture.archive.exchanges import small
from tracer_bullet.capture.archive import ArchiveWriter


def tell(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def main() -> None:
    path, first, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with ArchiveWriter(path, created_by="child", written=lambda count: tell(f"in {count}")) as writer:
        for number in range(first, first + 100_000_000):
            writer.append(small(number, size=size * (number % 13)))
            time.sleep(0.0002)  # not to fill the disk
            if number % 100 == 0:
                tell(f"took {number - first + 1} {time.monotonic_ns()}")


if __name__ == "__main__":
    main()
