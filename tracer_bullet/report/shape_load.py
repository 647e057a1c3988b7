"""The load run's part of a document. See `shape` for the invariants."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.model.load import LoadReport
from tracer_bullet.report.shape_base import Fact, Tick, Tile, Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRow:
    """A row: its name, the cells after it as text, and what to sort them by (None: their text)."""

    name: str
    cells: tuple[str, ...]
    values: tuple[float | None, ...]
    tone: Tone = Tone.PLAIN
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTable:
    """A table. `heads`: the name's head, then one a cell; `narrow`: the places of cells that fit a terminal."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[LoadRow, ...]
    narrow: tuple[int, ...]
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Of each cell's column: numbers stand in it, not words."""
        columns = zip(*(r.values for r in self.rows), strict=True)
        return tuple(any(value is not None for value in column) for column in columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line over the run's time: an SVG path in a box of 1000 × 100, its foot at the bottom. `top` is what the upper
    edge stands for; `label` says the line in words."""

    name: str
    path: str
    kind: str
    top: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines that share one scale, over the run's time."""

    title: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCase:
    """A demand, or a step, as a test that passed or not. `group`: `thresholds` or `steps`; `passed` None: not known.

    `rule` and `message`: why it did not pass; `lines`: all there is to say.
    """

    group: str
    name: str
    passed: bool | None
    lines: tuple[str, ...]
    rule: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadView:
    """The load run's part of a document. `report` is what it was made of, for machines."""

    summary: str
    facts: tuple[Fact, ...]
    tiles: tuple[Tile, ...]
    charts: tuple[Chart, ...]
    tables: tuple[LoadTable, ...]
    cases: tuple[LoadCase, ...]
    report: LoadReport
