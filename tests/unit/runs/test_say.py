"""Claim: a verdict's exit code is told though nobody reads the text to its end."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = "import sys; from tracer_bullet.cli.render import say; say('x' * 1_000_000); say('y'); sys.exit(7)"


def test_a_reader_that_went_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (7, "")
