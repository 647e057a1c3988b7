"""A throw-away Redis: Debian's server, nothing on disk, a free port of 127.0.0.1.

`python -m tests.servers.redis` writes the table of Redis' commands that the guard judges by
(tracer_bullet/guards/cache/commands.txt) from what this server says of itself.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.connection import Connection

TABLE = Path(__file__).parents[2] / "tracer_bullet" / "guards" / "cache" / "commands.txt"
_ATTEMPTS = 5
_STOP_S = 30


class RedisUnavailableError(Exception):
    """No `redis-server` is here: tests skip."""


class RedisServer:
    """A server of its own. A context manager: inside, it accepts connections without a password.

    `cluster`: as a cluster of one, which has all slots.
    """

    def __init__(self, *, cluster: bool = False) -> None:
        self.port = 0
        self._cluster = cluster
        found = shutil.which("redis-server")
        if found is None:
            raise RedisUnavailableError("no redis-server on this machine (Debian's package is `redis-server`)")
        self._program = found
        self._folder = Path()
        self._process: subprocess.Popen[str] | None = None
        self._log = threading.Thread()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="tracer-bullet-redis-"))
        told: list[str] = []
        try:
            for _ in range(_ATTEMPTS):  # a free port may be taken before the server binds it
                self.port = _free_port()
                if self._start(told):
                    self._take_slots()
                    return self
            raise RuntimeError("redis-server did not start:\n" + "".join(told))
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """As redis-py takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A new client; close it."""
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def dump(self) -> dict[bytes, tuple[bytes, bool]]:
        """Every key: its serialised value, and whether it expires. For a stranger to all guards."""
        with self.client(protocol=2) as client:
            return {key: (client.dump(key), client.pttl(key) > 0) for key in client.scan_iter(count=1000)}

    def _start(self, told: list[str]) -> bool:
        settings = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        if self._cluster:
            settings |= {"cluster-enabled": "yes", "cluster-port": _free_port(), "cluster-announce-ip": "127.0.0.1"}
        command = [self._program, *(str(part) for name, value in settings.items() for part in (f"--{name}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:  # ends with the process
            told.append(line)
            if "Ready to accept connections" in line:
                # Nobody reads the pipe otherwise, and a full one would stop the server.
                self._log = threading.Thread(target=self._process.stdout.read, daemon=True)
                self._log.start()
                return True
        self._process.stdout.close()
        self._process.wait(_STOP_S)
        return False

    def _take_slots(self) -> None:
        if not self._cluster:
            return
        with self.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            deadline = time.monotonic() + _STOP_S
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                if time.monotonic() > deadline:
                    raise RuntimeError("the cluster of one did not come up")
                time.sleep(0.02)  # there is no event to wait for

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # nothing here is worth a clean end
            self._process.wait(_STOP_S)
            if self._log.ident is not None:
                self._log.join(_STOP_S)
            if self._process.stdout is not None:
                self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def command_table(server: RedisServer) -> str:
    """What the server says of its commands, one a line: name, arity, flags, where its keys are.

    Keys as `COMMAND` describes them: `begin/find`, where `begin` is `i<index>` or `k<word>,<from>` and `find` is
    `r<last>,<step>,<limit>` or `n<index of the number>,<first>,<step>`; `?` where Redis itself cannot say.
    """
    connection = Connection(host="127.0.0.1", port=server.port, protocol=2)
    connection.send_command("COMMAND")
    rows = list(_rows(connection.read_response(disable_decoding=True)))
    connection.disconnect()
    return "\n".join(sorted(rows)) + "\n"


def _rows(found: Any) -> Iterator[str]:
    for name, arity, flags, _, _, _, _, _, specs, subcommands in found:
        shown = name.decode().upper().replace("|", " ")
        words = ",".join(sorted(flag.decode() for flag in flags))
        yield "\t".join((shown, str(arity), words, " ".join(_specs(specs)))).rstrip()
        yield from _rows(subcommands)


def _specs(specs: Any) -> Iterator[str]:
    for listed in specs:
        spec = _map(listed)
        if b"not_key" not in spec[b"flags"]:
            yield f"{_part(spec[b'begin_search'])}/{_part(spec[b'find_keys'])}"


def _part(listed: Any) -> str:
    part = _map(listed)
    spec = _map(part[b"spec"])
    match part[b"type"]:
        case b"index":
            return f"i{spec[b'index']}"
        case b"keyword":
            return f"k{spec[b'keyword'].decode()},{spec[b'startfrom']}"
        case b"range":
            return f"r{spec[b'lastkey']},{spec[b'keystep']},{spec[b'limit']}"
        case b"keynum":
            return f"n{spec[b'keynumidx']},{spec[b'firstkey']},{spec[b'keystep']}"
    return "?"


def _map(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    with RedisServer() as running:
        TABLE.write_text(command_table(running), encoding="ascii")
