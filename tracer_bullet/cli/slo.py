"""`tracer-bullet slo`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from tracer_bullet.cli.render import say
from tracer_bullet.errors import ExitCode
from tracer_bullet.model import SloReport
from tracer_bullet.model.codec import encode
from tracer_bullet.report.columns import plain
from tracer_bullet.report.slo_text import render_slos
from tracer_bullet.runs.slos import judge_slos, read_objectives
from tracer_bullet.workspace.openslo_write import openslo_documents
from tracer_bullet.workspace.runs import find_run
from tracer_bullet.workspace.settings import find_workspace


@click.command("slo")
@click.argument("run", default="latest")
@click.option("--derive", is_flag=True, help="Also say what the parts must do for the latency objectives to hold.")
@click.option("--openslo", is_flag=True, help="Print the derived objectives as OpenSLO v1 documents.")
@click.option("--seed", default=0, show_default=True, help="For drawing requests; the same seed gives the same answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(run: str, *, derive: bool, openslo: bool, seed: int, as_json: bool) -> int:
    """Judge the workspace's objectives by the spans of RUN (an id, the start of one, a folder, or `latest`).

    Objectives stand under `slos:` in tracer-bullet.yaml and in slos/*.yaml. Writes slos.json into the run's folder.
    Exit codes: 0 all met, 1 one missed, 3 too few calls to tell.
    """
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    folder = find_run(workspace, run)
    report = judge_slos(folder, read_objectives(workspace, os.environ), derive=derive or openslo, seed=seed)
    if openslo:
        say(openslo_documents(report.derived))
    elif as_json:
        say(json.dumps(encode(report), indent=2, allow_nan=False) + "\n")
    else:
        say(plain(render_slos(report), sys.stdout.encoding or "ascii"))
    return int(_exit_code(report))


def _exit_code(report: SloReport) -> ExitCode:
    if any(v.met is False for v in report.verdicts):
        return ExitCode.FAILED
    if not report.verdicts or any(v.met is None for v in report.verdicts):
        return ExitCode.INCONCLUSIVE
    return ExitCode.PASSED
