"""`tracer-bullet capture addon`."""

from __future__ import annotations

import click

from tracer_bullet.capture.mitm.place import addon_file
from tracer_bullet.cli.render import say


@click.command("addon")
def command() -> None:
    """Print the path of the addon that records in mitmproxy, whose own Python need not have tracer-bullet.

    \b
    mitmdump --mode reverse:http://127.0.0.1:9000 -s "$(tracer-bullet capture addon)" --set tb_archive=morning.tba
    """
    say(f"{addon_file()}\n")
