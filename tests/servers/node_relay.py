"""A service in another language: a Node.js relay under stock OpenTelemetry, with no code of ours in it.

Its packages are installed once into `.tools/node-relay` and reused until its lock file or Node change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).parent / "node"
HOME = Path(__file__).parents[2] / ".tools" / "node-relay"
_FILES = ("package.json", "package-lock.json", ".npmrc", "relay.js", "conformance.js")
_REGISTER = "@opentelemetry/auto-instrumentations-node/register"
_LISTENING = re.compile(rb"listening on (\d+)")
_INSTALL_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


class NodeUnavailableError(Exception):
    """Node.js or npm is not here, too old, or npm cannot reach its registry: tests skip."""


def ensure_relay() -> Path:
    """The folder with the relay and its packages, made when it is not there or out of date.

    Raises NodeUnavailableError.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NodeUnavailableError("node and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, check=True, text=True).stdout
    key = hashlib.sha256(version.encode() + b"".join((SOURCE / name).read_bytes() for name in _FILES)).hexdigest()
    marker = HOME / "made-of"
    HOME.parent.mkdir(exist_ok=True)
    with (HOME.parent / "node-relay.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not marker.exists() or marker.read_text() != key:
            shutil.rmtree(HOME, ignore_errors=True)
            _install(npm)
            marker.write_text(key)
    return HOME


def _install(npm: str) -> None:
    HOME.mkdir()
    for name in _FILES:
        shutil.copy(SOURCE / name, HOME / name)
    try:
        subprocess.run([npm, "ci"], cwd=HOME, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise NodeUnavailableError(f"npm could not install the relay: {error.stderr or error}") from None


class NodeRelay:
    """The relay in front of `upstream_url`, on a free port of 127.0.0.1, its spans to `otlp_url` (the base).

    `script`: another of the services in tests/servers/node. Without `otlp_url` its spans go nowhere.
    A context manager: inside, it accepts requests at `url`; after, its spans are out.
    """

    def __init__(
        self,
        upstream_url: str,
        otlp_url: str,
        log: Path,
        *,
        propagators: str = "tracecontext,baggage",
        script: str = "relay.js",
    ) -> None:
        self.url = ""
        self._log = log
        self._script = script
        self._environment = {
            "UPSTREAM_URL": upstream_url,
            "OTEL_SERVICE_NAME": "relay",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "OTEL_TRACES_EXPORTER": "otlp" if otlp_url else "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_PROPAGATORS": propagators,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_NODE_RESOURCE_DETECTORS": "env",  # the default asks the metadata hosts of clouds
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        home = ensure_relay()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["node", "--require", _REGISTER, self._script],
                cwd=home,
                env=_without_ours(os.environ) | self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            self.url = f"http://127.0.0.1:{self._port(self._process)}"
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the relay: asked first, so that it exports what it has, then killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def _port(self, process: subprocess.Popen[bytes]) -> int:
        """The port that it says it listens on; whatever keeps it from saying so ends its output."""
        assert process.stdout is not None
        deadline = threading.Timer(_START_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            for line in process.stdout:
                if match := _LISTENING.fullmatch(line.strip()):
                    return int(match.group(1))
        finally:
            deadline.cancel()
        process.wait()
        raise RuntimeError(f"the relay ended with status {process.returncode}\n{self._log.read_text(errors='replace')}")


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if not k.startswith(("OTEL_", "TRACER_BULLET_", "NODE_OPTIONS"))}
