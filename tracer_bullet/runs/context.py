"""What a workspace says of the system that is fired at: read before a run, used at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracer_bullet.model import Catalog, Objective, System
from tracer_bullet.workspace.catalog import load_catalog
from tracer_bullet.workspace.settings import find_workspace, load_settings
from tracer_bullet.workspace.slos import load_objectives


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a workspace says of the system whose spans are analysed; all of it may be empty."""

    system: System = field(default_factory=System)
    catalog: Catalog = field(default_factory=Catalog)
    objectives: tuple[Objective, ...] = ()
    notes: tuple[str, ...] = ()


def read_context(start: Path, environ: Mapping[str, str], *, system: System | None = None) -> Context:
    """The context that the workspace around `start` gives; empty where there is none.

    Without a `system`, everything that any target declares to be outside is outside. Raises WorkspaceError.
    """
    workspace = find_workspace(start)
    if workspace is None:
        return Context(system=system or System())
    if system is None:
        targets = load_settings(workspace, environ).value.targets.values()
        system = System(third_parties=tuple(sorted({glob for t in targets for glob in t.third_parties})))
    asked = load_objectives(workspace, environ)
    return Context(
        system=system,
        catalog=load_catalog(workspace),
        objectives=asked.objectives,
        notes=tuple(f"{n.file}:{n.line}: {n.message}" for n in asked.notes),
    )
