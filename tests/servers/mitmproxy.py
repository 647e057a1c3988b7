"""The real mitmproxy 11.0.2, in a virtual environment of its own, `.venvs/mitmproxy`: it pins more tightly than we."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION = "11.0.2"
VENV = Path(__file__).parents[2] / ".venvs" / "mitmproxy"
_INSTALL_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 30.0
_RUN_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Mitmdump:
    """A running mitmdump: its port on 127.0.0.1, its process, and where its output and its dump are."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    dump: Path

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.port}"


def mitmproxy_binary(name: str = "mitmdump") -> Path:
    """`mitmdump`, or another program of the environment (`python`). Skips the calling test when it cannot be had."""
    VENV.parent.mkdir(exist_ok=True)
    marker = VENV / "made-of"
    wanted = f"{VERSION} {sys.version}"
    with (VENV.parent / "mitmproxy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not marker.exists() or marker.read_text() != wanted:
            shutil.rmtree(VENV, ignore_errors=True)
            _install()
            marker.write_text(wanted)
    return VENV / "bin" / name


def _install() -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True, text=True)
        pip = [VENV / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        command = [*pip, f"mitmproxy=={VERSION}"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        pytest.skip(f"mitmproxy: pip could not install it: {str(getattr(error, 'stderr', '') or error)[-200:]}")


@contextlib.contextmanager
def run_mitmdump(
    folder: Path, *, mode: str = "regular", scripts: Sequence[Path] = (), options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[Mitmdump]:  # fmt: skip
    """Run mitmdump on a free port of 127.0.0.1 until the block ends, writing its flows to `folder`/dump.mitm.

    `mode` is mitmproxy's: `regular`, or `reverse:http://127.0.0.1:8000`. `scripts` are addons; `options` are further
    arguments (`--set`, `name=value`, …). Its certificates lie in `folder`/confdir. When the block has ended, the dump
    is complete: the process was asked to end, and has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    binary = mitmproxy_binary()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    dump, log = folder / "dump.mitm", folder / "mitmdump.log"
    command: list[str | Path] = [
        binary, "--mode", mode, "--listen-host", "127.0.0.1", "--listen-port", str(port), "-w", dump,
        "--set", f"confdir={folder / 'confdir'}", "--set", "connection_strategy=lazy", *options,
    ]  # fmt: skip
    for script in scripts:
        command += ["-s", script]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
    try:
        _wait(process, port, log)
        yield Mitmdump(port, process, log, dump)
    finally:
        _stop(process)


def convert(source: Path, to: Path, *, option: str = "hardump") -> None:
    """Have mitmdump read a file of flows (or a HAR) and write it anew: as `hardump`, or as `save_stream_file`."""
    command = [mitmproxy_binary(), "--no-server", "--rfile", source, "--set", f"confdir={to.parent / 'confdir'}"]
    command += ["--set", f"{option}={to}"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RUN_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)  # nothing tells when it listens
        else:
            return
    raise AssertionError(f"mitmdump did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
