"""`tracer-bullet capture info`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracer_bullet.capture.archive import ArchiveInfo, open_archive
from tracer_bullet.cli.capture.text import counted, moment
from tracer_bullet.cli.render import say


@click.command("info")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read every frame, and find damage in its midst.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(archive: Path, *, verify: bool, as_json: bool) -> int:
    """Show what an ARCHIVE (a file, or a folder of them) holds. Exit code 1 when a part of it is lost."""
    opened = open_archive(archive)
    if verify:
        opened.verify()
    info = opened.info
    say(json.dumps(_values(info), indent=2) + "\n" if as_json else _text(archive, info))
    return 1 if info.problems else 0


def _text(archive: Path, info: ArchiveInfo) -> str:
    sessions = f" in {info.sessions} sessions" if info.sessions is not None else ""
    lines = [
        f"{archive}: {info.count} exchanges{sessions}",
        f"from {moment(info.first_ns)} to {moment(info.last_ns)}",
        f"hosts: {counted(info.hosts) or '-'}",
        f"{info.bytes:,} bytes on disk, {info.raw_bytes:,} unpacked, {info.frames} frames",
        f"written by {', '.join(info.created_by) or '-'}",
    ]
    if not info.indexed:
        lines.append("not closed properly: its writer was killed, or is still at work")
    lines += [f"problem: {problem}" for problem in info.problems]
    return "\n".join(lines) + "\n"


def _values(info: ArchiveInfo) -> dict[str, object]:
    return {
        "exchanges": info.count,
        "sessions": info.sessions,
        "first": moment(info.first_ns),
        "last": moment(info.last_ns),
        "hosts": dict(info.hosts),
        "bytes": info.bytes,
        "raw_bytes": info.raw_bytes,
        "frames": info.frames,
        "created_by": list(info.created_by),
        "indexed": info.indexed,
        "problems": [str(problem) for problem in info.problems],
    }
