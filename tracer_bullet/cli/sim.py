"""`tracer-bullet sim`."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path
from typing import Literal

import click

from tracer_bullet.model import Analysis, ServiceGraph
from tracer_bullet.sim import Simulation, Topology, load_topology, shop_topology
from tracer_bullet.sim.from_graph import Draft, draft_topology
from tracer_bullet.workspace.runs import find_run, read_json, write_whole
from tracer_bullet.workspace.settings import find_workspace
from tracer_bullet.workspace.topology_file import topology_yaml


def read_careless(pairs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`service=kind[,kind]` pairs of `--careless`."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        service, equals, kinds = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not service=kind", param_hint="--careless")
        found[service] = tuple(kinds.split(","))
    return found


def _read_ports(text: str | None) -> Literal["free"] | int | None:
    if text is None or text == "free":
        return "free" if text else None
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise click.BadParameter(f"{text!r} is neither a port nor `free`", param_hint="--ports")
    return int(text)


def _wait_for_end() -> None:
    """Return on Ctrl-C or SIGTERM, whichever thread the kernel gives the signal to."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


def draft_of_run(run: str) -> Draft:
    """The topology of a run's graph, with the own times of its analysis where there is one."""
    folder = find_run(find_workspace(Path.cwd()) or Path.cwd(), run)
    analysis = folder.path / "analysis.json"
    found = read_json(analysis, Analysis) if analysis.exists() else None
    return draft_topology(read_json(folder.graph, ServiceGraph), found, name=f"of-{folder.run_id}")


def _topology(path: Path | None, run: str | None) -> tuple[Topology, tuple[str, ...]]:
    if path is not None and run is not None:
        raise click.UsageError("give a TOPOLOGY or --from RUN, not both")
    if run is not None:
        draft = draft_of_run(run)
        return draft.topology, draft.notes
    return (load_topology(path) if path is not None else shop_topology()), ()


@click.command("sim")
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option("--from", "run", metavar="RUN", help="Simulate the system that the traces of a run show.")
@click.option(
    "--topology", "out", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the topology to a YAML file, to edit it, and run nothing.",
)  # fmt: skip
@click.option("--keys", help="Public keys for the guards: JWKS file, URL or JSON. Without: no service takes bullets.")
@click.option("--otlp", default="http://127.0.0.1:4318/v1/traces", show_default=True, help="Where spans go.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for databases (default: new).")
@click.option("--seed", type=int, default=1, show_default=True, help="For latencies and errors.")
@click.option("--careless", multiple=True, metavar="SERVICE=KIND", help="Make a service careless (docs/sim.md).")
@click.option("--ports", metavar="PORT|free", help="First of a row of ports, or free ones (default: the topology's).")
@click.option("--processes", is_flag=True, help="One process a service, instead of one for all.")
def command(
    topology: Path | None,
    run: str | None,
    out: Path | None,
    keys: str | None,
    otlp: str,
    data: Path | None,
    seed: int,
    careless: tuple[str, ...],
    ports: str | None,
    *,
    processes: bool,
) -> None:
    """Run a simulated system until Ctrl-C: the shop, that of the file TOPOLOGY (ours or Spigo's), or that of a run."""
    system, notes = _topology(topology, run)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if out is not None:
        write_whole(out, topology_yaml(system, notes).encode())
        click.echo(f"wrote {out}: {len(system.services)} services, entry {system.entry}")
        return
    with tempfile.TemporaryDirectory(prefix="tracer-bullet-sim-") as scratch:
        simulation = Simulation(
            system,
            otlp_endpoint=otlp,
            keys=keys,
            data_dir=data or Path(scratch),
            seed=seed,
            careless=read_careless(careless),
            ports=_read_ports(ports),
            mode="processes" if processes else "thread",
        )
        with simulation:
            for name, address in simulation.addresses.items():
                click.echo(f"{name:<16} {address}")
            click.echo(f"ready: {simulation.url}  (Ctrl-C ends it)")
            _wait_for_end()
