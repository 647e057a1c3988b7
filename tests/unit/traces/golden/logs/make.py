"""Writes the files of this folder with structlog and the standard library's logging: `python make.py`."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

HERE = Path(__file__).parent
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def with_structlog() -> str:
    """A service that logs the end of its operations, with their durations, and lines inside them."""
    out = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    log = structlog.get_logger()

    @contextlib.contextmanager
    def operation(name: str, span_id: str, parent: str | None, service: str) -> Iterator[None]:
        start = time.perf_counter()
        with structlog.contextvars.bound_contextvars(trace_id=TRACE, id=span_id, parent_id=parent, service=service):
            level = "info"
            try:
                yield
            except KeyError:
                level = "error"
                log.exception("failed")
            elapsed = (time.perf_counter() - start) * 1e3
            getattr(log, level)("finished", operation=name, duration_ms=round(elapsed, 3), http={"route": "/cart"})

    with operation("GET /cart", "00f067aa0ba902b7", None, "web"):
        log.info("cache miss", key="c1")
        with operation("price", "00f067aa0ba902b8", "00f067aa0ba902b7", "web"):
            raise KeyError("sku")
    log.info("no trace here")
    return out.getvalue()


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        names = (
            "asctime",
            "levelname",
            "name",
            "message",
            "otelTraceID",
            "otelSpanID",
            "start",
            "end",
            "parent_span_id",
        )
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return json.dumps({name: getattr(record, name) for name in names if hasattr(record, name)})


def with_logging() -> str:
    """The names that OpenTelemetry's logging instrumentation sets, and `asctime` as the standard library writes it."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("shop.stock")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    ids = {"otelTraceID": TRACE, "otelSpanID": "00f067aa0ba902b9"}
    start = time.time()
    logger.info("looking up %s", "sku-1", extra=ids)
    logger.info("stock.lookup", extra={**ids, "parent_span_id": "00f067aa0ba902b8", "start": start, "end": time.time()})
    return out.getvalue()


def main() -> None:
    (HERE / "structlog.jsonl").write_text(with_structlog().replace(str(HERE), "/srv"))
    (HERE / "logging.jsonl").write_text(with_logging())


if __name__ == "__main__":
    main()
