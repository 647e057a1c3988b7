"""`tracer-bullet fire`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tracer_bullet.cli.render import ProgressLine, follow, show
from tracer_bullet.runs.fire import fire
from tracer_bullet.runs.job import prepare_fire
from tracer_bullet.workspace.runs import RunFolder


def read_variables(pairs: tuple[str, ...]) -> dict[str, str]:
    """`name=value` pairs of `--var`."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not name=value", param_hint="--var")
        found[name] = value
    return found


@click.command("fire")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--target", help="Another target of tracer-bullet.yaml, or an address for the scenario's own.")
@click.option("--bullets", type=click.IntRange(1, 100_000), help="How many (the scenario says how many by default).")
@click.option("--concurrency", type=click.IntRange(1, 1000), help="How many at once.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable of the scenario.")
@click.option("--control", is_flag=True, help="The same requests WITHOUT the flag: they write for real.")
@click.option("--unarmed", is_flag=True, help="Do not stop when the first bullet is not proved harmless.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(
    scenario: Path,
    target: str | None,
    bullets: int | None,
    concurrency: int | None,
    variables: tuple[str, ...],
    *,
    control: bool,
    unarmed: bool,
    as_json: bool,
) -> int:
    """Fire the bullets of SCENARIO (a YAML file) and judge them.

    The first bullet goes alone; only when it comes back complete and clean do the others follow.
    """
    job = prepare_fire(
        scenario,
        environ=os.environ,
        target=target,
        bullets=bullets,
        concurrency=concurrency,
        variables=read_variables(variables),
        control=control,
        unarmed=unarmed,
    )
    if control:
        click.echo(f"WARNING: --control sends {job.bullets} x real requests; {job.target.url} will write", err=True)
    if unarmed:
        click.echo("WARNING: --unarmed fires without proof that a bullet is harmless there", err=True)
    ended = follow(fire(job), ProgressLine(quiet=as_json))
    return show(RunFolder(path=ended.folder), as_json=as_json)
