"""Literals and columns of a log's format → a pattern that takes a line apart. Linear in the line, whatever is in it.

Each value ends at the first place where what follows it can follow: an atomic group, so that nothing is tried twice.
Two patterns are tried. In the strict one a value does not hold the character that follows it, as where the server
escapes. The lenient one takes what does (a quote inside an unescaped quoted header), as long as the line has the form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, cast

from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.values.escapes import Unescape

Part = str | Column

# A backslash before it; as a number, so that none is there; or as it is.
Quotes = Literal["backslash", "hex", "raw"]

_QUOTED: Final = r'[^"\\]*+(?:\\.[^"\\]*+)*+'


class AmbiguousError(ValueError):
    """Two values with nothing between them: where one ends cannot be told."""


class Pattern:
    """A compiled format. `columns` are those whose values `match` gives, in order; `unescape` undoes their escaping."""

    def __init__(self, parts: Sequence[Part], *, unescape: Unescape, quotes: Quotes = "raw") -> None:
        """`quotes`: how a quote inside a quoted value is written. Raises AmbiguousError."""
        self.unescape = unescape
        merged = _merge(parts)
        self.columns = tuple(part for part in merged if isinstance(part, Column) and part.role is not Role.SKIP)
        self._strict = re.compile(_pattern(merged, strict=True, quotes=quotes), re.DOTALL | re.ASCII)
        self._lenient = re.compile(_pattern(merged, strict=False, quotes=quotes), re.DOTALL | re.ASCII)

    def match(self, line: str) -> tuple[str, ...] | None:
        """The values of `columns`, still escaped; None when the line has another form."""
        found = self._strict.fullmatch(line)
        return found.groups() if found else None

    def lenient(self, line: str) -> tuple[str, ...] | None:
        """The same of a line that no strict pattern takes."""
        found = self._lenient.fullmatch(line)
        return found.groups() if found else None


def _merge(parts: Sequence[Part]) -> list[Part]:
    merged: list[Part] = []
    for part in parts:
        if not part:
            continue
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif isinstance(part, Column) and isinstance(last, Column):
            merged[-1:] = _neighbours(last, part)
        else:
            merged.append(part)
    return [_enclosed(merged, at) for at in range(len(merged))]


def _enclosed(parts: Sequence[Part], at: int) -> Part:
    """The more values tell themselves, the better an unescaped quote in another one is understood."""
    part = parts[at]
    if isinstance(part, str) or part.pattern or not part.enclosed or not 0 < at < len(parts) - 1:
        return part
    before, after = parts[at - 1], parts[at + 1]
    quoted = isinstance(before, str) and before.endswith('"') and isinstance(after, str) and after.startswith('"')
    return replace(part, pattern=part.enclosed) if quoted else part


def _neighbours(left: Column, right: Column) -> list[Part]:
    """Two values with nothing between them, told apart by what they look like."""
    if not left.pattern and left.near:
        left = replace(left, pattern=left.near)
    if left.pattern:
        return [left, right]
    if left.role is right.role is Role.SKIP and not right.pattern:
        return [left]
    right = replace(right, pattern=right.pattern or right.near)
    # What may be nothing tells no end.
    if not right.pattern or re.fullmatch(right.pattern, ""):
        raise AmbiguousError(f"{left.name or left.role.value} and {right.name or right.role.value}")
    return [left, right]


def _pattern(parts: Sequence[Part], *, strict: bool, quotes: Quotes) -> str:
    text, at = "", 0
    while at < len(parts) and not _is_open(parts[at]):
        text += _fixed(parts[at])
        at += 1
    while at < len(parts):
        column = cast("Column", parts[at])
        end = at + 1
        while end < len(parts) and not _is_open(parts[end]):
            end += 1
        follows = parts[at + 1 : end]
        before = parts[at - 1] if at else ""
        value = _open_value(before, follows, last=end == len(parts), strict=strict, quotes=quotes)
        # Without an end of its own the last group must reach the end of the line, or be tried further on.
        rest = "".join(_fixed(part) for part in follows)
        text += f"(?>{_group(column, value)}{rest}{'$' if end == len(parts) else ''})"
        at = end
    return text


def _open_value(before: Part, follows: Sequence[Part], *, last: bool, strict: bool, quotes: Quotes) -> str:
    if not follows:
        return ".*+" if last else ".*?"
    follow = follows[0]
    if not isinstance(follow, str):
        return ".*?"
    enclosed = follow[0] == '"' and isinstance(before, str) and before.endswith('"')
    if enclosed and quotes == "backslash":
        return _QUOTED
    # What the server escapes is not there: a field more would be taken for a part of this one.
    return f"[^{re.escape(follow[0])}]*+" if strict or (enclosed and quotes == "hex") else ".*?"


def _is_open(part: Part) -> bool:
    return isinstance(part, Column) and not part.pattern


def _fixed(part: Part) -> str:
    return re.escape(part) if isinstance(part, str) else _group(part, part.pattern)


def _group(column: Column, value: str) -> str:
    return f"(?:{value})" if column.role is Role.SKIP else f"({value})"
