"""The rows that a request 'inserted' under the policy `noop`, by primary key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.sql.catalog import Column, Name
from tracer_bullet.guards.sql.text import placeholder

Key = tuple[Any, ...]
_KEY = object()
_KEPT = 10_000


class Notes:
    """One request's. False while there are none."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, Name], dict[Key, dict[str, Any]]] = {}
        self._count = 0

    @classmethod
    def of(cls, scope: Scope) -> Notes:
        """Those of a bullet's request."""
        return scope.state.setdefault(_KEY, cls())  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return bool(self._rows)

    def has(self, source: object, name: Name) -> bool:
        """Whether rows of this table are known."""
        return bool(self._rows.get((source, name)))

    def add(self, source: object, name: Name, columns: Sequence[Column], row: dict[str, Any]) -> None:
        """Remember a row, where its primary key is known; a bounded number of them."""
        key = tuple(row.get(column.name) for column in columns if column.is_key)
        if key and None not in key and self._count < _KEPT:
            self._rows.setdefault((source, name), {})[_plain(key)] = row
            self._count += 1

    def find(self, source: object, name: Name, key: Key) -> dict[str, Any] | None:
        """The row with this key."""
        return self._rows.get((source, name), {}).get(_plain(key))

    def drop(self, source: object, name: Name, key: Key) -> None:
        """Forget a row."""
        self._rows.get((source, name), {}).pop(_plain(key), None)


def key_of(tree: Any, columns: Sequence[Column], value: Callable[[int], Any]) -> Key | None:
    """The primary key that a statement's WHERE names, `id = ?` and nothing else; None for any other condition."""
    from sqlglot import exp  # noqa: PLC0415

    where = tree.args.get("where")
    found: dict[str, Any] = {}
    for condition in (
        where.this.flatten() if where and isinstance(where.this, exp.And) else [where.this] if where else []
    ):
        part = condition.unnest()
        if not isinstance(part, exp.EQ) or not isinstance(part.this, exp.Column):
            return None
        right = part.expression.this if isinstance(part.expression, exp.Cast) else part.expression
        number = placeholder(right)
        if number is not None:
            found[part.this.name.lower()] = value(number)
        elif isinstance(right, (exp.Literal, exp.Neg)):
            found[part.this.name.lower()] = right.to_py()
        else:
            return None
    keys = [column.name.lower() for column in columns if column.is_key]
    return tuple(found[k] for k in keys) if keys and set(keys) == set(found) else None


def _plain(key: Key) -> Key:
    """Keys in a form in which equal ones are equal, whatever the driver makes of them."""
    return tuple(part if isinstance(part, int) else str(part) for part in key)
