"""SQL text as drivers take it, with its parameters: taken apart for the parser, and put together again.

A placeholder becomes a name that every grammar takes for a column (`tb_param_0_`), so that
parts of a statement can be moved into another one and keep their values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from tracer_bullet.guards.sql.tree import parse

Parameters = Sequence[Any] | Mapping[str, Any] | None
"""One set, positional or by name."""

_LITERALS: Final = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"


class ParamStyle(Enum):
    """How a driver marks a parameter in its text."""

    QUESTION = "?"  # sqlite3: `?`, `?1`, `:name`
    PERCENT = "%"  # psycopg, PyMySQL: `%s`, `%(name)s`, and `%%` for a percent sign
    DOLLAR = "$"  # asyncpg: `$1`


_MARKS: Final = {
    ParamStyle.QUESTION: re.compile(
        rf"{_LITERALS}|`[^`]*`|\[[^\]]*\]" r"|\?(?P<number>\d*)|[:@$](?P<name>[A-Za-z_]\w*)", re.DOTALL
    ),
    ParamStyle.PERCENT: re.compile(r"%%|%\((?P<name>[^)]*)\)[sbt]|%(?P<number>)[sbt]"),
    ParamStyle.DOLLAR: re.compile(rf"{_LITERALS}|(?P<tag>\$\w*\$).*?(?P=tag)|\$(?P<number>\d+)", re.DOTALL),
}  # fmt: skip
_MARKED: Final = re.compile(r'"?tb_param_(\d+)_"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with one set of parameters, for a driver."""

    sql: str
    parameters: Parameters = None


@dataclass(frozen=True, slots=True)
class Template:
    """A statement of the application's.

    `text`: with names for placeholders; `marks`: the placeholders as written, and `places` what
    each stands for, a position or a name; `tree`: sqlglot's, or None where it does not understand
    the text.
    """

    style: ParamStyle
    dialect: str
    text: str
    marks: tuple[str, ...]
    places: tuple[int | str, ...]
    tree: Any

    def restored(self, text: str) -> str:
        """A changed `text` with the application's placeholders, for the parameters as they are."""
        escapes = self.style is ParamStyle.PERCENT and bool(self.marks)
        return _MARKED.sub(lambda match: self.marks[int(match[1])], text.replace("%", "%%") if escapes else text)

    def value(self, number: int, parameters: Parameters) -> Any:
        """The value of the placeholder with this number."""
        return _value(self.places[number], parameters)

    def query(self, text: str, parameters: Parameters) -> Query:
        """A text made of parts of this statement, with the parameters that it needs."""
        given: list[Any] = []
        escapes = self.style is ParamStyle.PERCENT and bool(self.places)

        def put_back(match: re.Match[str]) -> str:
            place = self.places[int(match[1])]
            if isinstance(place, str):
                return f"%({place})s" if self.style is ParamStyle.PERCENT else f":{place}"
            given.append(_value(place, parameters))
            return {ParamStyle.QUESTION: "?", ParamStyle.PERCENT: "%s"}.get(self.style, f"${len(given)}")

        sql = _MARKED.sub(put_back, text.replace("%", "%%") if escapes else text)
        return Query(sql, given or (parameters if isinstance(parameters, Mapping) and parameters else None))


def _value(place: int | str, parameters: Parameters) -> Any:
    if parameters is None:
        raise LookupError("a placeholder without parameters")
    return parameters[place]  # type: ignore[index]  # a position or a name, as the driver was told


@lru_cache(maxsize=1024)
def template(sql: str, dialect: str, style: ParamStyle, *, has_parameters: bool = True) -> Template:
    """Take a statement apart; `has_parameters`: without any, `%` is no mark to drivers that use it."""
    places: list[int | str] = []
    marks: list[str] = []
    if style is ParamStyle.PERCENT and not has_parameters:
        return Template(style, dialect, sql, (), (), parse(sql, dialect))

    def mark(match: re.Match[str]) -> str:
        groups = match.groupdict()
        if match[0] == "%%":
            return "%"
        if groups.get("name") is not None:
            places.append(groups["name"])
        elif groups.get("number") is not None:
            places.append(int(groups["number"]) - 1 if groups["number"] else len(places))
        else:
            return match[0]  # a literal or a comment
        marks.append(match[0])
        return f"tb_param_{len(places) - 1}_"

    text = _MARKS[style].sub(mark, sql).rstrip().rstrip(";")
    return Template(style, dialect, text, tuple(marks), tuple(places), parse(text, dialect))


def placeholder(node: Any) -> int | None:
    """The number of the placeholder that a node of the tree is, if it is one."""
    from sqlglot import exp  # noqa: PLC0415

    if isinstance(node, exp.Column) and not node.table:
        match = _MARKED.fullmatch(node.name)
        return int(match[1]) if match else None
    return None
