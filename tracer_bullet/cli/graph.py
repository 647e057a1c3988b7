"""`tracer-bullet graph`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracer_bullet.graph.profiles import PROFILES, UNION
from tracer_bullet.model import Analysis, Catalog, RunManifest, ServiceGraph
from tracer_bullet.model.codec import encode
from tracer_bullet.report.diagrams import FORMATS, Frame, Level, draw
from tracer_bullet.runs.analyse import read_profile
from tracer_bullet.workspace.catalog import load_catalog
from tracer_bullet.workspace.runs import RunFolder, find_run, read_json, write_whole
from tracer_bullet.workspace.settings import find_workspace


@click.command("graph")
@click.argument("run", default="latest")
@click.option(
    "--format", "form", type=click.Choice([*FORMATS, "json"]), default="mermaid", show_default=True,
    help="What to write; docs/diagrams.md says what each is for.",
)  # fmt: skip
@click.option("--level", type=click.Choice([one.value for one in Level]), default="services", show_default=True)
@click.option(
    "--counts", type=click.Choice(["on", "off"]), default="on", show_default=True,
    help="Without numbers, only a change of the architecture changes the diagram.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(PROFILES), default=UNION, show_default=True,
    help="Which edges: ours, or those that Jaeger, Tempo or Zipkin would show.",
)  # fmt: skip
@click.option("--full", is_flag=True, help="Fold nothing and leave nothing out, however large.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
def command(run: str, form: str, level: str, counts: str, profile: str, out: Path | None, *, full: bool) -> None:
    """Draw the dependency graph of RUN (an id, the start of one, a folder, or `latest`)."""
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    folder = find_run(workspace, run)
    graph = read_json(folder.graph, ServiceGraph) if profile == UNION else read_profile(folder, profile)
    if form == "json":
        text = json.dumps(encode(graph), indent=2) + "\n"
    else:
        frame = read_frame(folder, load_catalog(workspace), counts=counts == "on")
        text = draw(graph, form, Level(level), frame, full=full)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text.encode("utf-8", "replace"))
        click.echo(f"wrote {out}", err=True)


def read_frame(folder: RunFolder, catalog: Catalog, *, counts: bool) -> Frame:
    """How the diagrams of a run are titled, and how long its traffic took: of the analysis, else of the firing."""
    manifest = read_json(folder.manifest, RunManifest)
    analysis = folder.path / "analysis.json"
    start_ns, end_ns = manifest.started_ns, manifest.ended_ns or manifest.started_ns
    if analysis.exists():
        found = read_json(analysis, Analysis)
        start_ns, end_ns = found.start_ns, found.end_ns
    return Frame(
        name=next((n for n in (manifest.target, manifest.scenario) if n and "://" not in n), "system"),
        counts=counts,
        catalog=catalog,
        seconds=max(end_ns - start_ns, 0) / 1e9,
        at_ms=max(end_ns, 0) // 1_000_000,
    )
