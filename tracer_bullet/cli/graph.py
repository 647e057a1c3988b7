"""`tracer-bullet graph`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracer_bullet.model import ServiceGraph
from tracer_bullet.model.codec import encode
from tracer_bullet.report import render_dot, render_mermaid
from tracer_bullet.runs import load_document
from tracer_bullet.workspace.runs import find_run, read_json
from tracer_bullet.workspace.settings import find_workspace


@click.command("graph")
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(["mermaid", "dot", "json"]), default="mermaid", show_default=True)
def command(run: str, form: str) -> None:
    """Print the dependency graph of RUN (an id, the start of one, a folder, or `latest`)."""
    folder = find_run(find_workspace(Path.cwd()) or Path.cwd(), run)
    if form == "json":
        click.echo(json.dumps(encode(read_json(folder.graph, ServiceGraph)), indent=2))
        return
    document = load_document(folder)
    click.echo(render_mermaid(document) if form == "mermaid" else render_dot(document), nl=False)
