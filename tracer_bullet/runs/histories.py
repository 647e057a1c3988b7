"""A series of runs as one history."""

from __future__ import annotations

from collections.abc import Iterable

from tracer_bullet.model import Analysis, RunManifest, ServiceGraph
from tracer_bullet.report.history import History, Snapshot, build_history
from tracer_bullet.workspace.runs import RunFolder, read_json


def history_of(runs: Iterable[RunFolder]) -> History:
    """The graphs of these runs in the order in which they began. Raises WorkspaceError TB104."""
    return build_history(
        Snapshot(name=run.run_id, started_ns=_began(run), graph=read_json(run.graph, ServiceGraph)) for run in runs
    )


def _began(run: RunFolder) -> int:
    """When its first span began, as far as that is known: spans may be imported long after."""
    began = read_json(run.analysis, Analysis).start_ns if run.analysis.is_file() else 0
    return began or read_json(run.manifest, RunManifest).started_ns
