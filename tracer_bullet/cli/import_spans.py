"""`tracer-bullet import` (a module cannot be called `import`)."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tracer_bullet.cli.render import rewrite_line, say
from tracer_bullet.model import PhaseStarted, Progress, RunStarted
from tracer_bullet.model.codec import encode
from tracer_bullet.model.imported import ImportedFile, ImportReport
from tracer_bullet.runs.context import read_context
from tracer_bullet.runs.importing import ImportEnded, ImportEvent, import_spans
from tracer_bullet.runs.inputs import gather
from tracer_bullet.runs.outputs import write_outputs
from tracer_bullet.workspace.runs import RunFolder
from tracer_bullet.workspace.settings import find_workspace


@click.command("import")
@click.argument("inputs", metavar="FILE|URL…", nargs=-1, required=True)
@click.option("--format", "forced", metavar="FORMAT", help="Take every file for this format (docs/import.md).")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send along with requests to a URL.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(inputs: tuple[str, ...], headers: tuple[str, ...], *, forced: str | None, as_json: bool) -> None:
    """Import spans into a new run, and analyse them: of files, folders, patterns, URLs, or `-` for standard input.

    The format is recognised from the content, plain or compressed. What was lost or repaired is told for each file.
    """
    workspace = find_workspace(Path.cwd()) or Path.cwd()
    context = read_context(workspace, os.environ)
    found = gather(inputs, read_headers(headers))
    ended = _follow(import_spans(workspace, found, forced=forced, context=context), quiet=as_json)
    write_outputs(RunFolder(path=ended.folder), context.catalog)
    say(_as_json(ended) if as_json else _as_text(ended))


def read_headers(pairs: tuple[str, ...]) -> dict[str, str]:
    """`Name: value` pairs of `--header`."""
    found = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{pair!r} is not NAME:VALUE", param_hint="--header")
        found[name.strip()] = value.strip()
    return found


def _follow(events: Iterator[ImportEvent], *, quiet: bool) -> ImportEnded:
    """Run the import, with one line of progress on a terminal; SIGTERM ends it as Ctrl-C does."""
    shows = sys.stderr.isatty() and not quiet
    folder: Path | None = None
    name = ""
    try:
        with _terminated_as_interrupted():
            for event in events:
                if isinstance(event, RunStarted):
                    folder = event.folder
                elif isinstance(event, PhaseStarted):
                    name = event.detail
                elif isinstance(event, ImportEnded):
                    _progress(shows, "")
                    return event
                if isinstance(event, Progress) and event.phase == "import":
                    part = f"{100 * event.done // event.total} %" if event.total else f"{event.done >> 20} MiB"
                    _progress(shows, f"{part}  {name}")
                elif isinstance(event, PhaseStarted):
                    _progress(shows, f"{event.phase} {event.detail}")
    except BaseException:
        _progress(shows, "")
        if folder is not None:
            click.echo(f"what was read until then is in {_here(folder)}", err=True)
        raise
    raise AssertionError("an import ends with ImportEnded, or raises")


def _progress(shows: bool, text: str) -> None:
    if shows:
        rewrite_line(text)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _as_json(ended: ImportEnded) -> str:
    report = {"run_id": ended.folder.name, "folder": str(ended.folder), **encode(ended.report)}
    return json.dumps(report, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n"


def _as_text(ended: ImportEnded) -> str:
    rows = [row for file in ended.report.files for row in _rows(file)]
    rows.append(_total(ended.report, ended.folder))
    rows.append(f"page {_here(RunFolder(path=ended.folder).report)}")
    return "\n".join(rows) + "\n"


def _rows(file: ImportedFile) -> Iterator[str]:
    if file.problem:
        yield f"{file.name}: {file.problem}"
    if not file.format:
        return
    yield f"{file.name}: {file.format}, {_count(file.spans, 'span')} of {_count(file.traces, 'trace')}"
    for title, counts in (("lost", file.lost), ("repaired", file.repaired)):
        for reason, count in counts.items():
            example = next(iter(file.examples.get(reason, ())), "")
            yield f"  {title:<8} {count:>9,}  {reason}" + (f", as {_plain(example)}" if example else "")


def _plain(text: str) -> str:
    """An example of foreign data: on one line, without what would steer a terminal."""
    return "".join(ch if ch.isprintable() else " " for ch in text)


def _total(report: ImportReport, folder: Path) -> str:
    return f"run {folder.name}: {_count(report.spans, 'span')} of {_count(report.traces, 'trace')} in {_here(folder)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _here(folder: Path) -> str:
    try:
        return str(folder.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
