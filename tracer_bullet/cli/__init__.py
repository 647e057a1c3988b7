"""The command line: one file a command, loaded when it is called; renders `RunEvent`s.

Must not hold logic. stdout is the result, stderr the progress; `sys.exit` only in `main`.
"""

from tracer_bullet.cli.main import main

__all__ = ["main"]
