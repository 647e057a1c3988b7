"""`tracer-bullet load -f locustfile.py`: Locust, with every request a bullet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from tracer_bullet.cli.render import ProgressLine, follow, show
from tracer_bullet.errors import ExitCode
from tracer_bullet.runs.load.locustfile.job import prepare_locustfile
from tracer_bullet.runs.load.locustfile.options import parse
from tracer_bullet.runs.load.locustfile.recipe import fly
from tracer_bullet.runs.load.locustfile.through import run_through
from tracer_bullet.runs.replay.interrupt import Interrupt
from tracer_bullet.workspace.runs import RunFolder


def run_locustfile(arguments: Sequence[str]) -> int:
    """Run Locust with these arguments; ours among them are taken out. The exit code is ours."""
    options = parse(arguments)
    if options.worker or options.asks:
        return run_through(options)
    job = prepare_locustfile(options, environ=os.environ, start=Path.cwd())
    if not job.armed:
        click.echo("WARNING: --unarmed loads without proof that bullets are harmless there", err=True)
    interrupt = Interrupt()
    # Locust's own console goes where it always goes; a line of ours would be lost in it.
    ended = follow(fly(job, reasons=(interrupt.look,)), ProgressLine(quiet=True), stop=interrupt.ask)
    code = show(RunFolder(path=ended.folder), as_json=options.as_json)
    return int(ExitCode.INTERRUPTED) if interrupt.asked else code
