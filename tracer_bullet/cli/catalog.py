"""`tracer-bullet catalog`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from tracer_bullet.errors import ExitCode
from tracer_bullet.model import CatalogFinding
from tracer_bullet.model.codec import encode
from tracer_bullet.runs.catalog import check_catalog, plan_sync, write_sync
from tracer_bullet.workspace.runs import find_run
from tracer_bullet.workspace.settings import find_workspace


@click.group("catalog")
def command() -> None:
    """Compare what `catalog/*.yaml` declares with what a run observed."""


@command.command("check")
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print the findings for machines.")
def check(run: str, *, as_json: bool) -> int:
    """Say where the catalog and RUN differ, and what in it is stale. Exit code 1 when there are errors."""
    workspace = _workspace()
    found = check_catalog(workspace, find_run(workspace, run), datetime.now(UTC).date())
    click.echo(json.dumps({"findings": encode(found)}, indent=2) if as_json else _text(found), nl=as_json)
    return int(ExitCode.FAILED if any(f.error for f in found) else ExitCode.PASSED)


@command.command("sync")
@click.argument("run", default="latest")
@click.option("--write", is_flag=True, help="Write the files; without it, the changes are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes for machines.")
def sync(run: str, *, write: bool, as_json: bool) -> None:
    """Add the dependencies and services that RUN observed to the catalog. Nothing is taken away."""
    workspace = _workspace()
    changes = plan_sync(workspace, find_run(workspace, run))
    if write:
        write_sync(workspace, changes)
    if as_json:
        rows = [{"path": change.path, "diff": change.diff} for change in changes]
        click.echo(json.dumps({"written": write, "changes": rows}, indent=2))
    elif not changes:
        click.echo("the catalog declares everything that was observed")
    elif write:
        click.echo("".join(f"wrote {change.path}\n" for change in changes), nl=False)
    else:
        click.echo("".join(change.diff for change in changes), nl=False)
        click.echo("nothing was written; --write does", err=True)


def _workspace() -> Path:
    return find_workspace(Path.cwd()) or Path.cwd()


def _text(found: Sequence[CatalogFinding]) -> str:
    rows = []
    for finding in found:
        place = finding.where or finding.entity
        rows.append(f"{'error' if finding.error else 'warning'}  {place}: {finding.message} [{finding.rule}]")
        rows.append(f"  cure: {finding.cure}")
    errors = sum(f.error for f in found)
    rows.append(f"{_plural(errors, 'error')}, {_plural(len(found) - errors, 'warning')}")
    return "".join(f"{row}\n" for row in rows)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
