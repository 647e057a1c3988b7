"""Loading a scenario file with everything checked that can be, JSONPaths included."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tracer_bullet.scenario.paths import path_mistake
from tracer_bullet.workspace.load import Located, Mistake, load_located
from tracer_bullet.workspace.scenario import ScenarioSpec


class Scenario(ScenarioSpec):
    """A scenario whose JSONPaths are known to parse."""

    @classmethod
    def mistakes_in(cls, tree: Any) -> Iterable[Mistake]:
        """Those of ScenarioSpec, and JSONPaths that do not parse."""
        yield from super().mistakes_in(tree)
        steps = tree.get("steps") if isinstance(tree, dict) else None
        for index, step in enumerate(steps if isinstance(steps, list) else []):
            for path, text in _json_paths(step):
                if told := path_mistake(text):
                    yield Mistake(path=f"steps.{index}.{path}", message=told)


def load_scenario(path: Path) -> Located[Scenario]:
    """The scenario in a file. Raises WorkspaceError with every mistake found."""
    return load_located(path, Scenario)


def _json_paths(step: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(step, dict):
        return
    expect, take = step.get("expect"), step.get("take")
    wanted = expect.get("json") if isinstance(expect, dict) else None
    for text in wanted if isinstance(wanted, dict) else ():
        yield f"expect.json.{text}", text
    for name, text in take.items() if isinstance(take, dict) else ():
        if isinstance(text, str) and text.startswith("$"):
            yield f"take.{name}", text


def scenario_text(scenario: ScenarioSpec) -> str:
    """A scenario as JSON, for another process; what the file left out is left out."""
    return scenario.model_dump_json(by_alias=True, exclude_unset=True)


def read_scenario_text(text: str) -> Scenario:
    """What `scenario_text` wrote."""
    # Not model_validate_json: it takes no defaults that are no JSON, as paths.
    return Scenario.model_validate(json.loads(text))
