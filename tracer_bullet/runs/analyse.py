"""The recipe of an analysis: a run's spans to graph.json, analysis.json, slos.json and example traces."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tracer_bullet.errors import TracerBulletError
from tracer_bullet.graph.analyse import STEPS, analyse, read_traces
from tracer_bullet.graph.engines import DuckEngine, EngineOptions
from tracer_bullet.graph.engines.opening import open_engine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.profiles import profile_graph
from tracer_bullet.graph.slo import judge_objectives
from tracer_bullet.model import PhaseStarted, Progress, ServiceGraph, SloReport, System
from tracer_bullet.runs.context import Context
from tracer_bullet.runs.manifests import quiet_manifest
from tracer_bullet.traces import write_table
from tracer_bullet.workspace.runs import RunFolder, create_run, write_json

DUCKDB: Final = "duckdb"
# What begins the address of an engine that has spans of its own.
REMOTE: Final = "clickhouse://"
T = TypeVar("T")
AnalysisEvent = PhaseStarted | Progress


@contextmanager
def analysis_folder(workspace: Path, on: str, source: Path | None) -> Iterator[RunFolder]:
    """The folder of a new run, for spans that are in none: those of Parquet files, or of an engine that has its own.

    When the block ends, its manifest says whether the run was finished or interrupted. An error before there is a graph
    leaves no folder, since `latest` would mean it.
    """
    manifest = quiet_manifest("analyse", str(source) if source is not None else _shown(on))
    folder = create_run(workspace, manifest.run_id)
    write_json(folder.manifest, manifest)
    state = "interrupted"
    try:
        yield folder
        state = "finished"
    except TracerBulletError:
        if not folder.graph.exists():
            shutil.rmtree(folder.path)
        raise
    finally:
        if folder.path.exists():
            write_json(folder.manifest, replace(manifest, state=state, ended_ns=time.time_ns()))


def analyse_run(
    folder: RunFolder,
    context: Context,
    *,
    on: str = DUCKDB,
    source: Path | None = None,
    options: EngineOptions | None = None,
) -> Iterator[AnalysisEvent]:
    """Analyse spans and write what they say into `folder`, yielding how far it has come.

    The spans are those of the folder itself, of `source` (Parquet files), or of the engine that `on` names. Raises
    UsageError (TB501 no span table, TB502, TB503, TB505) and UnreachableError (TB504, TB506).
    """
    engine = open_engine(on, source or (None if on.startswith(REMOTE) else folder.spans), options)
    try:
        steps = analyse(engine, context.system, catalog=context.catalog)
        graph, found = yield from _told(steps)
        write_json(folder.graph, graph)
        write_json(folder.analysis, found, indent=None)
        if context.objectives or context.notes:
            verdicts = judge_objectives(engine, context.objectives)
            write_json(folder.slos, SloReport(verdicts=verdicts, notes=context.notes))
        write_table(read_traces(engine, {e.trace_id for e in found.examples}), folder.examples)
    finally:
        engine.close()


def read_profile(folder: RunFolder, profile: str) -> ServiceGraph:
    """The graph of a run's spans as `jaeger`, `tempo` or `zipkin` would have it (graph/profiles.py).

    Raises UsageError TB501 when the run has no span table of its own.
    """
    with DuckEngine(folder.spans) as engine:
        prepare(engine, System())
        return profile_graph(engine, profile)


def _told(steps: Generator[str, None, T]) -> Generator[AnalysisEvent, None, T]:
    """The steps as events; what they return."""
    for done in count():
        try:
            step = next(steps)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        yield PhaseStarted(phase="analyse", detail=step)
        yield Progress(phase="analyse", done=done, total=len(STEPS))
    raise AssertionError  # the steps end


def _shown(on: str) -> str:
    """An engine's address without its user and password."""
    parts = urlsplit(on)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
