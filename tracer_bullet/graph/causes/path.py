"""The way from a trace's root down to a span, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import causes

_MOST_STEPS: Final = 40
_FROM_ROOT: Final = 10
CUT: Final = "…"


def read_paths(engine: Engine, ends: Sequence[tuple[int, int, int]]) -> list[tuple[str, ...]]:
    """For each end (trace_hi, trace_lo, row_id), `service name` of the spans from its root, equal neighbours once.

    Long ones are cut in the middle to 40 steps. Row 0 is nobody's: rows count from 1.
    """
    if not ends:
        return []
    engine.fill("wanted_path", (("trace_hi", "BIGINT"), ("trace_lo", "BIGINT")), sorted({end[:2] for end in ends}))
    table = engine.table(causes.PARENTS)
    rows, parents = (table[name].to_numpy() for name in ("row_id", "parent"))
    engine.drop("wanted_path")
    above = np.searchsorted(rows, parents)
    above[parents == 0] = len(rows)
    walks = [_walk(rows, above, end) for _, _, end in ends]
    engine.fill("wanted_step", (("row_id", "INTEGER"),), sorted({(row,) for walk in walks for row in walk if row}))
    names = {row: f"{service} {name}" for row, service, name in engine.rows(causes.STEP_NAMES)}
    engine.drop("wanted_step")
    return [_shown([names.get(row, CUT) for row in walk]) for walk in walks]


def _walk(rows: np.ndarray[Any, Any], above: np.ndarray[Any, Any], end: int) -> list[int]:
    """Row numbers from the root to `end`; 0 stands where steps were left out."""
    walk: list[int] = []
    place = int(np.searchsorted(rows, end))
    while place < len(rows) and len(walk) <= len(rows):
        walk.append(int(rows[place]))
        place = int(above[place])
    walk.reverse()
    if len(walk) > _MOST_STEPS:
        walk = [*walk[:_FROM_ROOT], 0, *walk[_FROM_ROOT + 1 - _MOST_STEPS :]]
    return walk


def _shown(steps: Sequence[str]) -> tuple[str, ...]:
    return tuple(step for i, step in enumerate(steps) if i == 0 or step != steps[i - 1])
