"""Loading a scenario file with everything checked that can be, JSONPaths included."""

from __future__ import annotations

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
