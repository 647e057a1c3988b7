"""The workspace's catalog against the graph of a run: what differs, and files that would agree."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tracer_bullet.errors import Problem, UsageError, WorkspaceError
from tracer_bullet.graph.declared import compare_declared
from tracer_bullet.graph.undeclared import find_undeclared
from tracer_bullet.model import CatalogFinding, ServiceGraph
from tracer_bullet.workspace.catalog import FOLDER, catalog_files, load_catalog
from tracer_bullet.workspace.catalog_edit import add_dependencies, entity_text
from tracer_bullet.workspace.runs import RunFolder, read_json, write_whole

NEW_FILE: Final = "observed.yaml"
_HEADER: Final = "# Made by `tracer-bullet catalog sync`. Say who owns what, and move it to where it belongs.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file of the catalog as it is ("" when there is none) and as it should be; `path` is below the workspace."""

    path: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (text.splitlines(keepends=True) for text in (self.before, self.after))
        rows = difflib.unified_diff(old, new, self.path if self.before else "/dev/null", self.path)
        return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def check_catalog(workspace: Path, folder: RunFolder, today: date) -> tuple[CatalogFinding, ...]:
    """The findings of docs/catalog.md for a run. Raises UsageError TB521 when there is no catalog, WorkspaceError
    TB520 when it has mistakes, TB104 when the run has no graph."""
    if not catalog_files(workspace):
        raise UsageError(
            "TB521",
            "there is no catalog",
            where=str(workspace / FOLDER),
            cure="`tracer-bullet catalog sync --write` makes one of what was observed",
        )
    return compare_declared(load_catalog(workspace), read_json(folder.graph, ServiceGraph), today)


def plan_sync(workspace: Path, folder: RunFolder) -> tuple[FileChange, ...]:
    """What has to change so that the catalog declares all that the run shows; nothing is taken away.

    Raises WorkspaceError TB520 and TB104, and UsageError TB522 when a list cannot be added to.
    """
    catalog = load_catalog(workspace)
    missing = find_undeclared(catalog, read_json(folder.graph, ServiceGraph))
    files = {f"{FOLDER}/{p.name}": p.read_bytes().decode("utf-8") for p in catalog_files(workspace)}
    changed = dict(files)
    where = {e.ref: e.where.rpartition(":")[0] for e in catalog.entities}
    for ref, refs in missing.added.items():
        changed[where[ref]] = add_dependencies(changed[where[ref]], ref, refs, file=where[ref])
    if missing.new:
        path = f"{FOLDER}/{NEW_FILE}"
        text = changed.get(path, _HEADER)
        text += "" if text.endswith("\n") else "\n"
        made = (entity_text(e.kind, e.name, e.service, e.type, e.depends_on) for e in missing.new)
        changed[path] = text + "".join(made)
    return tuple(
        FileChange(path=path, before=files.get(path, ""), after=text)
        for path, text in sorted(changed.items())
        if text != files.get(path)
    )


def write_sync(workspace: Path, changes: tuple[FileChange, ...]) -> None:
    """Write the files, each whole. Raises WorkspaceError TB104."""
    try:
        (workspace / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        message = f"the folder cannot be made: {error.strerror or error}"
        problem = Problem(file=str(workspace / FOLDER), line=1, path="", message=message)
        raise WorkspaceError((problem,), code="TB104") from None
    for change in changes:
        write_whole(workspace / change.path, change.after.encode("utf-8"))
