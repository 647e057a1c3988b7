"""One server of benchmarks/guard.py: a Starlette endpoint with one SQLAlchemy write, bare, traced or guarded.

Prints its port, then serves. `GET /cpu` answers the nanoseconds of CPU time, user and
system, that the process has used in all its threads.

The database is SQLite in a file given by the caller (of tmpfs, where there is one), without
sync, and the write updates a fixed row: so its cost is small and does not grow, and what is
measured is the way there. The endpoint calls it on the event loop: handing it to a thread
would add noise of more than the guards' cost to all variants alike.
"""

# ruff: noqa: PLC0415  # a variant must not load what it goes without
from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

VARIANTS = ("bare", "otel", "guards")
COUNTERS = sa.Table(
    "counters", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer)
)


def make_engine(path: str) -> sa.Engine:
    """An engine on a new database with one row, and without the cost of making it durable."""
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _fast(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    COUNTERS.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(COUNTERS).values(id=1, n=0))
    return engine


def make_app(engine: sa.Engine) -> Starlette:
    statement = sa.update(COUNTERS).where(COUNTERS.c.id == 1).values(n=COUNTERS.c.n + 1)

    async def write(request: Request) -> JSONResponse:
        order = await request.json()
        with engine.begin() as connection:
            changed = connection.execute(statement).rowcount
        return JSONResponse({"sku": order["sku"], "changed": changed}, status_code=201)

    async def cpu(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(time.process_time_ns()))

    return Starlette(routes=[Route("/orders", write, methods=["POST"]), Route("/cpu", cpu)])


def trace(app: Any, engine: sa.Engine) -> Any:
    """OpenTelemetry's stock instrumentation, its SDK, and an exporter that drops what it gets."""
    from opentelemetry import trace as otel
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropping(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    provider = TracerProvider(resource=Resource({"service.name": "orders"}))
    provider.add_span_processor(BatchSpanProcessor(Dropping()))
    otel.set_tracer_provider(provider)
    SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=provider)
    return OpenTelemetryMiddleware(app, excluded_urls="cpu")


def guard(app: Any) -> Any:
    """Armed guards, as a service would arm them."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from tracer_bullet.guards import arm
    from tracer_bullet.guards.asgi import GuardMiddleware

    x = base64.urlsafe_b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).rstrip(b"=").decode()
    armed = arm(service="orders", keys=json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]}))
    if armed.problem:
        raise SystemExit(f"the guards are not armed: {armed.problem}")
    return GuardMiddleware(app, armed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("database", help="file to make the SQLite database in")
    options = parser.parse_args()
    engine = make_engine(options.database)
    app: Any = make_app(engine)
    if options.variant in ("otel", "guards"):
        app = trace(app, engine)
    if options.variant == "guards":
        app = guard(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.write(1, f"{listener.getsockname()[1]}\n".encode())
        gc.collect()
        gc.freeze()  # what was imported differs between variants, and collecting it is not a request's cost
        config = uvicorn.Config(app, loop="auto", http="httptools", lifespan="off", log_level="error", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
