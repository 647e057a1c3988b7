"""Rows out of files: CSV and JSON lines, each with the line where it stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from tracer_bullet.errors import UsageError

_TOO_MANY: Final = 'put a value that holds a comma into quotes, as "a, b"'
_TOO_FEW: Final = "give each variable of the header a value; an empty one is nothing between two commas"


def read_file(path: Path, where: str, most: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, row) of each row of a file. CSV (RFC 4180) has a header line, and its values are texts.

    Raises UsageError TB1013, at the file's line, or at `where` when the file cannot be read at all.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            "TB1013", f"{path.name} is no feed", where=where, cure="name it .csv, or .jsonl for JSON lines"
        )
    try:
        # utf-8-sig: spreadsheets write a byte order mark. newline="": csv wants to see line ends.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(reader(stream, path)):
                if number >= most:
                    raise UsageError("TB1013", f"{path.name} has more than {most:,} rows", where=where, cure="split it")
                yield row
    except UnicodeDecodeError as error:
        raise UsageError("TB1013", f"{path.name} is not UTF-8: {error.reason}", where=where) from None
    except OSError as error:
        raise UsageError("TB1013", f"{path} cannot be read: {error.strerror}", where=where) from None


def _csv(stream: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(stream, strict=True)
    names: list[str] = []
    try:
        for fields in reader:
            if not fields:
                continue
            if not names:
                names = _header(fields, f"{path}:{reader.line_num}")
            elif len(fields) != len(names):
                raise UsageError(
                    "TB1013",
                    f"this row has {len(fields)} field{'s' * (len(fields) > 1)}, and the header {len(names)}",
                    where=f"{path}:{reader.line_num}",
                    cure=_TOO_MANY if len(fields) > len(names) else _TOO_FEW,
                )
            else:
                yield reader.line_num, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise UsageError("TB1013", f"no CSV: {error}", where=f"{path}:{reader.line_num}") from None
    if not names:
        raise UsageError("TB1013", "the file is empty", where=f"{path}:1", cure="begin with a line of variables' names")


def _header(fields: list[str], where: str) -> list[str]:
    names = [field.strip() for field in fields]
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise UsageError("TB1013", "the header has one column", where=where, cure="separate columns by commas")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError("TB1013", f"the column {twice!r} is there twice", where=where, cure="rename one of them")
    return names


def _json_lines(stream: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise UsageError("TB1013", f"no JSON: {error}", where=f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise UsageError(
                "TB1013", "a row is an object of variables", where=f"{path}:{number}", cure='as {"sku": "A-1"}'
            )
        yield number, row


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
