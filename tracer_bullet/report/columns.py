"""Plain tables of text for terminals and logs: aligned columns, nothing wider than asked for."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.report.text import line

# What ASCII puts for our own signs; any other character that is not ASCII becomes `?`.
_ASCII = str.maketrans(
    {
        "✓": "+",
        "✕": "x",
        "–": "-",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "·": "-",
        "×": "x",
        "…": "~",
        "●": "*",
        "−": "-",
        "›": ">",
    }
)
_WIDEST = 44


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of a table. Cells are cut to 44 characters, but for the last column; `right` are those set to the right."""
    last = len(header) - 1
    cells = [[line(cell, 400 if i == last else _WIDEST) for i, cell in enumerate(row)] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join(
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) if i < last else cell
            for i, cell in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def plain(text: str, encoding: str) -> str:
    """`text` as a stream of this encoding can show it."""
    if encoding.lower().replace("-", "").startswith(("utf", "cp65001")):
        return text
    return text.translate(_ASCII).encode("ascii", "replace").decode()
