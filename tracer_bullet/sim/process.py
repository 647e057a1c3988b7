"""Parts of a simulated system in processes of their own.

A child gets its settings as one JSON line on stdin, says `ready`, and then obeys `flush` lines;
when stdin ends, because its parent closed it or died, it stops.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import tracer_bullet
from tracer_bullet.errors import TracerBulletError, UnreachableError
from tracer_bullet.sim.ports import listen
from tracer_bullet.sim.service import Part, Settings
from tracer_bullet.workspace.topology import Careless, Topology

_STOP_TIMEOUT_S = 10


def run_service(settings: Settings, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve one service or third party until SIGTERM or SIGINT. `port` 0: as the topology says.

    For a container or a terminal; `settings.alone` should be true. Raises TracerBulletError.
    """
    listener = listen(host, port or settings.topology.parts[settings.name].port or 0, settings.name)
    asyncio.run(_serve(settings, listener, ready=lambda: None, commands=None))


def child_main() -> int:
    """What `python -m tracer_bullet.sim` runs in a child. The exit status."""
    data = json.loads(sys.stdin.readline())
    listener = socket.socket(fileno=data.pop("listener"))
    settings = _settings_from(data)
    try:
        asyncio.run(_serve(settings, listener, ready=lambda: _say("ready"), commands=sys.stdin))
    except TracerBulletError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


class Child:
    """A part that runs in a process of its own. `log` gets what it writes to stderr."""

    def __init__(self, settings: Settings, listener: socket.socket, log: Path) -> None:
        self._name = settings.name
        self._log = log
        root = str(Path(tracer_bullet.__file__).parents[1])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tracer_bullet.sim"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[listener.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl+C is for the parent, which stops its children
            )
        self._tell(json.dumps({**_settings_to(settings), "listener": listener.fileno()}))

    def wait_ready(self) -> None:
        """Return when it accepts requests. Raises UnreachableError (TB702) when it ended instead."""
        if self._answer() != "ready":
            self.stop()
            raise UnreachableError(
                "TB702",
                f"{self._name} did not start",
                where=str(self._log),
                why=self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:],
                cure="the end of its log is above",
            )

    def flush(self) -> None:
        """Have it export all spans that have ended; returns when that is done or the child is gone."""
        self._tell("flush")
        self._answer()

    def close(self) -> None:
        """Tell it to stop, without waiting."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self) -> None:
        """Tell it to stop and wait; kill it when it does not."""
        self.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended; who waits for its answer finds out

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        return self._process.stdout.readline().decode().strip()


async def _serve(
    settings: Settings, listener: socket.socket, *, ready: Callable[[], None], commands: IO[str] | None
) -> None:
    part = Part(settings)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await part.start(listener)
    try:
        if commands is not None:
            obey = threading.Thread(target=_obey, args=(commands, part, loop, ended), daemon=True)
            obey.start()
        ready()
        await ended.wait()
    finally:
        await part.stop()


def _obey(commands: IO[str], part: Part, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    for line in commands:
        if line.strip() == "flush":
            part.flush()
            _say("flushed")
    loop.call_soon_threadsafe(ended.set)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _settings_to(settings: Settings) -> dict[str, Any]:
    return {
        "topology": settings.topology.model_dump(mode="json", by_alias=True),
        "name": settings.name,
        "addresses": dict(settings.addresses),
        "database_url": settings.database_url,
        "otlp_endpoint": settings.otlp_endpoint,
        "keys": settings.keys,
        "seed": settings.seed,
        "careless": [kind.value for kind in settings.careless],
    }


def _settings_from(data: Mapping[str, Any]) -> Settings:
    return Settings(
        **{
            **data,
            "topology": Topology.model_validate(data["topology"]),
            "careless": tuple(Careless(kind) for kind in data["careless"]),
            "alone": True,
        }
    )
