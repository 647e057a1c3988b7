"""Two sets of runs against each other."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.errors import UsageError
from tracer_bullet.graph.drift import DriftRules, Side, compare, side_of
from tracer_bullet.model import Analysis, Drift, ServiceGraph
from tracer_bullet.workspace.runs import RunFolder, read_json, write_json


def compare_runs(before: Sequence[RunFolder], after: Sequence[RunFolder], rules: DriftRules) -> Drift:
    """What changed from the runs `before` to the runs `after`; writes `drift.json` into each of the latter.

    Reads `graph.json` and `analysis.json` alone. Raises UsageError TB540 for a run that has not been analysed, TB541
    for one that is on both sides.
    """
    both = {run.path.resolve() for run in before} & {run.path.resolve() for run in after}
    if both:
        raise UsageError(
            "TB541",
            "a run is on both sides",
            where=str(min(both)),
            cure="compare it with another one: `tracer-bullet drift BEFORE AFTER`",
        )
    drift = compare(_side(before), _side(after), rules)
    for run in after:
        write_json(run.drift, drift)
    return drift


def _side(runs: Sequence[RunFolder]) -> Side:
    return side_of(", ".join(run.run_id for run in runs), [_read(run) for run in runs])


def _read(run: RunFolder) -> tuple[ServiceGraph, Analysis]:
    if not run.analysis.is_file():
        raise UsageError(
            "TB540",
            f"the run {run.run_id} has not been analysed",
            where=str(run.analysis),
            cure=f"call `tracer-bullet analyse {run.run_id}` first",
        )
    return read_json(run.graph, ServiceGraph), read_json(run.analysis, Analysis)
