"""`tracer-bullet replay`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tracer_bullet.cli.render import ProgressLine, follow, say, show
from tracer_bullet.cli.replay_plan import plan_json, plan_text
from tracer_bullet.errors import ExitCode
from tracer_bullet.runs.memory import keep_small
from tracer_bullet.runs.replay.interrupt import Interrupt
from tracer_bullet.runs.replay.job import ReplayJob, Shard, prepare_replay
from tracer_bullet.runs.replay.locust import Master, replay_for
from tracer_bullet.runs.replay.recipe import Outside, replay
from tracer_bullet.runs.replay.surveyed import look_at
from tracer_bullet.workspace.runs import RunFolder


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", help="Another target of tracer-bullet.yaml, or an address for the file's own.")
@click.option("--plan", "plan_only", is_flag=True, help="Send nothing: show what would be, and what to look at first.")
@click.option("--speed", metavar="FACTOR", help="As 4x, in place of the file's timing.")
@click.option("--rate", metavar="RATE", help="As 500/s, in place of the file's timing.")
@click.option("--clones", type=click.IntRange(1, 10_000), help="How many of each session.")
@click.option("--loop", type=click.IntRange(1), help="How often the recording is played.")
@click.option("--unarmed", is_flag=True, help="Do not prove first that every endpoint is harmless.")
@click.option("--override-window", metavar="WHY", default="", help="Send in a closed window all the same.")
@click.option("--locust-master", metavar="HOST:PORT", help="Join this Locust master as a worker.")
@click.option("--shards", type=click.IntRange(1), default=1, help="With --locust-master: how many workers there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(
    file: Path,
    target: str | None,
    speed: str | None,
    rate: str | None,
    clones: int | None,
    loop: int | None,
    override_window: str,
    locust_master: str | None,
    shards: int,
    *,
    plan_only: bool,
    unarmed: bool,
    as_json: bool,
) -> int:
    """Send the recorded traffic that FILE (docs/replay.md) selects again, as bullets, and judge what came back.

    One clean bullet per endpoint goes first. A file .tracer-bullet/stop, Ctrl-C or a guardrail ends it within a second.
    """
    given = {"speed": speed, "rate": rate, "clones": clones, "loop": loop}
    changes = {name: value for name, value in given.items() if value is not None}

    def prepare(shard: Shard) -> ReplayJob:
        return prepare_replay(
            file,
            environ=os.environ,
            target=target,
            changes=changes,
            unarmed=unarmed,
            shard=shard,
            override_window=override_window,
        )

    if shards > 1 and locust_master is None:
        raise click.UsageError("--shards is for --locust-master")
    keep_small()
    job = prepare(Shard())
    if plan_only:
        return _plan(job, as_json=as_json)
    if unarmed:
        click.echo("WARNING: --unarmed replays without proof that bullets are harmless there", err=True)
    interrupt = Interrupt()
    outside = Outside(reasons=(interrupt.look,))
    events = (
        replay(job, outside=outside)
        if locust_master is None
        else replay_for(_master(locust_master, shards), prepare, outside.reasons)
    )
    ended = follow(events, ProgressLine(quiet=as_json), stop=interrupt.ask)
    code = show(RunFolder(path=ended.folder), as_json=as_json)
    return int(ExitCode.INTERRUPTED) if interrupt.asked else code


def _master(text: str, shards: int) -> Master:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"{text!r} is not host:port", param_hint="--locust-master")
    return Master(host=host.strip("[]"), port=int(port), shards=shards)


def _plan(job: ReplayJob, *, as_json: bool) -> int:
    found, planned_s = look_at(job)
    say(plan_json(job, found, planned_s) if as_json else plan_text(job, found, planned_s))
    return 0
