"""The earlier run that a load run is compared with, and what a run keeps for later ones."""

from __future__ import annotations

import json
from pathlib import Path

from tracer_bullet.errors import Problem, UsageError, WorkspaceError
from tracer_bullet.load.baseline import SavedRun
from tracer_bullet.model import Outcome, RunManifest, Verdict
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.workspace.runs import RunFolder, find_run, read_json, runs_root, write_whole

_LATEST = "latest"


def read_earlier(job: LoadJob) -> SavedRun | None:
    """What `baseline.run` means; None when no baseline is asked for, or `latest` and there is none yet.

    Raises UsageError TB103 for a run that is not there, TB1094 for one that was no load run, WorkspaceError TB104.
    """
    if job.spec.baseline is None:
        return None
    wanted = job.spec.baseline.run
    if wanted == _LATEST:
        folder = _latest_passed(job)
        return None if folder is None else _read(folder)
    folder = find_run(job.workspace, wanted)
    if not folder.histograms.exists():
        raise UsageError(
            "TB1094",
            f"{folder.run_id} cannot be compared with",
            where=job.main.where("load.baseline.run"),
            why="it has no histograms.json: it was no load run, or did not come to its end",
            cure="name a load run that ended",
        )
    return _read(folder)


def write_for_later(folder: RunFolder, saved: SavedRun) -> None:
    """Write `histograms.json`. Raises WorkspaceError TB104."""
    write_whole(folder.histograms, (json.dumps(saved.to_json()) + "\n").encode())


def _latest_passed(job: LoadJob) -> RunFolder | None:
    """The last run of this scenario, at this target, that passed."""
    root = runs_root(job.workspace)
    if not root.is_dir():
        return None
    for path in sorted(root.iterdir(), reverse=True):
        folder = RunFolder(path=path)
        if not folder.histograms.exists() or not folder.verdict.exists():
            continue
        manifest = read_json(folder.manifest, RunManifest)
        same = (manifest.kind, manifest.scenario, manifest.target) == ("load", job.name, job.target.name)
        if same and read_json(folder.verdict, Verdict).outcome is Outcome.PASSED:
            return folder
    return None


def _read(folder: RunFolder) -> SavedRun:
    return read_saved(folder.histograms)


def read_saved(path: Path) -> SavedRun:
    """A `histograms.json`. Raises WorkspaceError TB104 when it is none."""
    try:
        return SavedRun.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        problem = Problem(file=str(path), line=1, path="", message=str(error), cure="run again")
        raise WorkspaceError((problem,), code="TB104") from None
