"""JSON lines of a log, by their keys: those of a format that was given, or those that a server is known to write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.pattern import Part, Pattern
from tracer_bullet.capture.formats.logs.values.escapes import latin, plain

Path = tuple[str, ...]

_PLACE: Final = re.compile(r"73160559(\d{4})731")  # a number that is valid JSON with and without quotes around


class JsonPattern:
    """Reads values at paths of keys. `columns` and `unescape` as Pattern's: the values come unescaped."""

    def __init__(self, columns: Mapping[Path, Column], texts: Mapping[Path, Pattern] | None = None) -> None:
        """`texts`: strings that hold several values each."""
        self.unescape = plain
        self._single = tuple(columns)
        self._texts = tuple((texts or {}).items())
        self.columns = (*columns.values(), *(col for _, pattern in self._texts for col in pattern.columns))

    def match(self, line: str) -> tuple[str | None, ...] | None:
        """The values, None for what is missing; None when the line is no JSON object."""
        return self.values(document(line))

    def lenient(self, line: str) -> None:
        """JSON is JSON."""

    def values(self, value: object) -> tuple[str | None, ...] | None:
        """As `match`, of a parsed line."""
        if not isinstance(value, dict):
            return None
        found = [_text(_at(value, path)) for path in self._single]
        for path, pattern in self._texts:
            text = _text(_at(value, path))
            parts = None if text is None else pattern.match(text) or pattern.lenient(text)
            found += parts if parts is not None else [None] * len(pattern.columns)
        return tuple(found) if any(text is not None for text in found) else None


def document(line: str) -> Any:
    """A line of latin-1 text as JSON; None for what is none.

    A character stays a byte: Envoy writes what is no UTF-8 as `\\u00ff`, nginx leaves bytes as they are.
    """
    if not line.startswith("{"):
        return None
    try:
        return orjson.loads(line.encode())
    except ValueError:
        pass
    try:
        return json.loads(line, strict=False)  # control characters, NaN, lone surrogates
    except (ValueError, RecursionError):
        return None


def json_template(parts: Sequence[Part]) -> JsonPattern | None:
    """A format's text that is a JSON object, so that lines are read whose keys are in another order."""
    columns = [part for part in parts if isinstance(part, Column)]
    text, number = "", 0
    for part in parts:
        text += part if isinstance(part, str) else f"73160559{number:04}731"
        number += isinstance(part, Column)
    try:
        skeleton = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return of_skeleton(skeleton, lambda leaf: _leaf(leaf, columns))


def of_skeleton(skeleton: object, parts_of: Any) -> JsonPattern | None:
    """A pattern of an object whose leaves are formats; `parts_of` takes a leaf apart. Raises AmbiguousError."""
    if not isinstance(skeleton, dict):
        return None
    single: dict[Path, Column] = {}
    texts: dict[Path, Pattern] = {}
    stack: list[tuple[Path, Any]] = [((), skeleton)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*path, str(key)), inner) for key, inner in value.items()]
            continue
        parts = [part for part in parts_of(value) if part]
        if not any(isinstance(part, Column) and part.role is not Role.SKIP for part in parts):
            continue
        if len(parts) == 1:
            single[path] = parts[0]
        else:
            texts[path] = Pattern(parts, unescape=plain)
    return JsonPattern(single, texts)


def _leaf(leaf: object, columns: Sequence[Column]) -> list[Part]:
    text = leaf if isinstance(leaf, str) else json.dumps(leaf)
    parts: list[Part] = []
    at = 0
    for found in _PLACE.finditer(text):
        parts += [text[at : found.start()], columns[int(found[1])]]
        at = found.end()
    return [*parts, text[at:]]


def _at(value: Any, path: Path) -> object:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return latin(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 63 else None
    if isinstance(value, float):
        return f"{value:.9f}"
    if isinstance(value, list):  # Caddy's header lines
        return ", ".join(latin(each) for each in value if isinstance(each, str)) or None
    return None
