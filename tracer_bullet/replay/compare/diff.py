"""What differs between two JSON values. Pure, without recursion: answers may be nested deep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_ROOT = "$"


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One place that differs. `path` is a JSONPath with `[*]` for indexes; `kind` as in `model.replay.Difference`."""

    path: str
    kind: str
    recorded: Any = None
    replayed: Any = None


def differences(recorded: Any, replayed: Any) -> Iterator[FieldDifference]:
    """Every place where they differ, outermost first.

    Lists of unequal length differ in `size`, and their common beginning is compared; lists with the same members in
    another order differ in `order` alone. 1 equals 1.0, and true equals neither.
    """
    waiting = [(_ROOT, recorded, replayed)]
    while waiting:
        path, a, b = waiting.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            yield from (FieldDifference(_child(path, k), "missing", a[k]) for k in a if k not in b)
            yield from (FieldDifference(_child(path, k), "added", None, b[k]) for k in b if k not in a)
            waiting.extend((_child(path, k), a[k], b[k]) for k in reversed(a) if k in b)
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                yield FieldDifference(path, "size", len(a), len(b))
            elif a != b and _members(a) == _members(b):
                yield FieldDifference(path, "order")
                continue
            waiting.extend((f"{path}[*]", x, y) for x, y in reversed(list(zip(a, b, strict=False))))
        elif _kind(a) != _kind(b):
            yield FieldDifference(path, "type", a, b)
        elif a != b:
            yield FieldDifference(path, "value", a, b)


def _child(path: str, key: str) -> str:
    plain = key.replace("_", "a").isalnum() and not key[:1].isdigit()
    return f"{path}.{key}" if plain else f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def _members(values: list[Any]) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values)
