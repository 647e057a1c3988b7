"""The replay's part of a document. See `shape` for the invariants."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.report.shape_base import Fact, Tile, Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """An endpoint. `quantiles`: (label, milliseconds, text) of the latency from the intended time. `faults`: (rule,
    message) of what fails the run because of it. `proved`: a bullet to it was clean."""

    name: str
    sent: int
    failed: int
    outcomes: str
    faults: tuple[tuple[str, str], ...]
    proved: bool
    tone: Tone
    quantiles: tuple[tuple[str, float, str], ...]
    service: str
    held: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    """Answers that differ in one field. `share` with its bounds in words."""

    endpoint: str
    field: str
    kind: str
    count: str
    share: str
    noise: str
    examples: tuple[tuple[str, str], ...]
    verdict: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedRow:
    """A value that answers mint, and where it was used."""

    minted: str
    used: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """The replay's part of a document. `report` is what it was made of, for machines."""

    summary: str
    facts: tuple[Fact, ...]
    tiles: tuple[Tile, ...]
    endpoints: tuple[EndpointRow, ...]
    endpoints_note: str
    differences: tuple[DifferenceRow, ...]
    differences_note: str
    minted: tuple[MintedRow, ...]
    minted_note: str
    report: ReplayReport
