"""What an import's arguments mean: files, folders, patterns, addresses, standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tracer_bullet.errors import UsageError
from tracer_bullet.runs.fetching import url_input
from tracer_bullet.runs.importing import Input


def gather(names: Iterable[str], headers: Mapping[str, str]) -> list[Input]:
    """The inputs that the arguments mean: each file once, those of a folder or pattern by name.

    `headers` go along with requests to http(s) addresses.

    Raises UsageError TB412 when there is no such file.
    """
    found: dict[str, Input] = {}
    for name in names:
        is_address = name.startswith(("http://", "https://"))
        for source in [url_input(name, headers)] if is_address else _of(name):
            found.setdefault(source.name, source)
    return list(found.values())


def _of(name: str) -> list[Input]:
    if name == "-":
        return [Input(name="standard input", open=_stdin)]
    path = Path(name)
    if path.is_dir():
        # Hidden files are drafts and droppings of other programs.
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
        if not files:
            raise UsageError("TB412", "no file in this folder", where=name, cure="give the files themselves")
        return [_file(p) for p in files]
    if path.exists():
        return [_file(path)]
    matches = sorted(Path(m) for m in glob.glob(name, recursive=True))  # noqa: PTH207  # patterns may be absolute
    if not matches:
        raise UsageError("TB412", "no such file", where=name, cure="see to the path; a pattern needs quotes or a match")
    return [_file(p) for p in matches if p.is_file()]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _file(path: Path) -> Input:
    return Input(name=str(path), open=partial(_open, path), size=path.stat().st_size if path.is_file() else 0)


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    return path.open("rb", buffering=0)


def _stdin() -> AbstractContextManager[BinaryIO]:
    # Unbuffered: what a pipe has is read at once, not when a megabyte has come together.
    return nullcontext(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
