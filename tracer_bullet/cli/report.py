"""`tracer-bullet report`."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_bullet.cli.render import show
from tracer_bullet.runs.outputs import write_outputs
from tracer_bullet.workspace.runs import find_run
from tracer_bullet.workspace.settings import find_workspace


@click.command("report")
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(run: str, *, as_json: bool) -> int:
    """Write report.html and junit.xml of RUN again and show its verdict.

    RUN is an id, the start of one, a folder, or `latest`. The exit code is the run's.
    """
    folder = find_run(find_workspace(Path.cwd()) or Path.cwd(), run)
    write_outputs(folder)
    return show(folder, as_json=as_json)
