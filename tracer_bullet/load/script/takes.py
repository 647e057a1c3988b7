"""What answers mint for later steps, as the engine takes it; and what of a scenario cannot go at load. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from tracer_bullet.errors import UsageError
from tracer_bullet.model.arrival import Take
from tracer_bullet.scenario.plan import PlannedStep
from tracer_bullet.workspace.json_path import parse_json_path
from tracer_bullet.workspace.scenario import StepSpec
from tracer_bullet.workspace.template import references

# What reads the same to jsonpath-ng and to the engine: members and items, one value at most.
_PATH: Final = re.compile(r"""\$(?:\.[A-Za-z_]\w*|\[\d+\]|\['[^'"\\]+'\]|\["[^'"\\]+"\])*""", re.ASCII)
_HALF_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]?\$\{")


def takes_of(steps: tuple[PlannedStep, ...]) -> tuple[tuple[Take, ...], ...]:
    """For each step, what its answer gives to the requests of later ones.

    What only expectations use is not among it: the answers that are checked have it. Raises UsageError TB1011 for a
    JSONPath that the engine cannot follow.
    """
    takes: list[tuple[Take, ...]] = []
    for step in steps:
        later = {name for other in steps[step.index + 1 :] for name in asked(other.spec)}
        takes.append(tuple(_take(step, n, source) for n, source in step.spec.take.items() if n in later))
    return tuple(takes)


def asked(step: StepSpec) -> frozenset[str]:
    """The variables that a step's request uses."""
    request = step.request
    parts = [request.path, request.query, request.headers, request.json_, request.form, request.body]
    return frozenset(name for _, name in references(parts) if name is not None)


def asked_by_expectations(step: StepSpec) -> frozenset[str]:
    """The variables that the matchers on a step's answer use."""
    matchers = [*step.expect.headers.values(), *step.expect.json_.values()]
    if step.expect.time_ms is not None:
        matchers.append(step.expect.time_ms)
    return frozenset(name for m in matchers for _, operand in m.operators for name in _names(operand))


def refuse_what_cannot_go(steps: tuple[PlannedStep, ...], where: Callable[[PlannedStep, str], str]) -> None:
    """Raises UsageError TB1010 for the first thing that `fire` does and the engine does not."""
    for step in steps:
        request = step.spec.request
        if request.follow_redirects:
            raise UsageError(
                "TB1010",
                f"the step {step.name!r} follows redirects, which load does not do",
                where=where(step, "request.follow_redirects"),
                cure="expect the redirect's status, and make the page it leads to a step of its own",
            )
        if _HALF_ESCAPE.search(request.path):
            raise UsageError(
                "TB1010",
                f"the path of the step {step.name!r} has a `%` right before a variable, which can become another byte",
                where=where(step, "request.path"),
                cure="write %25 for a percent sign",
            )


def _take(step: PlannedStep, variable: str, source: str) -> Take:
    if source == "status":
        return Take(variable, "status", "")
    if source.startswith("header:"):
        return Take(variable, "header", source.removeprefix("header:").lower())
    keys = plain_keys(source)
    if keys is None:
        raise UsageError(
            "TB1011",
            f"{source} is taken for a later step's request, and load follows only paths as $.a.b[0]",
            where=step.where(f"take.{variable}") if step.scenario.file else "",
            cure="name each member and index, as $.items[0].id",
        )
    return Take(variable, "json", "$" + "".join(map(_segment, keys)))


def plain_keys(path: str) -> tuple[str | int, ...] | None:
    """The names and indexes that a JSONPath goes through; None when it is more than these."""
    if not _PATH.fullmatch(path):
        return None
    return tuple(step.key for step in parse_json_path(path) if step.key is not None)


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch(r"\w+", str(key), re.ASCII) else f"['{key}']"


def _names(operand: object) -> Iterator[str]:
    return (name for _, name in references(operand) if name is not None)
