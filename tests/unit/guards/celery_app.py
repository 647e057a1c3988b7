"""The application of the Celery tests. Run by `celery -A tests.unit.guards.celery_app worker`, it is a guarded
service of its own; imported, it is what its callers know of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import celery
import sqlalchemy as sa

from tracer_bullet.context import current

WORKER = "CELERY_TEST_WORKER"  # a JSON object: broker, backend, queue, database, spans, guards


def make_app(broker: str, backend: str, queue: str) -> celery.Celery:
    app = celery.Celery("tests.unit.guards.celery_app", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        broker_connection_retry_on_startup=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        result_extended=False,
    )
    return app


def run_id() -> str | None:
    found = current()
    return None if found is None else found.run_id


def add_tasks(app: celery.Celery, engine: sa.Engine) -> None:
    @app.task(name="orders.whoami", shared=False)
    def whoami(*_previous: Any) -> str | None:
        return run_id()

    @app.task(name="orders.write", shared=False)
    def write(value: str) -> str | None:
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO orders VALUES (:value)"), {"value": value})
        return run_id()

    @app.task(name="orders.follow", shared=False)
    def follow(previous: list[Any]) -> list[Any]:
        return [*previous, run_id()]

    @app.task(name="orders.flaky", shared=False, bind=True, max_retries=2)
    def flaky(self: Any) -> list[Any]:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return [self.request.retries, run_id()]

    @app.task(name="orders.fails", shared=False)
    def fails() -> None:
        raise ValueError("as it should")


class _File:
    """An exporter of spans to lines of JSON."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def export(self, spans: Sequence[Any]) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        for span in spans:
            os.write(self._fd, (json.dumps(json.loads(span.to_json(indent=None))) + "\n").encode())
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def _worker(settings: dict[str, Any]) -> celery.Celery:
    from opentelemetry import trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from tracer_bullet.guards import arm

    provider = TracerProvider(resource=Resource({"service.name": "worker"}))
    provider.add_span_processor(SimpleSpanProcessor(_File(settings["spans"])))  # type: ignore[arg-type]
    trace.set_tracer_provider(provider)
    arm(service="worker", linger_s=0.0, **settings["guards"])
    CeleryInstrumentor().instrument()
    app = make_app(settings["broker"], settings["backend"], settings["queue"])
    add_tasks(app, sa.create_engine(settings["database"]))
    Path(settings["spans"]).touch()
    return app


if WORKER in os.environ:
    app = _worker(json.loads(os.environ[WORKER]))
