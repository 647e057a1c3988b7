"""`tracer-bullet capture export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.formats.registry import WRITERS
from tracer_bullet.cli.capture.text import losses_lines
from tracer_bullet.errors import UsageError
from tracer_bullet.model.losses import Losses


@click.command("export")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--format", "format_", required=True, type=click.Choice(sorted(WRITERS)), help="Of which tool.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file, instead of stdout.")
def command(archive: Path, format_: str, out: Path | None) -> None:
    """Write the exchanges of an ARCHIVE in another tool's format."""
    exchanges, losses = open_archive(archive).exchanges(), Losses()
    if out is None:
        count = WRITERS[format_].write(exchanges, sys.stdout.buffer, losses)
    else:
        try:
            with out.open("xb") as stream:
                count = WRITERS[format_].write(exchanges, stream, losses)
        except FileExistsError:
            cure = "name another file, or remove this one"
            raise UsageError("TB991", "the file is there already", where=str(out), cure=cure) from None
        except OSError as error:
            raise UsageError("TB991", "the file cannot be written", where=str(out), why=error.strerror or "") from None
    for line in (f"wrote {count} exchanges", *losses_lines(losses)):
        click.echo(line, err=True)
