"""`tracer-bullet capture import`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.importing import ImportOptions, ImportSummary, import_files
from tracer_bullet.cli.capture.text import counted, losses_lines, moment
from tracer_bullet.cli.render import rewrite_line, say
from tracer_bullet.runs.capture import capture_rules


@click.command("import")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new archive.")
@click.option("--format", "format_", default="", help="Of all SOURCES; looked for in their content by default.")
@click.option("--host", "authority", default="", help="host[:port] where a source does not say it.")
@click.option("--scheme", default="http", type=click.Choice(["http", "https"]), help="Where a source does not say it.")
@click.option("--log-format", default="", help="Of access logs, as it stands in the server's configuration.")
@click.option(
    "--log-time",
    default="",
    type=click.Choice(["", "start", "end"]),
    metavar="[start|end]",
    help="What a log's time is.",
)
def command(
    sources: tuple[Path, ...], out: Path, format_: str, authority: str, scheme: str, log_format: str, log_time: str
) -> int:
    """Read recordings of any known format (docs/capture-formats.md) into an archive; `-` is standard input."""
    rules = capture_rules(Path.cwd(), os.environ)
    shows = sys.stderr.isatty()
    options = ImportOptions(
        pseudonym=rules.pseudonym,
        rules=rules.redactor.fingerprint,
        format=format_,
        read=ReadOptions(scheme=scheme, authority=authority, log_format=log_format, log_time=log_time),  # type: ignore[arg-type]
        sessions=rules.sessions,
        selection=rules.selection,
        tell=(lambda count: rewrite_line(f"read {count} exchanges")) if shows else None,
    )
    opened = [sys.stdin.buffer if str(source) == "-" else source for source in sources]
    summary = import_files(opened, out, rules.redactor, options)
    if shows:
        rewrite_line("")
    say(_text(summary))
    return 1 if any(item.problem for item in summary.inputs) or not summary.written else 0


def _text(summary: ImportSummary) -> str:
    lines = []
    for item in summary.inputs:
        lines.append(f"{item.name}: {item.format or 'not read'}, {item.read} exchanges")
        lines += [f"  {line}" for line in item.problem.splitlines()]
    lines += losses_lines(summary.losses)
    left_out = f"; left out: {counted(summary.left_out)}" if summary.left_out else ""
    if summary.written:
        sessions = f" in {summary.sessions} sessions" if summary.sessions is not None else ""
        lines.append(f"wrote {summary.written} exchanges{sessions} to {summary.path}{left_out}")
        lines.append(f"from {moment(summary.first_ns)} to {moment(summary.last_ns)}")
        if summary.lacks:
            lines.append(f"not told by the source: {counted(summary.lacks)}")
        if summary.never:
            lines.append(f"never sent again: {counted(summary.never)}")
        if any(item.problem for item in summary.inputs):
            lines.append(f"{summary.path} holds the rest; remove it before you import all of them again")
    else:
        lines.append(f"nothing was written{left_out}")
    if summary.disordered:
        cure = "; put in order" if summary.is_sorted else ""
        lines.append(f"{summary.disordered} exchanges came out of order, up to {summary.disorder_ns / 1e9:.1f} s{cure}")
    if summary.unsorted_because:
        lines.append(f"the archive could not be put in order: {summary.unsorted_because}")
    return "\n".join(lines) + "\n"
