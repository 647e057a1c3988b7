"""A scenario with feeds, in a file, as `load` finds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracer_bullet.load.data import make_rows
from tracer_bullet.scenario import Scenario, load_scenario
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.template import Scalar


def located(folder: Path, variables: Mapping[str, Scalar], *data: Mapping[str, Any]) -> Located[Scenario]:
    """`scenarios/s.yaml` below the folder. The first feed is in line 8."""
    feeds = "".join(f"\n  - {json.dumps(dict(d))}" for d in data)
    text = f"""version: 1
name: shop
target: t
variables: {json.dumps(dict(variables))}
load:
  rate: 1/s
  duration: 1s
  data:{feeds or " []"}
steps:
- {{name: a, request: {{path: /}}}}
"""
    path = folder / "scenarios" / "s.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_scenario(path)


def rows(
    folder: Path, variables: Mapping[str, Scalar], *data: Mapping[str, Any], seed: int = 1
) -> Sequence[Mapping[str, Scalar]]:
    scenario = located(folder, variables, *data)
    assert scenario.value.load is not None
    return make_rows(scenario.value.load.data, scenario, seed=seed)


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """A file beside the scenario."""
    path = folder / "scenarios" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
