"""All portable SQL of graph/sql/, found by looking, so that what is added is covered."""

from __future__ import annotations

import importlib
import pkgutil
import string

from tracer_bullet.graph import distributions, sql


def statements() -> dict[str, str]:
    """`module.NAME` → query, of each constant that is one; the blanks of templates are filled with their own names."""
    return {name: text.format(**{blank: blank for blank in _blanks(text)}) for name, text in _constants().items()}


def templates() -> set[str]:
    """Names of those that have blanks: they are run by their analyses alone."""
    return {name for name, text in _constants().items() if _blanks(text)}


def _constants() -> dict[str, str]:
    found = {"distributions._QUERY": distributions._QUERY}
    for info in pkgutil.walk_packages(sql.__path__, f"{sql.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.strip("_").isupper() and isinstance(value, str) and _is_query(value):
                found[f"{info.name.removeprefix(sql.__name__ + '.')}.{name}"] = value
    return dict(sorted(found.items()))


def _is_query(text: str) -> bool:
    lines = [line for line in text.strip().splitlines() if not line.lstrip().startswith("--")]
    return bool(lines) and lines[0].split()[0] in ("SELECT", "WITH")


def _blanks(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}
