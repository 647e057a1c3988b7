"""The objectives of a workspace: `slos:` of tracer-bullet.yaml and the files `slos/*.yaml`. Reads files, nothing else.

A file holds our own form (`workspace/objectives.py`) or OpenSLO v1 documents (`workspace/openslo.py`). Mistakes of all
files are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.model import Objective
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.objectives import ObjectivesDocument, twice
from tracer_bullet.workspace.openslo import read_openslo
from tracer_bullet.workspace.settings import SETTINGS_FILE, load_settings
from tracer_bullet.workspace.tree import MAX_BYTES

SLOS_FOLDER: Final = "slos"
_OPENSLO: Final = re.compile(rb"^[-\s]*[\"']?apiVersion[\"']?\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What a workspace asks for; `notes` tells what OpenSLO documents ask for that traces cannot judge."""

    objectives: tuple[Objective, ...] = ()
    notes: tuple[Problem, ...] = ()


def load_objectives(workspace: Path, environ: Mapping[str, str]) -> Objectives:
    """All objectives of the workspace folder, in the order of files and lines; none is no mistake.

    `${NAME}` is replaced from `environ` in tracer-bullet.yaml and in our own form. Raises WorkspaceError
    (TB101) with every mistake of every file; two objectives of one name are one.
    """
    parts: list[Objectives] = []
    problems: list[Problem] = []
    for path in _files(workspace):
        try:
            parts.append(_settings(workspace, environ) if path.name == SETTINGS_FILE else _file(path, environ))
        except WorkspaceError as error:
            problems.extend(error.problems)
    objectives = tuple(o for part in parts for o in part.objectives)
    problems.extend(_twice(first, later) for first, later in twice(objectives))
    if problems:
        raise WorkspaceError(tuple(problems))
    return Objectives(objectives=objectives, notes=tuple(n for part in parts for n in part.notes))


def _files(workspace: Path) -> list[Path]:
    settings = workspace / SETTINGS_FILE
    folder = workspace / SLOS_FOLDER
    found = [p for p in folder.iterdir() if p.suffix in (".yaml", ".yml")] if folder.is_dir() else []
    return ([settings] if settings.is_file() else []) + sorted(found)


def _settings(workspace: Path, environ: Mapping[str, str]) -> Objectives:
    settings = load_settings(workspace, environ)
    specs = settings.value.slos
    return Objectives(objectives=tuple(s.at(settings.where(f"slos.{i}")) for i, s in enumerate(specs)))


def _file(path: Path, environ: Mapping[str, str]) -> Objectives:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}"
        raise WorkspaceError((Problem(file=str(path), line=1, path="", message=message),)) from None
    if _OPENSLO.search(data):
        found = read_openslo(data, str(path))
        return Objectives(objectives=found.objectives, notes=found.notes)
    document = parse_located(data, ObjectivesDocument, file=str(path), environ=environ)
    specs = document.value.slos
    return Objectives(objectives=tuple(s.at(document.where(f"slos.{i}")) for i, s in enumerate(specs)))


def _twice(first: Objective, later: Objective) -> Problem:
    file, _, line = later.where.rpartition(":")
    return Problem(
        file=file,
        line=int(line),
        path="",
        message=f"the objective {later.name!r} is given twice, first in {first.where}",
        cure="remove one of them, or give it a `name:` of its own",
    )
