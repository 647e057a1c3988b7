"""Spans of calls to one service, made up for tests of objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew
from tracer_bullet.model import Indicator, Objective, Span, SpanKind, SpanStatus, System
from tracer_bullet.traces import spans_to_table

MS = 1_000_000
MINUTE = 60_000 * MS
HOUR = 60 * MINUTE
START = 1_768_953_600_000_000_000  # a whole day since the epoch


def call(number: int, at_ns: int, *, ms: float = 10, failed: bool = False, **more: str) -> Span:
    """One call; `service`, `name` and attributes (`__` for a dot) may be given."""
    service, name = more.pop("service", "shop"), more.pop("name", "GET /")
    return Span(
        trace_id=f"{number + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=None,
        name=name,
        kind=SpanKind[more.pop("kind", "SERVER")],
        service=service,
        start_ns=START + at_ns,
        end_ns=START + at_ns + round(ms * MS),
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        attributes={k.replace("__", "."): v for k, v in more.items()},
    )


@contextmanager
def engine_of(spans: Sequence[Span]) -> Iterator[DuckEngine]:
    with DuckEngine(spans_to_table(spans)) as engine:
        prepare(engine, System())
        measure_skew(engine)
        yield engine


def latency(target: float, threshold_ms: float, **more: object) -> Objective:
    values = {"name": "l", "service": "shop", "indicator": Indicator.LATENCY, "target": target, **more}
    return Objective(threshold_ms=threshold_ms, **values)  # type: ignore[arg-type]


def availability(target: float, **more: object) -> Objective:
    values = {"name": "a", "service": "shop", "indicator": Indicator.AVAILABILITY, "target": target, **more}
    return Objective(**values)  # type: ignore[arg-type]
