"""A Django service of one process: settings, a model, and databases that a stranger to all guards looks into."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
import psycopg
import pytest
from django.conf import settings

from tests.servers.mariadb import MariadbServer
from tests.servers.postgres import PostgresServer
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/unused.db"}},
        INSTALLED_APPS=[],
        LOGGING_CONFIG=None,
        SECRET_KEY="tests",
        ROOT_URLCONF="tests.unit.guards.django_urls",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        MIDDLEWARE=[],
    )
    django.setup()

from django.db import connections, models


class Order(models.Model):
    sku = models.CharField(max_length=100, unique=True)
    made = models.DateTimeField(null=True)

    class Meta:
        app_label = "orders"
        db_table = "orders"


@dataclass(frozen=True)
class DjangoDatabase:
    """`settings` as in DATABASES; `url` of a server, or a file's path."""

    kind: str
    url: str
    settings: dict[str, Any]
    server: Any = None

    def ask(self, sql: str) -> list[Any]:
        """The first column, for a stranger to all guards."""
        with entered(None):
            return self._ask(sql)

    def _ask(self, sql: str) -> list[Any]:
        if self.kind == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as connection:
                cursor = connection.execute(sql)  # type: ignore[call-overload]
                return [row[0] for row in cursor] if cursor.description else []
        if self.kind == "mysql":
            connection = self.server.connect(self.url.rpartition("/")[2])
        else:
            connection = sqlite3.connect(self.url, isolation_level=None)
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [row[0] for row in cursor.fetchall()]
        finally:
            connection.close()

    @property
    def rows(self) -> list[str]:
        return self.ask("SELECT sku FROM orders ORDER BY id")

    def assert_nothing_open(self) -> None:
        """Nobody but customers' idle connections is there, and no transaction is open."""
        if self.kind == "postgresql":
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            assert self.ask(f"SELECT 1 FROM pg_stat_activity WHERE {others} AND state <> 'idle'") == []
        elif self.kind == "mysql":
            self.server.assert_nothing_open()
        else:
            with sqlite3.connect(self.url, isolation_level=None, timeout=0) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("ROLLBACK")
            connection.close()


KEYS = {
    "sqlite": "integer PRIMARY KEY AUTOINCREMENT",
    "postgresql": "bigserial PRIMARY KEY",
    "mysql": "bigint AUTO_INCREMENT PRIMARY KEY",
}
TIMES = {"sqlite": "datetime", "postgresql": "timestamptz", "mysql": "datetime(6)"}


@contextmanager
def django_database(kind: str, request: pytest.FixtureRequest) -> Iterator[DjangoDatabase]:
    """A database with one order in it, as Django's default; `kind` is Django's vendor."""
    with _created(kind, request) as found:
        connections.settings["default"] = connections.configure_settings({"default": dict(found.settings)})["default"]
        _forget()
        for sql in (
            f"CREATE TABLE orders (id {KEYS[kind]}, sku varchar(100) NOT NULL UNIQUE, made {TIMES[kind]} NULL)",
            "INSERT INTO orders (sku) VALUES ('first')",
        ):
            found.ask(sql)
        yield found
        _forget()


def _forget() -> None:
    """What this thread has open."""
    connections.close_all()
    with suppress(AttributeError):
        del connections["default"]


@contextmanager
def _created(kind: str, request: pytest.FixtureRequest) -> Iterator[DjangoDatabase]:
    engine = {"sqlite": "sqlite3"}.get(kind, kind)
    base: dict[str, Any] = {"ENGINE": f"django.db.backends.{engine}"}
    if kind == "sqlite":
        path = str(Path(request.getfixturevalue("tmp_path")) / "django.db")
        yield DjangoDatabase(kind, path, {**base, "NAME": path})
        return
    if kind == "mysql":
        mysqldb()
    server: PostgresServer | MariadbServer
    server = request.getfixturevalue("postgres" if kind == "postgresql" else "mariadb")
    url = server.create_database()
    parts = urlsplit(url)
    address = {"USER": parts.username, "HOST": parts.hostname, "PORT": str(parts.port), "NAME": parts.path[1:]}
    yield DjangoDatabase(kind, url, {**base, **address}, server)
    server.drop_database(url)


def mysqldb() -> None:
    """mysqlclient, or PyMySQL in its place where that could not be built."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        import pymysql

        pymysql.install_as_MySQLdb()


@contextmanager
def bullet(armed: Armed) -> Iterator[Scope]:
    """The scope of a bullet's request, ended as the inbound guards end it."""
    scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=armed.config.linger_s, trace_id="a" * 32)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            closer.close()


def check(site: DjangoDatabase, armed: Armed, body: Callable[[], None], writes: list[str]) -> None:
    """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
    with bullet(armed):
        body()
    assert site.rows == ["first"]
    site.assert_nothing_open()
    body()
    assert sorted(site.rows) == sorted(["first", *writes])


def skus() -> list[str]:
    return list(Order.objects.order_by("id").values_list("sku", flat=True))
