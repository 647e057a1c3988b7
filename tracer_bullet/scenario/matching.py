"""Whether a value satisfies a matcher, and how both read. Pure.

Values are JSON values, or `Text`: text without a type of its own (a header, a span attribute), which
compares as a number or a boolean where the operand is one.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any, Final

from tracer_bullet.workspace.matcher import Matcher

_NUMBER: Final = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)


class Text(str):
    """Text that has no type of its own."""

    __slots__ = ()


class Missing:
    """That there is no value; `MISSING` is the only one."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()


def satisfies(matcher: Matcher, actual: Any) -> bool:
    """Whether all operators of `matcher` hold for `actual`, a JSON value, Text or MISSING.

    Never raises: operands and values that cannot be compared do not match.
    """
    return all(_holds(name, operand, actual) for name, operand in matcher.operators)


def _holds(name: str, operand: Any, actual: Any) -> bool:
    if name == "exists":
        return (actual is not MISSING) is bool(operand)
    return actual is not MISSING and _OPERATORS[name](actual, operand)


def _same(actual: Any, operand: Any) -> bool:
    """Equality of JSON values: numbers by value, but true is not 1; Text as the operand's type."""
    if isinstance(actual, Text):
        actual = _as_type_of(operand, actual)
    if isinstance(actual, bool) or isinstance(operand, bool):
        return actual is operand
    if isinstance(actual, list) and isinstance(operand, list | tuple):
        return len(actual) == len(operand) and all(_same(a, b) for a, b in zip(actual, operand, strict=True))
    if isinstance(actual, dict) and isinstance(operand, dict):
        return actual.keys() == operand.keys() and all(_same(v, operand[k]) for k, v in actual.items())
    return bool(actual == operand)


def _as_type_of(operand: Any, text: Text) -> Any:
    if isinstance(operand, bool):
        return {"true": True, "false": False}.get(text, str(text))
    if isinstance(operand, int | float):
        number = _number(text)
        return str(text) if number is None else number
    return str(text)


def _number(value: Any) -> int | float | None:
    """The number that a value is, or a Text says; None for anything else."""
    if isinstance(value, Text):
        if not _NUMBER.fullmatch(value) or len(value) > 300:
            return None
        return int(value) if re.fullmatch(r"[-+]?\d+", value, re.ASCII) else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """`compare` for two numbers, or for two texts; False for anything else."""

    def holds(actual: Any, operand: Any) -> bool:
        if isinstance(operand, str):
            return isinstance(actual, str) and compare(str(actual), operand)
        number = _number(actual)
        return number is not None and compare(number, operand)

    return holds


def _contains(actual: Any, operand: Any) -> bool:
    if isinstance(actual, str):
        return _plain(operand) in actual
    if isinstance(actual, list):
        return any(_same(item, operand) for item in actual)
    return isinstance(actual, dict) and isinstance(operand, str) and operand in actual


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _matches(actual: Any, operand: str) -> bool:
    return isinstance(actual, str | int | float) and re.fullmatch(operand, _plain(actual)) is not None


def _has_type(actual: Any, name: str) -> bool:
    if isinstance(actual, Text):
        if name == "boolean":
            return actual in ("true", "false")
        if name in ("number", "integer"):
            actual = _number(actual)
    if isinstance(actual, bool):
        return name == "boolean"
    return isinstance(actual, _TYPES[name])


_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": _same,
    "ne": lambda actual, operand: not _same(actual, operand),
    "in": lambda actual, operand: any(_same(actual, item) for item in operand),
    "not_in": lambda actual, operand: not any(_same(actual, item) for item in operand),
    "contains": _contains,
    "matches": _matches,
    "type": _has_type,
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
}


def describe(matcher: Matcher) -> str:
    """The matcher in words, as `≥ 1 and < 5`."""
    words = {"eq": "", "ne": "not ", "lt": "< ", "le": "≤ ", "gt": "> ", "ge": "≥ ", "type": "a value of type "}
    parts = []
    for name, operand in matcher.operators:
        if name == "exists":
            parts.append("to be there" if operand else "not to be there")
        elif name == "type":
            parts.append(f"{words[name]}{operand}")
        else:
            parts.append(f"{words.get(name, name.replace('_', ' ') + ' ')}{show(operand)}")
    return " and ".join(parts)


def show(value: Any, limit: int = 200) -> str:
    """A value for people: JSON, text without a type bare, cut at `limit` characters."""
    if isinstance(value, Text | Missing):
        text = str(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            text = "a value that is nested too deep to show"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
