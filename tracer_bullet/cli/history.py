"""`tracer-bullet history`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tracer_bullet.cli.render import say
from tracer_bullet.report.columns import plain
from tracer_bullet.report.history import render_history_page, render_history_text
from tracer_bullet.runs.histories import history_of
from tracer_bullet.workspace.runs import find_run, write_whole
from tracer_bullet.workspace.settings import find_workspace


@click.command("history")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the page that steps through.")
@click.option("--all", "everything", is_flag=True, help="Show what stayed, too.")
def command(runs: tuple[str, ...], *, out: Path | None, everything: bool) -> None:
    """Show how the architecture changed over several runs: which parts came and went when.

    RUN is an id, the start of one, a folder, or `latest`. With --out an offline HTML page is written that steps through
    the runs on one layout.
    """
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    found = {run.path.resolve(): run for run in (find_run(workspace, name) for name in runs)}
    history = history_of(found.values())
    say(plain(render_history_text(history, everything=everything), sys.stdout.encoding or "ascii"))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, render_history_page(history).encode("utf-8", "replace"))
        click.echo(f"Page  {out}", err=True)
