"""A real Jaeger for tests: its all-in-one program, built once from its Go module into `.tools`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION = "1.76.0"
MODULE = f"github.com/jaegertracing/jaeger@v{VERSION}"
TOOLS = Path(__file__).parents[2] / ".tools"
PROGRAM = TOOLS / f"jaeger-{VERSION}"
_BUILD_TIMEOUT_S = 900.0
_START_TIMEOUT_S = 120.0
_PORTS = {
    "query.http-server": "query",
    "query.grpc-server": "query_grpc",
    "collector.otlp.http": "otlp",
    "collector.otlp.grpc": "otlp_grpc",
    "collector.http-server": "collector",
    "collector.grpc-server": "collector_grpc",
    "admin.http": "admin",
}


@dataclass(frozen=True)
class Jaeger:
    """Addresses of a running Jaeger: of its query API, and for OTLP over HTTP."""

    query: str
    otlp: str


def build_jaeger() -> Path:
    """The program; skips the calling test when it cannot be had. Building takes minutes of two cores, once."""
    if PROGRAM.exists():
        return PROGRAM
    if shutil.which("go") is None:
        pytest.skip("jaeger: no go to build it with")
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "jaeger.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not PROGRAM.exists():
            _build()
    return PROGRAM


def _build() -> None:
    draft = TOOLS / "jaeger-source"
    try:
        told = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, timeout=_BUILD_TIMEOUT_S
        )
        # Its go.mod replaces a module, which `go install` refuses; and what was downloaded is read-only.
        shutil.copytree(json.loads(told.stdout)["Dir"], draft, copy_function=shutil.copyfile)
        for folder, _, _ in os.walk(draft):
            Path(folder).chmod(0o755)
        subprocess.run(
            ["go", "build", "-o", str(PROGRAM.with_suffix(".part")), "./cmd/all-in-one"],
            check=True,
            capture_output=True,
            timeout=_BUILD_TIMEOUT_S,
            cwd=draft,
        )
        PROGRAM.with_suffix(".part").replace(PROGRAM)
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        pytest.skip(f"jaeger: it cannot be built: {error}")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def run_jaeger(log: Path) -> Iterator[Jaeger]:
    """Run it with traces in memory, on free ports, until the block ends."""
    program = build_jaeger()
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in _PORTS.values()}
        for one in sockets.values():
            one.bind(("127.0.0.1", 0))
        at = {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in sockets.items()}
    flags = [f"--{flag}.host-port={at[name]}" for flag, name in _PORTS.items()]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, *flags], stdout=out, stderr=out, env={**os.environ, "SPAN_STORAGE_TYPE": "memory"}
        )
        try:
            _wait(process, f"http://{at['admin']}/", log)
            yield Jaeger(query=f"http://{at['query']}", otlp=f"http://{at['otlp']}")
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(health, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)  # nothing tells when it listens
    raise AssertionError(f"jaeger did not start; see {log}")
