"""Spans for tests of the analysis, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Span, SpanKind, SpanStatus, System
from tracer_bullet.traces import spans_to_table

MS = 1_000_000


def make_span(
    number: int,
    parent: int | None,
    kind: SpanKind,
    service: str,
    at: float,
    to: float,
    *,
    name: str = "n",
    trace: int = 1,
    failed: bool = False,
    host: str = "",
    **more: str,
) -> Span:
    """A span of trace `trace` from `at` to `to` ms. Of further keywords `__` is a dot: db__system."""
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=kind,
        service=service,
        start_ns=round(at * MS),
        end_ns=round(to * MS),
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        attributes={k.replace("__", "."): v for k, v in more.items()},
        resource={"host.name": host} if host else {},
    )


def prepared(spans: Iterable[Span]) -> DuckEngine:
    """An engine over the spans, with the tables of graph/prepare.py; to be closed."""
    engine = DuckEngine(spans_to_table(spans))
    prepare(engine, System())
    return engine
