"""`tracer-bullet analyse`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import click

from tracer_bullet.cli.render import ProgressLine, show
from tracer_bullet.graph.engines import EngineOptions
from tracer_bullet.runs.analyse import DUCKDB, REMOTE, analyse_run, analysis_folder
from tracer_bullet.runs.context import read_context
from tracer_bullet.runs.outputs import write_outputs
from tracer_bullet.workspace.runs import find_run
from tracer_bullet.workspace.settings import find_workspace


@click.command("analyse")
@click.argument("run", default="latest")
@click.option("--on", default=DUCKDB, show_default=True, metavar="ENGINE", help="Where the SQL runs (docs/engines.md).")
@click.option("--memory-mb", type=click.IntRange(64), help="Memory for the engine; past it, it spills to disk.")
@click.option("--threads", type=click.IntRange(1), help="Cores for the engine (default: all).")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(run: str, on: str, memory_mb: int | None, threads: int | None, *, as_json: bool) -> int:
    """Analyse the spans of RUN: graph, latency, critical paths, causes, objectives; and write its page.

    RUN is an id, the start of one, a folder, `latest`, or Parquet files of spans (docs/span-table.md), which get a run
    of their own, as the spans of a ClickHouse server do: `--on clickhouse://…`. The exit code is the run's.
    """
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    context = read_context(Path.cwd(), os.environ)
    options = EngineOptions(memory_limit_mb=memory_mb, threads=threads)
    progress = ProgressLine(quiet=as_json)
    source = None if on.startswith(REMOTE) else _spans(run)
    with ExitStack() as stack:
        if source is None and not on.startswith(REMOTE):
            folder = find_run(workspace, run)
        else:
            folder = stack.enter_context(analysis_folder(workspace, on, source))
        for event in analyse_run(folder, context, on=on, source=source, options=options):
            progress.tell(event)
    progress.end()
    write_outputs(folder, context.catalog)
    return show(folder, as_json=as_json)


def _spans(run: str) -> Path | None:
    """The Parquet files that RUN means; None when it means a run."""
    path = Path(run)
    if path.suffix == ".parquet" or (
        path.is_dir() and not (path / "run.json").exists() and any(path.glob("*.parquet"))
    ):
        return path
    return None
