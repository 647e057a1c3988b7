"""`tracer-bullet drift`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tracer_bullet.cli.render import say
from tracer_bullet.errors import ExitCode
from tracer_bullet.graph.drift import DriftRules, changes_of
from tracer_bullet.model import Change, Drift
from tracer_bullet.model.codec import encode
from tracer_bullet.report.columns import plain
from tracer_bullet.report.drift_text import render_drift
from tracer_bullet.runs.drifts import compare_runs
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.runs import RunFolder, find_run
from tracer_bullet.workspace.settings import find_workspace

_CHANGES = tuple(c.value for c in Change if c not in (Change.SAME, Change.UNKNOWN))
_SIZE = click.FloatRange(0)


@click.command("drift")
@click.argument("before")
@click.argument("after", default="latest")
@click.option("--fail-on", default="slower,more-errors", show_default=True, help=f"Which of {', '.join(_CHANGES)}.")
@click.option(
    "--min-share", type=_SIZE, default=10.0, show_default=True, help="Least change of a latency, in percent of it."
)
@click.option(
    "--min-ms", type=_SIZE, default=1.0, show_default=True, help="Least change of a latency, in milliseconds."
)
@click.option(
    "--min-errors", type=_SIZE, default=0.5, show_default=True, help="Least change of errors, in percent of the calls."
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of the alarms that may be false.",
)
@click.option("--strict", is_flag=True, help="Not enough data for one comparison is not enough data (exit code 3).")
@click.option("--all", "everything", is_flag=True, help="Show what stayed the same, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(
    before: str,
    after: str,
    *,
    fail_on: str,
    min_share: float,
    min_ms: float,
    min_errors: float,
    alpha: float,
    strict: bool,
    everything: bool,
    as_json: bool,
) -> int:
    """Compare the runs BEFORE with the runs AFTER: edges, latencies, errors.

    Each is a run (an id, the start of one, a folder, or `latest`) or several with commas between them. Writes
    drift.json into AFTER's folder. Exit codes: 0 no regression, 1 regressed, 3 not enough data to tell.
    """
    rules = DriftRules(
        alpha=alpha,
        least_share=min_share / 100,
        least_ms=min_ms,
        least_errors=min_errors / 100,
        fail_on=changes_of(_names(fail_on)),
    )
    drift = compare_runs(_runs(before), _runs(after), rules)
    if as_json:
        say(json.dumps(encode(drift), indent=2, allow_nan=False) + "\n")
    else:
        say(plain(render_drift(drift, everything=everything), sys.stdout.encoding or "ascii"))
    return int(_exit_code(drift, strict=strict))


def _exit_code(drift: Drift, *, strict: bool) -> ExitCode:
    if drift.regressed:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if not drift.judged or (strict and drift.unknown) else ExitCode.PASSED


def _runs(names: str) -> list[RunFolder]:
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    found = {run.path: run for run in (find_run(workspace, name.strip()) for name in names.split(",") if name.strip())}
    if not found:
        raise click.UsageError("a run is needed: an id, a folder, or `latest`")
    return list(found.values())


def _names(fail_on: str) -> list[str]:
    names = [name.strip() for name in fail_on.split(",") if name.strip()]
    for name in names:
        if name not in _CHANGES:
            close = suggest(name, _CHANGES) or f"known: {', '.join(_CHANGES)}"
            raise click.UsageError(f"--fail-on: no change is called {name!r}; {close}")
    return names
