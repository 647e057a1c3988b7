"""What starting costs: importing us on top of opentelemetry-api, and `tracer-bullet --help`.

CPU time (user and system) counts what the process itself does, and not what else the machine is
busy with. Pairs are interleaved, so that a slow minute falls on both sides.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

API = "import opentelemetry.baggage, opentelemetry.context, opentelemetry.propagate, opentelemetry.trace"
HELP = ("-m", "tracer_bullet", "--help")
RUNS = 15


def cpu_ms(arguments: Sequence[str]) -> float:
    """CPU time of `python <arguments>`, in milliseconds. Raises RuntimeError when it fails."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"python {' '.join(arguments)} ended with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def added_import_ms(module: str, runs: int) -> float:
    """What importing `module` adds to importing OpenTelemetry's API: the difference of the medians."""
    without, with_it = [], []
    cpu_ms(["-c", f"{API}, {module}"])  # writes the byte code
    for _ in range(runs):
        without.append(cpu_ms(["-c", API]))
        with_it.append(cpu_ms(["-c", f"{API}, {module}"]))
    return statistics.median(with_it) - statistics.median(without)


def help_ms(runs: int) -> float:
    """The median of `tracer-bullet --help`, interpreter included."""
    cpu_ms(HELP)
    return statistics.median(cpu_ms(HELP) for _ in range(runs))


def main() -> None:
    """Print the table."""
    print(f"CPU time, medians of {RUNS} fresh processes, Python {sys.version.split()[0]}")
    for module in ("tracer_bullet", "tracer_bullet.context", "tracer_bullet.guards"):
        print(f"  import {module:<24} {added_import_ms(module, RUNS):6.1f} ms on top of opentelemetry-api")
    print(f"  tracer-bullet --help            {help_ms(RUNS):6.1f} ms, interpreter included")


if __name__ == "__main__":
    main()
