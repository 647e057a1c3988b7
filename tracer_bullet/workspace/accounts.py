"""Tester accounts from a CSV file with a header line, or from a YAML list of maps."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import yaml

from tracer_bullet.errors import Problem, WorkspaceError


def load_accounts(path: Path) -> tuple[dict[str, str], ...]:
    """The accounts in a file, each a map of fields to texts. Raises WorkspaceError TB986 with every mistake found."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, [(1, f"the accounts cannot be read: {error}")]) from None
    return _from_csv(path, text) if path.suffix.lower() == ".csv" else _from_yaml(path, text)


def _from_csv(path: Path, text: str) -> tuple[dict[str, str], ...]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise _wrong(path, [(reader.line_num, f"no valid CSV: {error}")]) from None
    if not rows:
        raise _wrong(path, [(1, "there is no header line")])
    names = rows[0][1]
    wrong = [
        (line, f"{len(row)} fields, and the header line has {len(names)}")
        for line, row in rows[1:]
        if len(row) != len(names)
    ]
    if len(set(names)) != len(names):
        wrong.insert(0, (1, "two columns have the same name"))
    if wrong:
        raise _wrong(path, wrong)
    return tuple(dict(zip(names, row, strict=True)) for _, row in rows[1:])


def _from_yaml(path: Path, text: str) -> tuple[dict[str, str], ...]:
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _wrong(path, [(mark.line + 1 if mark else 1, f"no valid YAML: {error}")]) from None
    if not isinstance(found, list):
        raise _wrong(path, [(1, "must be a list of maps, one an account")])
    wrong = [(1, f"account {i} is no map of fields") for i, item in enumerate(found) if not isinstance(item, dict)]
    if wrong:
        raise _wrong(path, wrong)
    return tuple({str(name): str(value) for name, value in item.items()} for item in found)


def _wrong(path: Path, mistakes: list[tuple[int, str]]) -> WorkspaceError:
    problems = (Problem(file=str(path), line=line, path="", message=message) for line, message in mistakes)
    return WorkspaceError(tuple(problems), code="TB986")
