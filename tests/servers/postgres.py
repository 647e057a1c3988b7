"""A throw-away PostgreSQL: Debian's binaries, a cluster in a temporary folder, a free port of 127.0.0.1."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

_ROOT = Path("/usr/lib/postgresql")
_USER = "tester"
_TIMEOUT_S = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "max_prepared_transactions": "4",
    "fsync": "off",  # nothing here outlives a crash
    "full_page_writes": "off",
    "synchronous_commit": "on",  # tests restart it as a crash would
}


class PostgresUnavailableError(Exception):
    """PostgreSQL's server programs are not here, or no user may run them: tests skip."""


class PostgresServer:
    """A cluster of its own. A context manager: inside, it accepts connections without a password."""

    def __init__(self) -> None:
        self.port = 0
        self._binaries = _find_binaries()
        self._user = _server_user()
        self._folder = Path()
        self._options = ""
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        # Not pytest's folder: that is the tester's alone, and the server may run as somebody else.
        self._folder = Path(tempfile.mkdtemp(prefix="tracer-bullet-postgres-"))
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def restart(self) -> None:
        """End it as a crash would, and start it again at the same port."""
        log = str(self._folder / "log")
        self._pg_ctl("restart", "-m", "immediate", "-w", "-l", log, "-o", self._options)

    def url(self, database: str = "postgres") -> str:
        """A URL without a driver, `postgresql://…`, as libpq takes it."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new, empty database; its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop it, with whoever is still connected."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")  # type: ignore[call-overload]

    def _start(self) -> None:
        self._run("initdb", "--username", _USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
        self.port = _free_port()
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._folder)}
        self._options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._pg_ctl("start", "-w", "-l", str(self._folder / "log"), "-o", self._options)

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        identity: dict[str, Any] = {}
        if self._user is not None:
            identity = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        command = [self._binaries / program, "-D", self._folder / "data", *arguments]
        # A file, since the server inherits it: a pipe would stay open as long as the server runs.
        with (self._folder / "out").open("wb") as out:
            done = subprocess.run(
                command,
                cwd=self._folder,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                **identity,
            )
        if done.returncode != 0:
            told = [p.read_text(errors="replace") for p in (self._folder / "out", self._folder / "log") if p.exists()]
            raise RuntimeError(f"{program} ended with status {done.returncode}\n" + "\n".join(told))


def _find_binaries() -> Path:
    """The newest version's `bin` folder."""
    found = [p.parent for p in _ROOT.glob("*/bin/initdb")]
    if not found:
        raise PostgresUnavailableError(f"no PostgreSQL server under {_ROOT} (Debian's package is `postgresql`)")
    return max(found, key=lambda p: [int(n) for n in p.parent.name.split(".")])


def _server_user() -> pwd.struct_passwd | None:
    """Whom to run the server as; None when the process's own user will do, since PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresUnavailableError("this is root, and there is no user `postgres` to run the server") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
