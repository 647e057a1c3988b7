"""A planner remembers what is under way, and nothing else, however long it runs."""

from __future__ import annotations

import gc
import types
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.load.jobs import job
from tests.unit.load.simulated import Run

_SKIPPED = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, types.GeneratorType)


def held(root: object) -> int:
    """How many objects hang on `root`, classes and modules apart."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SKIPPED):
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
    return len(seen)


@pytest.mark.parametrize(
    "load",
    [
        {"rate": "2000/s", "duration": "50s", "arrivals": "poisson", "checks": 0.5},
        {"users": 40, "duration": "1h", "between": "1ms..9ms", "stop": {"iterations": 100_000}},
    ],
    ids=["open", "closed"],
)
def test_nothing_is_kept_of_a_hundred_thousand_iterations(load: Mapping[str, Any]) -> None:
    rows = (tuple({"sku": f"a{i}"} for i in range(20)),)
    run = Run(job({**load, "data": [{"file": "a.csv"}]}, steps=1, rows=rows), keep=False, told_after_ns=20_000_000)
    sizes: list[int] = []
    for _ in run:
        run.tell()
        if run.planner.iterations > 8000 * (len(sizes) + 1):
            sizes.append(held(run.planner) - 8 * run.planner.under_way)
    run.finish()
    assert run.planner.iterations == pytest.approx(100_000, rel=0.01)
    assert run.planner.under_way == 0
    assert len(sizes) > 10
    assert max(sizes[-4:]) < max(sizes[:4]) + 200
