"""The report in a terminal. Works at 80 columns, without colour and in plain ASCII."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracer_bullet.model import Outcome
from tracer_bullet.report.shape import Document, Example, SpanRow, Tone

MAX_ROWS = 60
MAX_FINDINGS = 20
MAX_INDENT = 12
MIN_WIDTH = 40

_STYLES = {Tone.GOOD: "green", Tone.BAD: "bold red", Tone.UNSURE: "yellow", Tone.WARN: "yellow", Tone.PLAIN: ""}
_SIGNS = {Tone.GOOD: "✔", Tone.BAD: "✘", Tone.UNSURE: "?", Tone.WARN: "!", Tone.PLAIN: "·"}
# What ASCII puts for our own signs; any other character that is not ASCII becomes `?`.
_ASCII = str.maketrans(
    {"✔": "+", "✘": "x", "·": "-", "→": "->", "–": "-", "×": "x", "…": "~", "├": "|", "└": "`", "─": "-", "│": "|"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalStyle:
    """How to draw: `width` in columns."""

    width: int = 80
    color: bool = False
    ascii_only: bool = False


def terminal_style(*, is_tty: bool, encoding: str, environ: Mapping[str, str], width: int = 80) -> TerminalStyle:
    """The style for a stream: colour on a terminal unless NO_COLOR (no-color.org) or TERM=dumb says no.

    ASCII where the stream's `encoding` is no Unicode one. `width` below 40 counts as 40.
    """
    color = is_tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    unicode = encoding.lower().replace("-", "").replace("_", "").startswith(("utf", "cp65001"))
    return TerminalStyle(width=max(MIN_WIDTH, width), color=color, ascii_only=not unicode)


def render_terminal(document: Document, style: TerminalStyle, *, page_path: str = "") -> str:
    """The whole report as text with a newline at the end; no line is wider than `style.width`.

    `page_path` is shown last, on a line of its own that may be wider, so that it can be copied.
    """
    out = _Out(style)
    _head(out, document)
    if document.examples:
        _trace(out, document.examples[0])
    _checks(out, document)
    _findings(out, document)
    shown = out.text()
    return shown + (f"\nPage  {out.plain(page_path)}\n" if page_path else "")


class _Out:
    """A console that writes into memory, and the text rules of its style."""

    def __init__(self, style: TerminalStyle) -> None:
        self._buffer = io.StringIO()
        self._style = style
        self.console = Console(
            file=self._buffer,
            width=style.width,
            force_terminal=style.color,
            color_system="standard" if style.color else None,
            no_color=not style.color,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def plain(self, value: str) -> str:
        return value.translate(_ASCII).encode("ascii", "replace").decode() if self._style.ascii_only else value

    def of(self, value: str, style: str = "") -> Text:
        return Text(self.plain(value), style=style)

    def sign(self, tone: Tone) -> Text:
        return self.of(_SIGNS[tone], _STYLES[tone])

    def grid(self, *columns: tuple[int, JustifyMethod, bool], padding: int = 1) -> Table:
        """A full-width grid; a column is (width or 0 for the rest or -1 for its content, justify, may wrap)."""
        grid = Table.grid(padding=(0, padding, 0, 0), expand=True)
        for width, justify, wraps in columns:
            grid.add_column(
                width=width if width > 0 else None,
                ratio=None if width else 1,
                justify=justify,
                no_wrap=not wraps,
                overflow="fold" if wraps else "crop" if self._style.ascii_only else "ellipsis",
            )
        return grid

    def title(self, value: str, note: str = "") -> None:
        self.console.print()
        self.console.print(Text.assemble(self.of(value, "bold"), self.of(f"  {note}" if note else "", "dim")))

    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self._buffer.getvalue().split("\n"))


def _head(out: _Out, document: Document) -> None:
    verdict = out.of(f"{_SIGNS[document.tone]} {document.outcome_text.upper()}", f"bold {_STYLES[document.tone]}")
    out.console.print(Text.assemble(verdict, out.of(f"  {document.scenario} → {document.target}")))
    out.console.print(Padding(out.of(document.headline), (0, 0, 0, 2)))
    grid = out.grid((14, "left", False), (10, "left", False), (0, "left", True))
    for tile in document.tiles:
        grid.add_row(out.of(tile.label, "dim"), out.of(tile.value, _STYLES[tile.tone] or "bold"), out.of(tile.note))
    out.console.print(Padding(grid, (1, 0, 0, 2)))


def _trace(out: _Out, example: Example) -> None:
    out.title(example.title, f"{example.why} · {example.duration} · {example.size}")
    out.console.print(Padding(out.of(f"trace {example.trace_id}", "dim"), (0, 0, 0, 2)))
    grid = out.grid((0, "left", False), (9, "right", False), (min(24, out.console.width // 4), "left", False))
    rows = example.rows[:MAX_ROWS]
    for guide, row in zip(_guides([r.depth for r in rows]), rows, strict=True):
        grid.add_row(_span_label(out, guide, row), out.of(row.duration), _span_marks(out, row))
    out.console.print(Padding(grid, (0, 0, 0, 2)))
    left_out = len(example.rows) - len(rows)
    for note in (f"{left_out} more spans are on the page" if left_out else "", example.note):
        if note:
            out.console.print(Padding(out.of(note, "dim"), (0, 0, 0, 2)))


def _span_label(out: _Out, guide: str, row: SpanRow) -> Text:
    style = _STYLES[row.tone]
    return Text.assemble(
        out.of(guide, "dim"), out.of(row.service, f"bold {style}".strip()), out.of(f" {row.name}", style)
    )


def _span_marks(out: _Out, row: SpanRow) -> Text:
    marks = [out.of(m.text, _STYLES[m.tone]) for m in row.marks]
    if row.tone is Tone.BAD:
        marks.insert(0, out.of("✘ error", _STYLES[Tone.BAD]))
    return Text(" ").join(marks)


def _guides(depths: list[int]) -> Iterable[str]:
    """Tree lines before each row, from depths in tree order; deeper than `MAX_INDENT` is drawn at it."""
    open_levels: set[int] = set()
    drawn = []
    for depth in reversed(depths):
        level = min(depth, MAX_INDENT)
        last = level not in open_levels
        above = "".join("│ " if i in open_levels else "  " for i in range(1, level))
        drawn.append("" if level == 0 else above + ("└ " if last else "├ "))
        open_levels = {i for i in open_levels if i < level} | {level}
    return reversed(drawn)


def _checks(out: _Out, document: Document) -> None:
    if not document.checks:
        return
    missed = sum(1 for c in document.checks if c.outcome is not Outcome.PASSED)
    out.title(
        "Checks", f"{missed} of {len(document.checks)} missed" if missed else f"all {len(document.checks)} passed"
    )
    grid = out.grid((1, "left", False), (0, "left", True), (-1, "right", False))
    for check in document.checks:
        name = f"{check.step}: {check.name}" if check.step else check.name
        grid.add_row(out.sign(check.tone), out.of(name), out.of(check.tally))
        if check.missed:
            where = f"{check.where} · {check.sample}" if check.where else check.sample
            for said in (f"expected {check.expected}", f"actual   {check.actual}", where):
                grid.add_row("", out.of(said, "dim"), "")
    out.console.print(Padding(grid, (0, 0, 0, 2)))


def _findings(out: _Out, document: Document) -> None:
    if not document.findings:
        return
    out.title("Findings", document.findings_note)
    for row in document.findings[:MAX_FINDINGS]:
        grid = out.grid((5, "left", False), (0, "left", True))
        grid.add_row(out.sign(row.tone), out.of(row.message, "bold"))
        for label, value in (("where", row.where), ("why", row.why), ("cure", row.cure), ("trace", row.trace_id)):
            if value:
                grid.add_row(out.of(label, "dim"), out.of(value))
        out.console.print(Padding(grid, (0, 0, 1, 2)))
    if len(document.findings) > MAX_FINDINGS:
        out.console.print(out.of(f"  {len(document.findings) - MAX_FINDINGS} more findings are on the page", "dim"))
