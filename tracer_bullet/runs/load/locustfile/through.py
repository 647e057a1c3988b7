"""Locust without a conductor of its own: as a worker of a master elsewhere, or to print something."""

from __future__ import annotations

import os
import subprocess
import sys

from tracer_bullet.load.locustfile import check_locust
from tracer_bullet.load.locustfile.protocol import LINK, LINK_SECRET
from tracer_bullet.runs.load.locustfile.options import LocustfileOptions


def run_through(options: LocustfileOptions) -> int:
    """Run Locust with the plug-in; its exit code. A worker sends on the terms of its master's conductor, which judges.

    Needs no workspace and no key. Raises UsageError TB1050.
    """
    check_locust()
    environ = {name: value for name, value in os.environ.items() if name not in (LINK, LINK_SECRET)}
    command = [sys.executable, "-m", "tracer_bullet.load.locustfile", *options.arguments]
    with subprocess.Popen(command, env=environ) as process:  # noqa: S603
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # Locust has had it too, and ends
