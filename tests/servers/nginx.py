"""The real nginx, Debian's package `nginx`: one process in the foreground, free ports, a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_ATTEMPTS = 5
_START_S = 30.0
_STOP_S = 10.0

_CONFIG = """\
{user}daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log {level};
{main}
events {{ worker_connections {connections}; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  access_log {folder}/access.log;
{http}
}}
"""


class NginxUnavailableError(Exception):
    """No nginx is here: tests skip."""


class NginxServer:
    """nginx with `http` inside its `http {}` block. A context manager: inside, it accepts connections.

    In `http` and `main` the words `@PORT@` and `@TLS_PORT@` become free ports, `@FOLDER@` becomes `folder`, where all
    of its files go (`access.log` in the combined format, unless `http` says otherwise). It is a single process
    (`pid`), without a master, so that its CPU time is one process's, and nothing outlives it.
    """

    def __init__(
        self, http: str, folder: Path, *, main: str = "", connections: int = 1024, error_level: str = "warn"
    ) -> None:
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise NginxUnavailableError("no nginx on this machine (Debian's package is `nginx`)")
        self._program = found
        self._http, self._main = http, main
        self._connections, self._level = connections, error_level
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.port = 0
        self.tls_port = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for _ in range(_ATTEMPTS):  # a free port may be taken before nginx binds it
                if self._start():
                    return self
            raise RuntimeError(f"nginx did not start\n{self.log}")
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of `@PORT@`, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Of `@TLS_PORT@`, without a path."""
        return f"https://127.0.0.1:{self.tls_port}"

    @property
    def pid(self) -> int:
        """Of the one process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it had to complain about so far."""
        parts = [self.folder / "stderr.log", self.folder / "error.log"]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def stop(self) -> None:
        """End it; its logs are whole afterwards."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> bool:
        self.port, self.tls_port = _free_ports()
        (self.folder / "error.log").unlink(missing_ok=True)
        place = self.folder / "nginx.conf"
        place.write_text(self._config(), encoding="utf-8")
        command = [self._program, "-p", self.folder, "-c", place, "-e", self.folder / "error.log"]
        with (self.folder / "stderr.log").open("wb") as told:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                self._process = None
                if "Address already in use" in self.log:
                    return False
                raise RuntimeError(f"nginx did not start\n{self.log}")
            # It writes the file once its sockets listen.
            if (self.folder / "nginx.pid").exists() and (self.folder / "nginx.pid").read_text().strip():
                return True
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"nginx did not start within {_START_S:.0f} s\n{self.log}")

    def _config(self) -> str:
        filled = [
            text.replace("@PORT@", str(self.port))
            .replace("@TLS_PORT@", str(self.tls_port))
            .replace("@FOLDER@", str(self.folder))
            for text in (self._http, self._main)
        ]
        return _CONFIG.format(
            user="user root;\n" if os.geteuid() == 0 else "",
            folder=self.folder, level=self._level, connections=self._connections, http=filled[0], main=filled[1],
        )  # fmt: skip


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])
