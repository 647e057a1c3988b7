"""Runs a program that ends with its parent, however the parent ends. Run as a script: `tied.py PARENT_PID PROGRAM …`.

On Linux the kernel kills it (PR_SET_PDEATHSIG, prctl(2)): this script asks for that and then becomes the program.
Elsewhere it stays, and kills the program when its standard input, a pipe from the parent, is closed. Of what the
program holds in memory no core file is written. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """Become the program (and never return), or watch over it; its exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return _watch(command)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == parent:  # else it died before we asked
        os.execv(command[0], command)  # noqa: S606
    return 1


def _watch(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603

    def end() -> None:
        os.read(0, 1)
        with contextlib.suppress(OSError):
            child.kill()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: child.send_signal(got))
    threading.Thread(target=end, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
