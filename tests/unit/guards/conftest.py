"""A real service under guard: Starlette or Flask, SQLAlchemy, httpx, and the SDK's spans in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.servers.mariadb import MariadbServer, MariadbUnavailableError
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitServer, RabbitUnavailableError
from tests.unit.guards.amqp import Broker
from tests.unit.guards.database import Database, new_database
from tracer_bullet.guards import Armed, GuardConfig, arm


@dataclass
class Telemetry:
    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def having(self, attribute: str, value: object = ...) -> list[ReadableSpan]:
        found = [s for s in self.spans if attribute in (s.attributes or {})]
        return found if value is ... else [s for s in found if (s.attributes or {})[attribute] == value]

    @property
    def decisions(self) -> list[tuple[Any, Any]]:
        return [
            ((s.attributes or {})["tb.guard.decision"], (s.attributes or {})["tb.guard.operation"])
            for s in self.having("tb.guard.decision")
        ]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "cart"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Telemetry(provider, exporter)
    provider.shutdown()


@pytest.fixture
def arm_service(jwks: str, telemetry: Telemetry) -> Iterator[Callable[..., Armed]]:
    before = propagate.get_global_textmap()
    armed: list[Armed] = []

    def make(**settings: Any) -> Armed:
        config = GuardConfig(**{"service": "cart", "keys": jwks, "linger_s": 0.0, **settings})
        armed.append(arm(config, tracer_provider=telemetry.provider))
        return armed[-1]

    yield make
    for one in armed:
        one.disarm()
    propagate.set_global_textmap(before)


@pytest.fixture(params=["psycopg", "asyncpg"])
def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Database]:
    """A PostgreSQL database, under either driver."""
    with new_database(postgres, request.param) as found:
        yield found


@pytest.fixture
def psycopg_database(postgres: PostgresServer) -> Iterator[Database]:
    """The same for what only psycopg can do."""
    with new_database(postgres, "psycopg") as found:
        yield found


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """A RabbitMQ of this test process's own; without its programs its tests are skipped."""
    try:
        server = RabbitServer()
    except RabbitUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def broker(rabbitmq: RabbitServer) -> Iterator[Broker]:
    """It, as a stranger sees it."""
    found = Broker(rabbitmq)
    yield found
    found.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """A MariaDB of this test process's own; without its programs its tests are skipped."""
    try:
        server = MariadbServer()
    except MariadbUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server
