"""Whether every `${name}` of a scenario is known where it is used. Pure, on the plain tree.

Read from the tree and not from the model, so that these mistakes are told beside those of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracer_bullet.workspace.fields import BUILT_IN_VARIABLES
from tracer_bullet.workspace.mistakes import Mistake, suggest
from tracer_bullet.workspace.template import references


def variable_mistakes(tree: Any) -> Iterator[Mistake]:
    """A mistake for each reference to a variable that is neither defined nor taken by an earlier step."""
    if not isinstance(tree, dict):
        return
    known = [*BUILT_IN_VARIABLES, *_keys(tree.get("variables"))]
    steps = tree.get("steps")
    taken_later = _taken_by(steps)
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if not isinstance(step, dict):
            continue
        for part in ("request", "expect"):
            for path, name in references(step.get(part), f"steps.{index}.{part}"):
                if name not in known:
                    yield _unknown(path, name, known, taken_later)
        known += _keys(step.get("take"))
    for part in ("trace", "audit", "tester", "variables", "name", "target"):
        for path, _ in references(tree.get(part), part):
            yield Mistake(path=path, message="variables are not replaced here", cure="write $${ for a literal ${")


def _unknown(path: str, name: str | None, known: list[str], taken_later: dict[str, int]) -> Mistake:
    if name is None:
        return Mistake(path=path, message="`${` begins no `${name}`", cure="write $${ for a literal ${")
    if name in taken_later:
        first = taken_later[name]
        return Mistake(path=path, message=f"the variable {name!r} is not taken before this step, but by steps.{first}")
    cure = (
        suggest(name, known)
        or f"define it under `variables:` or `take:` it in an earlier step; known: {', '.join(known)}"
    )
    return Mistake(path=path, message=f"the variable {name!r} is not known here", cure=cure)


def _taken_by(steps: Any) -> dict[str, int]:
    taken: dict[str, int] = {}
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        for name in _keys(step.get("take")) if isinstance(step, dict) else []:
            taken.setdefault(name, index)
    return taken


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []
