"""`tracer-bullet load`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tracer_bullet.cli.fire import read_variables
from tracer_bullet.cli.load_senders import open_senders, work_for_master
from tracer_bullet.cli.load_watch import watched
from tracer_bullet.cli.render import ProgressLine, follow, show
from tracer_bullet.errors import ExitCode
from tracer_bullet.runs.load.job import LoadJob, prepare_load
from tracer_bullet.runs.load.locustfile.options import is_locustfile
from tracer_bullet.runs.load.recipe import load
from tracer_bullet.runs.load.run import Outside
from tracer_bullet.runs.replay.interrupt import Interrupt
from tracer_bullet.workspace.runs import RunFolder

_PORT = click.IntRange(1, 65535)


class LoadCommand(click.Command):
    """With -f all arguments are Locust's, but for a few of our own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what is Locust's apart, as it is."""
        if is_locustfile(args):
            ctx.meta["locust"] = list(args)
            return super().parse_args(ctx, [])
        return super().parse_args(ctx, args)


@click.command("load", cls=LoadCommand)
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("-f", "--locustfile", help="Run this locustfile instead; all other options are then Locust's own.")
@click.option("--target", help="Another target of tracer-bullet.yaml, or an address for the scenario's own.")
@click.option("--rate", metavar="RATE", help="As 50/s: iterations begun, in place of the scenario's `load`.")
@click.option("--users", type=click.IntRange(1), help="So many users, in place of the scenario's `load`.")
@click.option("--duration", metavar="TIME", help="As 5m, of --rate or --users.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable of the scenario.")
@click.option("--find-capacity", is_flag=True, help="Raise the rate until the objective breaks.")
@click.option("--workers", metavar="local:N", help="Send from N processes of this machine.")
@click.option("--master", is_flag=True, help="Let workers on other hosts send (docs/distribution.md).")
@click.option("--expect-workers", type=click.IntRange(1), default=1, help="With --master: so many, before it begins.")
@click.option("--master-bind-host", default="*", metavar="HOST", help="With --master: where workers find it.")
@click.option("--master-bind-port", type=_PORT, default=5557, help="With --master.")
@click.option("--worker", is_flag=True, help="Send for a master; needs no scenario, workspace or key.")
@click.option("--master-host", default="127.0.0.1", metavar="HOST", help="With --worker.")
@click.option("--master-port", type=_PORT, default=5557, help="With --worker.")
@click.option("--web-port", type=_PORT, help="With workers: Locust's page, on this port.")
@click.option("--live-port", type=int, help="A page, and metrics for Prometheus, while it runs, on this port (0: any).")
@click.option("--live-host", default="127.0.0.1", metavar="HOST", help="With --live-port: where it listens.")
@click.option("--otlp-metrics", metavar="URL", help="Send metrics to this OTLP/HTTP collector, every 5 s.")
@click.option("--override-window", metavar="WHY", default="", help="Send in a closed window all the same.")
@click.option("--unarmed", is_flag=True, help="Do not prove first that every scenario is harmless.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
@click.pass_context
def command(ctx: click.Context, /, scenario: Path | None, *, as_json: bool, **given: Any) -> int:
    """Send SCENARIO (a YAML file with a `load:` section, docs/load.md) as traffic, every request a bullet.

    One clean bullet of each scenario goes first. A file .tracer-bullet/stop, Ctrl-C or a guardrail ends it within a
    second.
    """
    if "locust" in ctx.meta:
        return _locustfile(ctx.meta["locust"])
    if given["worker"]:
        if scenario is not None or given["master"] or given["workers"] is not None:
            raise click.UsageError("--worker is told by its master what to send: give it neither scenario nor workers")
        return work_for_master(given["master_host"], given["master_port"])
    if scenario is None:
        raise click.UsageError("name a scenario, or a locustfile with -f")
    job = prepare_load(
        scenario,
        environ=os.environ,
        target=given["target"],
        variables=read_variables(given["variables"]),
        changes={name: given[name] for name in ("rate", "users", "duration") if given[name] is not None},
        unarmed=given["unarmed"],
        find_capacity=given["find_capacity"],
        override_window=given["override_window"],
    )
    if job.armed is False:
        click.echo("WARNING: --unarmed loads without proof that bullets are harmless there", err=True)
    return _run(job, given, as_json=as_json)


def _run(job: LoadJob, given: dict[str, Any], *, as_json: bool) -> int:
    interrupt, bound_ms = Interrupt(), job.spec.guardrails.lateness_p99_ms
    senders = open_senders(given, lateness_ms=bound_ms)
    with watched(given) as watching:
        outside = Outside(
            reasons=(interrupt.look,), begun=(watching.begun,), watchers=(watching.tell,), senders=senders
        )
        ended = follow(load(job, outside=outside), ProgressLine(quiet=as_json), stop=interrupt.ask)
    code = show(RunFolder(path=ended.folder), as_json=as_json)
    return int(ExitCode.INTERRUPTED) if interrupt.asked else code


def _locustfile(arguments: Sequence[str]) -> int:
    """Locust with our plugin."""
    from tracer_bullet.cli.load_locustfile import run_locustfile  # noqa: PLC0415  # Locust need not be installed

    return run_locustfile(arguments)
