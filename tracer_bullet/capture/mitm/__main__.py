"""The process at the other end of the addon's pipe: `python -m tracer_bullet.capture.mitm ARCHIVE`. Does I/O.

Says `ready` on standard output once the archive is open, records what comes through standard input until that ends, and
says what became of it as a line of JSON. Errors go to standard error; the exit status is theirs.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
from pathlib import Path

from tracer_bullet import __version__
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.capture.mitm.receiver import Received, receive
from tracer_bullet.capture.recorder import Recorder
from tracer_bullet.capture.redaction.settings import make_redactor
from tracer_bullet.capture.settings import selection_of, sessions_of
from tracer_bullet.errors import ExitCode, TracerBulletError
from tracer_bullet.workspace.capture import CaptureSpec
from tracer_bullet.workspace.settings import find_workspace, load_settings


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracer_bullet.capture.mitm")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--body-limit", type=int, default=1_048_576)
    parser.add_argument("--workspace", type=Path, default=None)
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the pipe is the end
    try:
        _record(asked.archive, asked.workspace, asked.body_limit)
    except TracerBulletError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return ExitCode.PASSED


def _record(path: Path, workspace: Path | None, body_limit: int) -> None:
    folder = workspace or find_workspace(Path.cwd())
    spec = CaptureSpec() if folder is None else load_settings(folder, os.environ).value.capture
    redactor = make_redactor(spec, folder or Path.cwd(), os.environ)
    with ArchiveWriter(path, created_by=f"tracer-bullet {__version__} mitmproxy", rules=redactor.fingerprint) as writer:
        sessions, selection = sessions_of(spec, redactor), selection_of(spec, redactor)
        with Recorder(writer, redactor, sessions=sessions, selection=selection) as recorder:
            print("ready", flush=True)  # noqa: T201
            with io.FileIO(sys.stdin.fileno(), closefd=False) as stream:
                received = receive(stream, recorder.take, body_limit=body_limit)
        _tell(received, recorder)


def _tell(received: Received, recorder: Recorder) -> None:
    counts = recorder.counts
    told = {
        "kept": counts.written,
        "left_out": counts.left_out.total(),
        "reasons": dict(counts.left_out),
        "lost": dict(received.losses.lost),
    }
    print(json.dumps(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
