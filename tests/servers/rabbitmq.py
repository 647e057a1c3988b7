"""A throw-away RabbitMQ: Debian's programs, one node in a temporary folder, free ports of 127.0.0.1.

It has a port mapper (epmd), a node name and a cookie of its own, so that the workers of one test
run do not meet, and neither do they meet a broker that the machine runs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 10.0
_HELLO = b"AMQP\x00\x00\x09\x01"


class RabbitUnavailableError(Exception):
    """RabbitMQ's server programs are not here: tests skip."""


class RabbitServer:
    """A broker of its own, without plugins. A context manager: inside, it speaks AMQP at `url`."""

    def __init__(self) -> None:
        epmd = shutil.which("epmd")
        if not _SERVER.exists() or epmd is None:
            raise RabbitUnavailableError(f"no RabbitMQ server at {_SERVER} (Debian's package is `rabbitmq-server`)")
        self.port = 0
        self._epmd_program = epmd
        self._folder = Path()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """`amqp://…` of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def new_name(self, base: str = "queue") -> str:
        """A name of a queue or an exchange that no other test has."""
        return f"{base}.{next(self._numbers)}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="tracer-bullet-rabbitmq-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the node and its port mapper: nothing here outlives the tests."""
        while self._processes:
            process = self._processes.pop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # each leads a session of its own
            process.wait(_STOP_TIMEOUT_S)
        # The virtual machine's helpers notice a moment later that it is gone, and may still hold a file.
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self.port, distribution, epmd = _free_ports(3)
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "vm_memory_high_watermark.absolute = 512MB\n"
            "disk_free_limit.absolute = 1MB\n"
            "log.file = false\nlog.console = true\nlog.console.level = warning\n"
        )
        (self._folder / "enabled_plugins").write_text("[].\n")
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(os.urandom(12).hex())
        cookie.chmod(0o400)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RABBITMQ_", "ERL_"))},
            "HOME": str(self._folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_NODENAME": f"tracer-bullet-{os.getpid()}-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-environment"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            # Its schedulers spin for work that other test workers could do with the processor.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        }
        self._spawn([self._epmd_program, "-address", "127.0.0.1", "-port", str(epmd)], environment)
        node = self._spawn([str(_SERVER)], environment)
        self._wait(node)

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self._folder / "out").open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _wait(self, node: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if node.poll() is not None:
                raise RuntimeError(f"RabbitMQ ended with status {node.returncode}\n{self._told()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5.0) as probe:
                probe.sendall(_HELLO)
                if probe.recv(1) == b"\x01":  # a method frame: it says connection.start
                    return
            time.sleep(0.1)
        raise RuntimeError(f"RabbitMQ did not answer within {_START_TIMEOUT_S:g} s\n{self._told()}")

    def _told(self) -> str:
        return "\n".join((self._folder / "out").read_text(errors="replace").splitlines()[-40:])


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has at this moment, all different."""
    with contextlib.ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in found]
