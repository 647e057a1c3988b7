"""The dependency graph out of the span table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import DuckEngine, EngineOptions
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import ServiceGraph, System


def build_graph(source: pa.Table | Path | str, system: System, *, options: EngineOptions | None = None) -> ServiceGraph:
    """The graph that the spans show.

    `source` is a span table (docs/span-table.md), in memory or as Parquet files (a path, a
    folder of them or a glob). The same spans give the same value whatever their order,
    their copies and their spread over files. Raises UsageError (TB501) when `source` is
    no span table.
    """
    with DuckEngine(source, options) as engine:
        prepare(engine, system)
        return assemble(engine)
