"""Tester accounts from a CSV file with a header line, or from a YAML list of maps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.workspace.tree import read_tree


def load_accounts(path: Path) -> tuple[dict[str, str], ...]:
    """The accounts in a file, each a map of fields to texts. Raises WorkspaceError TB986 with every mistake found."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, [(1, f"the accounts cannot be read: {error}")]) from None
    accounts = _from_csv(path, text) if path.suffix.lower() == ".csv" else _from_yaml(path, text)
    if not accounts:
        raise _wrong(path, [(1, "there is no account in it")])
    return accounts


def _from_csv(path: Path, text: str) -> tuple[dict[str, str], ...]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise _wrong(path, [(reader.line_num, f"no valid CSV: {error}")]) from None
    if not rows:
        raise _wrong(path, [(1, "there is no header line")])
    names = [name.strip() for name in rows[0][1]]
    wrong = [
        (line, f"{len(row)} fields, and the header line has {len(names)}")
        for line, row in rows[1:]
        if len(row) != len(names)
    ]
    if len(set(names)) != len(names):
        wrong.insert(0, (rows[0][0], "two columns have the same name"))
    if "" in names:
        wrong.insert(0, (rows[0][0], "a column has no name"))
    if wrong:
        raise _wrong(path, wrong)
    return tuple(dict(zip(names, row, strict=True)) for _, row in rows[1:])


def _from_yaml(path: Path, text: str) -> tuple[dict[str, str], ...]:
    try:
        tree = read_tree(text.encode("utf-8", "surrogatepass"), str(path))
    except WorkspaceError as error:
        raise WorkspaceError(error.problems, code="TB986") from None
    if not isinstance(tree.value, list):
        raise _wrong(path, [(1, "must be a list of maps, one an account")])
    wrong = [(tree.lines[at], message) for at, message in _mistakes(tree.value)]
    if wrong:
        raise _wrong(path, wrong)
    return tuple(tree.value)


def _mistakes(accounts: list[Any]) -> Iterator[tuple[str, str]]:
    """Where, as a path in the tree, and what."""
    for i, account in enumerate(accounts):
        if not isinstance(account, dict):
            yield str(i), f"account {i} is no map of fields"
            continue
        for name, value in account.items():
            # A number would lose its leading zeros, and how it was written.
            if not isinstance(value, str):
                yield f"{i}.{name}", f"{name} must be a text: put it in quotes"


def _wrong(path: Path, mistakes: list[tuple[int, str]]) -> WorkspaceError:
    problems = (Problem(file=str(path), line=line, path="", message=message) for line, message in mistakes)
    return WorkspaceError(tuple(problems), code="TB986")
