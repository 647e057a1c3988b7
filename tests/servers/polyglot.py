"""The conformance endpoint in Go and Java under stock OpenTelemetry, built once into `.tools`."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = Path(__file__).parents[2] / ".tools"
AGENT = "opentelemetry-javaagent"
AGENT_VERSION = "2.20.1"
_BUILD_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 120.0


class ToolchainUnavailableError(Exception):
    """A compiler or its packages cannot be had here: tests skip."""


@contextmanager
def go_service(log: Path) -> Iterator[str]:
    """The address of the Go service, while it runs."""
    program = TOOLS / "conformance-go"
    _make([program], "go", "build", "-o", str(program), ".", sources=HERE / "go")
    with _running([str(program)], log) as url:
        yield url


@contextmanager
def java_service(log: Path) -> Iterator[str]:
    """The address of the Java service, while it runs."""
    agent = TOOLS / f"{AGENT}-{AGENT_VERSION}.jar"
    artifact = f"io.opentelemetry.javaagent:{AGENT}:{AGENT_VERSION}"
    _make([agent], "mvn", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={TOOLS}")
    if shutil.which("java") is None:
        raise ToolchainUnavailableError("java is not installed")
    with _running(["java", f"-javaagent:{agent}", str(HERE / "java" / "Conformance.java")], log) as url:
        yield url


def _make(products: Sequence[Path], *command: str, sources: Path | None = None) -> None:
    if shutil.which(command[0]) is None:
        raise ToolchainUnavailableError(f"{command[0]} is not installed")
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "polyglot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        newest = max((p.stat().st_mtime for p in sources.iterdir()), default=0.0) if sources else 0.0
        if all(p.exists() and p.stat().st_mtime > newest for p in products):
            return
        try:
            subprocess.run(command, cwd=sources or TOOLS, check=True, capture_output=True, timeout=_BUILD_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.stderr or error.stdout or b"").decode(errors="replace")[-300:]
            raise ToolchainUnavailableError(f"{command[0]} failed: {said}") from None


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TRACER_BULLET_", "JAVA_"))}
    quiet = {f"OTEL_{kind}_EXPORTER": "none" for kind in ("TRACES", "METRICS", "LOGS")}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True, env=kept | quiet)
    deadline = threading.Timer(_START_TIMEOUT_S, process.kill)
    deadline.start()
    try:
        assert process.stdout is not None
        port = next((line.split()[-1] for line in process.stdout if line.startswith("listening on ")), "")
        deadline.cancel()
        if not port:
            raise RuntimeError(f"{command[0]} did not start\n{log.read_text(errors='replace')}")
        yield f"http://127.0.0.1:{port}"
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
