"""Claim: under `opentelemetry-instrument` a service is armed by environment variables alone, and always starts."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest

from tests.versions import needs
from tracer_bullet.guards import census, instrumentor
from tracer_bullet.guards.instrumentor import TracerBulletInstrumentor
from tracer_bullet.model import Span, attributes
from tracer_bullet.traces import Receiver

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
APPLICATION = """
import socket, sys
import sqlalchemy as sa, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

engine = sa.create_engine("sqlite:///orders.db")
with engine.begin() as c:
    c.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))

def place(request):
    with engine.begin() as c:
        c.execute(sa.text("INSERT INTO orders DEFAULT VALUES"))
        return JSONResponse({"orders": c.execute(sa.text("SELECT count(*) FROM orders")).scalar()})

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = Starlette(routes=[Route("/orders", place, methods=["POST"])])
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"""


@dataclass
class Running:
    """The application above in a process of its own; it knows nothing of guards."""

    url: str
    folder: Path

    def place(self, headers: Mapping[str, str]) -> httpx.Response:
        return httpx.post(f"{self.url}/orders", headers=dict(headers), timeout=30)

    @property
    def orders(self) -> int:
        connection = sqlite3.connect(self.folder / "orders.db")
        try:
            return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])
        finally:
            connection.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def running(folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    (folder / "app.py").write_text(APPLICATION)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TRACER_BULLET_"))}
    exporters = {f"OTEL_{kind}_EXPORTER": "none" for kind in ("TRACES", "METRICS", "LOGS")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "app.py"],
            cwd=folder,
            env={**inherited, **exporters, "OTEL_SERVICE_NAME": "cart", **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert port, (folder / "log").read_text()
        yield Running(f"http://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def exported(receiver: Receiver) -> list[Span]:
    """The bullet's spans, when the last of them, its seal, has come."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        spans = list(asyncio.run(receiver.fetch([TRACE_ID])).get(TRACE_ID, ()))
        if any(s.name == attributes.SEAL_SPAN_NAME for s in spans):
            return spans
        time.sleep(0.05)
    raise AssertionError("no seal came")


def test_opentelemetry_finds_the_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="tracer_bullet")
    assert found.load() is TracerBulletInstrumentor


@needs("opentelemetry-instrumentation-starlette", ">=0.56", "a server span of today's Starlette")
def test_armed_from_the_environment(tmp_path: Path, jwks: str, flag_headers: Callable[..., dict[str, str]]) -> None:
    with Receiver("127.0.0.1", 0) as receiver:
        settings = {
            "TRACER_BULLET_KEYS": jwks,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with running(tmp_path, settings) as service:
            answer = service.place(flag_headers(TRACE_ID))
            assert (answer.status_code, answer.json()) == (200, {"orders": 1})
            assert service.orders == 0
            assert service.place({}).json() == {"orders": 1}
            assert service.orders == 1
            refused = service.place({**flag_headers(), "x-tracer-bullet": "forged"})
            assert (refused.status_code, refused.json()["service"]) == (403, "cart")
            spans = exported(receiver)
    decisions = [s.attributes[attributes.DECISION] for s in spans if attributes.DECISION in s.attributes]
    assert decisions == ["rolled_back"]
    (seal,) = [s for s in spans if s.name == attributes.SEAL_SPAN_NAME]
    assert seal.attributes[attributes.GUARDS].startswith("sqlalchemy=rollback")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({}, "TB602"),
        ({"TRACER_BULLET_KEYS": "/no/such/jwks.json"}, "TB205"),
        ({"TRACER_BULLET_KEYS": '{"keys": [{"kid": "x", "kty": "RSA"}]}'}, "TB204"),
        ({"TRACER_BULLET_KEYS": "{}", "TRACER_BULLET_REDIRECTS": "[1]"}, "TB603"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_service_that_cannot_be_armed_serves_customers_and_refuses_bullets(
    settings: dict[str, str], code: str, tmp_path: Path, flag_headers: Callable[..., dict[str, str]]
) -> None:
    with running(tmp_path, settings) as service:
        refused = service.place(flag_headers())
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:tracer-bullet:unarmed")
        assert service.orders == 0
        assert service.place({}).json() == {"orders": 1}
        assert f"this service refuses tracer bullets: {code}" in service.log
        assert "Traceback" not in service.log


def test_the_kill_switch(tmp_path: Path, jwks: str, flag_headers: Callable[..., dict[str, str]]) -> None:
    with running(tmp_path, {"TRACER_BULLET_KEYS": jwks, "TRACER_BULLET_DISABLED": "1"}) as service:
        refused = service.place(flag_headers())
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:tracer-bullet:disabled")
        assert service.place({}).json() == {"orders": 1}


def test_what_nobody_foresaw_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry's loader stops at an exception: the service would lose its other instrumentations."""

    def arm() -> None:
        raise RuntimeError("out of the blue")

    monkeypatch.setattr(instrumentor, "arm", arm)
    found = TracerBulletInstrumentor()
    with caplog.at_level(logging.ERROR):
        found.instrument()
    found.uninstrument()
    assert "refuses tracer bullets" in caplog.text
    assert "out of the blue" in caplog.text
    assert census() == ()
