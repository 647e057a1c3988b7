"""A throw-away MariaDB: Debian's server, data in a temporary folder, a free port of 127.0.0.1."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

_USER = "tester"
_TIMEOUT_S = 60
_SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": None,
    "max-connections": "150",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "16M",
    "innodb-log-file-size": "8M",
    "innodb-flush-log-at-trx-commit": "0",  # nothing here outlives a crash
    "innodb-fast-shutdown": "2",
    "innodb-lock-wait-timeout": "60",
    "key-buffer-size": "1M",
    "aria-pagecache-buffer-size": "1M",
    "performance-schema": "off",
}


class MariadbUnavailableError(Exception):
    """MariaDB's server programs are not here: tests skip."""


class MariadbServer:
    """A server of its own. A context manager: inside, it accepts connections of a user without a password."""

    def __init__(self) -> None:
        self.port = 0
        self._install = _find("mariadb-install-db")
        self._server = _find("mariadbd")
        _find("my_print_defaults")  # without it the first of them fails
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        # A short path, since it holds a Unix socket.
        self._folder = Path(tempfile.mkdtemp(prefix="tracer-bullet-mariadb-"))
        try:
            self._create()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def connect(self, database: str | None = None) -> Any:
        """A connection that commits each statement, with PyMySQL."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user=_USER, database=database, autocommit=True)

    def url(self, database: str = "mysql") -> str:
        """A URL without a driver: `mysql://…`."""
        return f"mysql://{_USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new, empty database; its URL."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop it, after cutting off whoever is still connected."""
        name = url.rpartition("/")[2]
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [name])
            for (number,) in cursor.fetchall():
                try:
                    cursor.execute(f"KILL {number}")
                except pymysql.err.OperationalError as error:
                    if error.args[0] != 1094:  # gone by itself meanwhile
                        raise
            cursor.execute(f"DROP DATABASE {name}")

    def assert_nothing_open(self) -> None:
        """No transaction is open."""
        self._wait("SELECT trx_id FROM information_schema.innodb_trx", wanted=0)

    def wait_for_a_waiting_lock(self) -> None:
        """Until somebody's statement waits for a lock."""
        self._wait("SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'", wanted=1)

    def _wait(self, sql: str, wanted: int) -> None:
        """InnoDB's list of transactions is a copy, made anew when nobody has looked at it for 0.1 s."""
        deadline = time.monotonic() + _TIMEOUT_S
        with self.connect() as connection, connection.cursor() as cursor:
            while cursor.execute(sql) != wanted:
                assert time.monotonic() < deadline, sql
                time.sleep(0.15)

    def _create(self) -> None:
        with (self._folder / "out").open("wb") as out:
            done = subprocess.run(
                [
                    self._install,
                    "--no-defaults",
                    f"--user={_own_name()}",
                    f"--datadir={self._folder / 'data'}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--skip-name-resolve",
                    *(f"--{name}={_SETTINGS[name]}" for name in ("innodb-log-file-size", "innodb-buffer-pool-size")),
                ],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
            )
        if done.returncode != 0:
            raise RuntimeError(self._told("mariadb-install-db"))
        statements = [f"CREATE USER {_USER};", f"GRANT ALL ON *.* TO {_USER} WITH GRANT OPTION;"]
        (self._folder / "init.sql").write_text("\n".join(statements) + "\n")  # one a line, or it is an error

    def _start(self) -> None:
        self.port = _free_port()
        own = {
            "user": _own_name(),
            "port": str(self.port),
            "datadir": str(self._folder / "data"),
            "socket": str(self._folder / "socket"),
            "pid-file": str(self._folder / "pid"),
            "init-file": str(self._folder / "init.sql"),
        }
        settings = [f"--{k}" if v is None else f"--{k}={v}" for k, v in {**_SETTINGS, **own}.items()]
        with (self._folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [self._server, "--no-defaults", *settings],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                self.connect().close()
            except pymysql.err.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self._told("mariadbd")) from None
                time.sleep(0.02)  # nothing tells when it listens
            else:
                return

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # its data goes with it
            self._process.wait(_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _told(self, program: str) -> str:
        return f"{program} failed\n" + (self._folder / "out").read_text(errors="replace")


def _find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        packages = "mariadb-server-core and mariadb-client-core"
        raise MariadbUnavailableError(f"no {program} (Debian's packages are {packages})")
    return found


def _own_name() -> str:
    """The process's own user: MariaDB runs as root only when told so by name."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
