"""`tracer-bullet capture`: recorded traffic, in and out."""

from __future__ import annotations

import click

from tracer_bullet.cli.lazy import LazyGroup

COMMANDS = {
    "proxy": "Record what passes through a reverse proxy (Envoy).",
    "import": "Turn recordings of other tools into an archive.",
    "info": "Show what an archive holds.",
    "audit": "Search an archive for secrets; exit code 1 when there are any.",
    "export": "Write an archive in another tool's format.",
    "config": "Print configuration for an Envoy or nginx that runs already.",
    "addon": "Print the path of the addon for mitmproxy.",
}


@click.group("capture", cls=LazyGroup, commands_in=COMMANDS, package=__name__, modules={"import": "import_traffic"})
def command() -> None:
    """Record real traffic, safe to keep, for `tracer-bullet replay`."""
