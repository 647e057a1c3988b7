"""All of the analysis, in order, over one engine."""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Final

import pyarrow as pa

from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.causes import choose_examples, find_causes, find_contrasts
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.heatmap import make_heatmap
from tracer_bullet.graph.latency import measure_latency
from tracer_bullet.graph.paths import find_critical_paths
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew, read_clock
from tracer_bullet.graph.sql import figures, latency
from tracer_bullet.graph.waste import find_waste
from tracer_bullet.model import Analysis, Catalog, ServiceGraph, System

STEPS: Final = ("spans", "graph", "latency", "patterns", "clocks", "critical paths", "causes")


def analyse(
    engine: Engine,
    system: System,
    *,
    catalog: Catalog | None = None,
) -> Generator[str, None, tuple[ServiceGraph, Analysis]]:
    """Return the graph that the spans show, and all else that they say; yield each of STEPS before it begins.

    The same spans give the same value, whatever their order, their copies and their spread over files.
    """
    yield "spans"
    prepare(engine, system)
    yield "graph"
    graph = assemble(engine)
    yield "latency"
    services, operations, edges = measure_latency(engine)
    heatmap = make_heatmap(engine)
    yield "patterns"
    patterns = find_waste(engine)
    yield "clocks"
    skews = measure_skew(engine)
    yield "critical paths"
    critical = find_critical_paths(engine)
    yield "causes"
    causes, bad_traces = find_causes(engine, catalog or Catalog())
    ((start_ns, end_ns),) = engine.rows(latency.EXTENT)
    return graph, Analysis(
        start_ns=start_ns or 0,
        end_ns=end_ns or 0,
        traces=graph.traces,
        spans=graph.spans,
        services=services,
        operations=operations,
        edges=edges,
        patterns=patterns,
        critical=critical,
        skews=skews,
        causes=causes,
        contrasts=find_contrasts(engine),
        bad_traces=bad_traces,
        heatmap=heatmap,
        examples=choose_examples(engine, causes),
        clock_ns=read_clock(engine),
    )


def read_traces(engine: Engine, trace_ids: Collection[str]) -> pa.Table:
    """All copies of all spans of some traces, as the engine has them in `source`."""
    halves = [(_signed(trace_id[:16]), _signed(trace_id[16:])) for trace_id in sorted(trace_ids)]
    engine.fill("wanted", (("trace_hi", "BIGINT"), ("trace_lo", "BIGINT")), halves)
    found = engine.table(figures.WANTED)
    engine.drop("wanted")
    return found


def _signed(digits: str) -> int:
    number = int(digits, 16)
    return number - (1 << 64) if number >> 63 else number
