"""A workspace with a recording of simple requests and somebody who answers them, for tests of whole replays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.servers.envoy import Recorder
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model.exchange import Answer, Exchange, Request

BEGAN_NS = 1_750_000_000_000_000_000
_WAIT_S = 120.0

SETTINGS = """
version: 1
targets:
  answerer: {url: %s}
traces: {source: embedded, listen: "127.0.0.1:0", settle_s: 0.5, quiet_s: 0.1}
"""
FILE = """
version: 1
name: simple
target: answerer
archive: simple.tba
trace: request
guardrails: {lateness_p99_ms: 60000}
"""


def exchange(number: int, *, at_ms: int, session: str = "", path: str = "/") -> Exchange:
    """A GET that was answered as the Recorder answers."""
    started = BEGAN_NS + at_ms * 1_000_000
    return Exchange(
        id=f"e-{number}",
        session=session or f"s-{number % 10}",
        source="tests",
        started_ns=started,
        first_byte_ns=started + 1_000_000,
        ended_ns=started + 2_000_000,
        request=Request(method="GET", scheme="http", authority="answerer", target=f"{path}?n={number}"),
        answer=Answer(status=200, headers=(("content-type", "text/plain"),), body=b"hello"),
    )


def write_archive(path: Path, exchanges: Iterator[Exchange]) -> None:
    with ArchiveWriter(path, created_by="tests") as writer:
        for one in exchanges:
            writer.append(one)


@contextmanager
def answerer(folder: Path, file: str = FILE, *, count: int = 200, gap_ms: int = 10) -> Iterator[tuple[Path, Recorder]]:
    """The replay's file in a workspace, and the server that it goes to."""
    with Recorder() as server:
        create_keys(folder / ".tracer-bullet" / "keys")
        (folder / "tracer-bullet.yaml").write_text(SETTINGS % f"http://{server.address}")
        (folder / "replay").mkdir()
        (folder / "replay" / "simple.yaml").write_text(file)
        write_archive(folder / "replay" / "simple.tba", (exchange(n, at_ms=n * gap_ms) for n in range(count)))
        yield folder / "replay" / "simple.yaml", server


def start(file: Path, *arguments: str, command: str = "replay") -> subprocess.Popen[str]:
    """The command line, as a process of its own group."""
    return subprocess.Popen(
        [sys.executable, "-m", "tracer_bullet", command, str(file), *arguments],
        cwd=file.parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
        start_new_session=True,
    )


def await_that(what: Any, why: str) -> None:
    """Until `what()` is true."""
    until = time.monotonic() + _WAIT_S
    while not what():
        assert time.monotonic() < until, why
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def run_folder(workspace: Path) -> Path:
    (folder,) = (workspace / ".tracer-bullet" / "runs").iterdir()
    return folder
