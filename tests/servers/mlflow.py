"""MLflow's tracking server from PyPI: a program nobody here wrote, under guard by environment variables alone.

It lives in a virtual environment of its own, `.venvs/mlflow`, which is made once and then
reused until its requirements, or this project's metadata, change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venvs" / "mlflow"
REQUIREMENTS = (
    "mlflow>=3.17,<4",
    "opentelemetry-distro>=0.60b0,<1",
    "opentelemetry-exporter-otlp-proto-http>=1.39,<2",
    "opentelemetry-instrumentation-asgi>=0.60b0,<1",
    "opentelemetry-instrumentation-fastapi>=0.60b0,<1",
    "opentelemetry-instrumentation-flask>=0.60b0,<1",
    "opentelemetry-instrumentation-sqlalchemy>=0.60b0,<1",
    "opentelemetry-instrumentation-wsgi>=0.60b0,<1",
)
_START_TIMEOUT_S = 240.0
_STOP_TIMEOUT_S = 15.0
_INSTALL_TIMEOUT_S = 900.0


class UnavailableError(Exception):
    """What is not ours could not be installed, as on a machine without network: tests skip."""


def ensure_environment() -> Path:
    """The `bin` folder of the virtual environment, made when it is not there or out of date.

    Raises UnavailableError when the package index cannot be reached. That this project
    itself does not install is an error of ours and raises CalledProcessError.
    """
    metadata = (ROOT / "pyproject.toml").read_bytes()
    ours = tomllib.loads(metadata.decode())
    wanted = [*REQUIREMENTS, *ours["project"]["dependencies"], *ours["build-system"]["requires"], "editables"]
    key = hashlib.sha256("\n".join([sys.version, *wanted]).encode() + metadata).hexdigest()
    marker = VENV / "made-of"
    VENV.parent.mkdir(exist_ok=True)
    with (VENV.parent / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not marker.exists() or marker.read_text() != key:
            shutil.rmtree(VENV, ignore_errors=True)
            _install(wanted)
            marker.write_text(key)
    return VENV / "bin"


def _install(wanted: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True)
    pip = [VENV / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    try:
        # The pip that older interpreters bring cannot resolve OpenTelemetry's pre-releases.
        for packages in (["pip>=25"], wanted):
            subprocess.run([*pip, *packages], check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"pip could not install MLflow: {error.stderr or error}") from None
    # Editable: the environment is kept while the code under test changes.
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)


class MlflowServer:
    """`opentelemetry-instrument mlflow server` on a free port of 127.0.0.1, with SQLite in `folder`.

    `environment` is added to the process's own, without what the tests' environment says of
    OpenTelemetry and of us. A context manager: inside, the server is healthy.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.database = folder / "mlflow.db"
        self.log = folder / "mlflow.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        binaries = ensure_environment()
        command = [
            binaries / "opentelemetry-instrument",
            binaries / "mlflow",
            "server",
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.database}"),
            *("--default-artifact-root", str(self._folder / "artifacts")),
        ]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TRACER_BULLET_", "PYTEST_"))}
        environment = {
            **inherited,
            "PATH": f"{binaries}{os.pathsep}{inherited.get('PATH', '')}",
            "MLFLOW_DISABLE_TELEMETRY": "true",  # it would call home
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a second server of background jobs, which no test uses
            **self._environment,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and its children: asked first, then killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        group = process.pid  # it leads its own session
        _signal_group(group, signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal_group(group, signal.SIGKILL)
            process.wait()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"MLflow ended with status {self._process.returncode}\n{self._tail()}")
            try:
                if httpx.get(f"{self.url}/health", timeout=5.0).text == "OK":
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"MLflow was not healthy within {_START_TIMEOUT_S:g} s\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
