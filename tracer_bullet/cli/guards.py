"""`tracer-bullet guards`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from tracer_bullet.cli.render import say
from tracer_bullet.errors import ExitCode
from tracer_bullet.guards.environment import sourced_config
from tracer_bullet.guards.overview import Overview, describe
from tracer_bullet.model.codec import encode
from tracer_bullet.workspace.settings import SETTINGS_FILE, find_workspace, load_settings


@click.group("guards")
def command() -> None:
    """See how services are guarded."""


@command.command("show")
@click.option("--service", default="", help="Which service's guards; default: what the environment names.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def show(service: str, *, as_json: bool) -> int:
    """Show the configuration that a service would have here, with its sources, and what is guarded.

    Reads the environment and, before it, the `guards:` section of tracer-bullet.yaml. Run it
    where the service is installed: the libraries listed are those of this Python.
    """
    workspace = find_workspace(Path.cwd())
    service = service or os.environ.get("TRACER_BULLET_SERVICE") or os.environ.get("OTEL_SERVICE_NAME", "")
    if not service:
        raise click.UsageError("which service? give --service, or set OTEL_SERVICE_NAME")
    if workspace is not None:
        load_settings(workspace, os.environ)  # tells mistakes with their lines
    file = workspace / SETTINGS_FILE if workspace is not None else None
    found = describe(sourced_config(os.environ, file=file, service=service))
    say((json.dumps(encode(found), indent=2) if as_json else _text(found)) + "\n")
    return int(ExitCode.PASSED)


def _text(found: Overview) -> str:
    rows = [f"service {found.service}", "", f"  {'setting':<14} {'value':<40} source"]
    rows += [f"  {s.name:<14} {_short(s.value):<40} {s.source}" for s in found.settings]
    rows += ["", f"  {'library':<18} {'version':<10} {'tested':<18} {'state':<18} policy"]
    for lib in found.libraries:
        rows.append(f"  {lib.name:<18} {lib.version or '-':<10} {lib.tested or '-':<18} {lib.state:<18} {lib.policy}")
    if any(lib.state == "unguarded" for lib in found.libraries):
        rows += [
            "",
            "  unguarded libraries write for real; the net below sees what it can (docs/guards/net.md)",
        ]
    if found.blind_spots:
        rows += ["", "  what the net cannot see here:", *(f"    {text}" for text in found.blind_spots)]
    return "\n".join(rows)


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:39]}…"
