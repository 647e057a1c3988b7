"""Jobs for tests: scenarios as text, and what else a sender is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tracer_bullet.model.load import SenderJob

Row = Mapping[str, str | int | float | bool]


def scenario(load: Mapping[str, Any] | None, *, steps: int = 2, name: str = "checkout") -> str:
    """A scenario as JSON, whose steps use the variable `sku`."""
    made: dict[str, Any] = {
        "version": 1,
        "name": name,
        "target": "shop",
        "variables": {"sku": "anvil"},
        "steps": [{"name": f"step {i}", "request": {"path": f"/{name}/{i}/${{sku}}"}} for i in range(steps)],
    }
    if load is not None:
        made["load"] = load
    return json.dumps(made)


def job(
    load: Mapping[str, Any],
    *,
    steps: int = 2,
    others: tuple[tuple[str, float], ...] = (),
    rows: tuple[tuple[Row, ...], ...] = (),
    shards: int = 1,
    start_ns: int = 0,
    weight: float = 1.0,
    curves: Mapping[str, tuple[tuple[float, float], ...]] | None = None,
) -> SenderJob:
    """A job of one scenario, and `others` with their weights."""
    count = 1 + len(others)
    return SenderJob(
        run_id="r-1",
        start_ns=start_ns,
        base_url="http://127.0.0.1:8080/shop",
        scenarios=(scenario(load, steps=steps), *(text for text, _ in others)),
        variables=({"sku": "anvil"},) * count,
        rows=rows + ((),) * (count - len(rows)),
        weights=(weight, *(w for _, w in others)),
        engine={"ahead_s": 1.0},
        curves=curves or {},
        shards=shards,
    )
