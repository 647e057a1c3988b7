"""`tracer-bullet demo`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from tracer_bullet.cli.init import write_workspace
from tracer_bullet.cli.render import ProgressLine, follow, say, show
from tracer_bullet.cli.sim import read_careless
from tracer_bullet.context.keys import JWKS_NAME, create_keys
from tracer_bullet.runs.fire import fire
from tracer_bullet.runs.job import prepare_fire
from tracer_bullet.sim import Simulation, shop_topology
from tracer_bullet.traces import Receiver
from tracer_bullet.workspace.runs import RunFolder


@click.command("demo")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
@click.option("--bullets", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--careless", multiple=True, metavar="SERVICE=KIND", help="Make a service careless (docs/sim.md).")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(folder: Path, bullets: int, careless: tuple[str, ...], *, as_json: bool) -> int:
    """Start the simulated shop and the trace receiver, fire the checkout scenario, show the verdict.

    Everything listens on free ports of this machine only. The workspace is kept in FOLDER.
    """
    progress = ProgressLine(quiet=as_json)
    workspace = folder.absolute()
    write_workspace(workspace, overwrite=False)
    keys = workspace / ".tracer-bullet" / "keys"
    if not (keys / JWKS_NAME).exists():
        create_keys(keys)
    scenario = workspace / "scenarios" / "checkout.yaml"
    with tempfile.TemporaryDirectory(prefix="tracer-bullet-demo-") as scratch, Receiver("127.0.0.1", 0) as receiver:
        simulation = Simulation(
            shop_topology(),
            otlp_endpoint=f"{receiver.url}/v1/traces",
            keys=str(keys / JWKS_NAME),
            data_dir=Path(scratch),
            careless=read_careless(careless),
            ports="free",
        )
        with simulation:
            job = prepare_fire(
                scenario,
                environ=os.environ,
                target=simulation.url,
                bullets=bullets,
                concurrency=4,
                system=simulation.system(),
            )
            ended = follow(fire(job, receiver), progress)
            charges = len(simulation.third_party_calls)
    code = show(RunFolder(path=ended.folder), as_json=as_json)
    if not as_json:
        say(f"the payment provider outside the system got {charges} charges\n")
    return code
