"""A run's spans against the workspace's objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tracer_bullet.errors import UsageError
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew
from tracer_bullet.graph.slo import check_derivation, derive_objectives, judge_objectives
from tracer_bullet.model import Indicator, SloReport, System
from tracer_bullet.workspace.runs import RunFolder, read_json, write_json
from tracer_bullet.workspace.slos import SLOS_FOLDER, Objectives, load_objectives


def read_objectives(workspace: Path, environ: Mapping[str, str]) -> Objectives:
    """The objectives of a workspace. Raises WorkspaceError for mistakes and UsageError TB530 when there is none."""
    found = load_objectives(workspace, environ)
    if not found.objectives and not found.notes:
        raise UsageError(
            "TB530",
            "the workspace has no objectives",
            where=str(workspace),
            cure=f"write `slos:` into tracer-bullet.yaml or files into {SLOS_FOLDER}/ (docs/slos.md)",
        )
    return found


def judge_slos(folder: RunFolder, asked: Objectives, *, derive: bool, seed: int = 0) -> SloReport:
    """Judge the spans of a run and write `slos.json`; with `derive`, also what the latency objectives imply inside.

    A run that keeps no spans (`analyse` of files or of a server) has the verdicts that `analyse` wrote. Raises
    UsageError TB501 when there is neither.
    """
    if not derive and not any(folder.spans.glob("*.parquet")) and folder.slos.is_file():
        return read_json(folder.slos, SloReport)
    with DuckEngine(folder.spans) as engine:
        prepare(engine, System())
        report = SloReport(
            verdicts=judge_objectives(engine, asked.objectives),
            notes=tuple(f"{n.file}:{n.line}: {n.message}" for n in asked.notes),
        )
        if derive:
            measure_skew(engine)
            outer = [o for o in asked.objectives if o.indicator is Indicator.LATENCY]
            found = [derive_objectives(engine, objective, seed=seed) for objective in outer]
            report = replace(
                report,
                derived=tuple(d for derivation in found for d in derivation.objectives),
                checks=tuple(c for derivation in found for c in check_derivation(derivation, seed=seed)),
            )
    write_json(folder.slos, report)
    return report
