"""The JSONPaths of replay files: names, `[n]`, `[*]`, `.*` and `..name` (RFC 9535 without filters and slices). Pure.

Filters are left out because these paths are followed in every request of a load.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_STEP: Final = re.compile(
    r"""
    (?P<deep>\.\.)(?P<deep_name>[^\W\d][\w-]*|\*)
    | \.(?P<name>[^\W\d][\w-]*|\*)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<all>\*)\s*\]
    | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
    | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: to a member's name, to an item's index, or (None) to all. `deep`: at any depth below."""

    key: str | int | None
    deep: bool = False


@lru_cache(maxsize=1024)
def parse_json_path(text: str) -> tuple[Step, ...]:
    """The steps of a path as `$.a.b[0]`, `$..id`, `$['a b'][*]`. Raises ValueError that says where it is wrong."""
    if not text.startswith("$"):
        raise ValueError(f"{text!r} must begin with $, as $.order.id")
    steps, at = [], 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} cannot be read from {text[at:]!r} on: names, [n], [*] and .. are known")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["deep"]:
        return Step(None if match["deep_name"] == "*" else match["deep_name"], deep=True)
    if match["index"]:
        return Step(int(match["index"]))
    quoted = match["single"] if match["single"] is not None else match["double"]
    if quoted is not None:
        return Step(re.sub(r"\\(.)", r"\1", quoted))
    return Step(None if match["all"] or match["name"] == "*" else match["name"])


def find_places(document: Any, steps: tuple[Step, ...]) -> list[tuple[Any, str | int]]:
    """(container, key) of each place that the path finds in a JSON document, in its order. The document itself, for
    `$`, has no container and is not found. Never raises."""
    current: list[tuple[Any, str | int]] = [([document], 0)]
    for step in steps:
        reached: list[tuple[Any, str | int]] = []
        for container, key in current:
            value = container[key]
            for inner in _descend(value) if step.deep else (value,):
                reached.extend(_children(inner, step.key))
        current = reached
    return current if steps else []


def _children(value: Any, key: str | int | None) -> Iterator[tuple[Any, str | int]]:
    if isinstance(value, dict):
        if key is None:
            yield from ((value, name) for name in value)
        elif key in value:
            yield value, key
    elif isinstance(value, list):
        if key is None:
            yield from ((value, index) for index in range(len(value)))
        elif isinstance(key, int) and -len(value) <= key < len(value):
            yield value, key % len(value)


def _descend(value: Any) -> Iterator[Any]:
    """A value and all below it, containers only, in the document's order."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            yield top
            stack.extend(reversed(list(top.values())))
        elif isinstance(top, list):
            yield top
            stack.extend(reversed(top))


def dump_json(document: Any) -> bytes:
    """A JSON document as compact UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
