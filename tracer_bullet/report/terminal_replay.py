"""A replay in a terminal: what was sent, how punctually, and where answers differ. Works at 80 columns."""

from __future__ import annotations

from rich.padding import Padding

from tracer_bullet.report.console import Out
from tracer_bullet.report.shape_replay import EndpointRow, ReplayView

MAX_ENDPOINTS = 12
MAX_DIFFERENCES = 8


def render_replay(out: Out, replay: ReplayView) -> None:
    """Facts, then endpoints with failures first, then differences."""
    out.title("Replay", "")
    out.below(replay.summary, "")
    facts = out.grid((36, "left", False), (0, "left", True))
    for fact in replay.facts:
        facts.add_row(out.of(fact.label, "dim"), out.of(fact.value))
    out.console.print(Padding(facts, (0, 0, 0, 2)))
    _endpoints(out, replay)
    _differences(out, replay)


def _endpoints(out: Out, replay: ReplayView) -> None:
    shown = replay.endpoints[:MAX_ENDPOINTS]
    if not shown:
        return
    out.title("Endpoints", _part(len(shown), len(replay.endpoints), replay.endpoints_note))
    grid = out.grid(
        (1, "left", False), (0, "left", True), (-1, "right", False), (-1, "right", False), (-1, "right", False)
    )
    grid.add_row("", *(out.of(head, "dim") for head in ("endpoint", "sent", "p50", "p99")))
    for row in shown:
        numbers = {label: said for label, _, said in row.quantiles}
        grid.add_row(out.sign(row.tone), out.of(row.name), out.of(f"{row.sent:,}"), numbers["p50"], numbers["p99"])
        grid.add_row("", out.of(_outcomes(row), "dim"), "", "", "")
    out.console.print(Padding(grid, (0, 0, 0, 2)))


def _part(shown: int, known: int, note: str) -> str:
    """How many are here; `note`: what is told where even the page has not all."""
    if shown >= known:
        return ""
    return (
        f"{shown} of {known} that are on the page"
        if note.startswith("Shown")
        else f"{shown} of {known}; all are on the page"
    )


def _outcomes(row: EndpointRow) -> str:
    rules = list(dict.fromkeys(rule for rule, _ in row.faults))
    return "; ".join((row.outcomes, *rules, *(() if row.proved else ("not proved",))))


def _differences(out: Out, replay: ReplayView) -> None:
    shown = replay.differences[:MAX_DIFFERENCES]
    if not shown:
        return
    out.title("Answers", _part(len(shown), len(replay.differences), replay.differences_note))
    grid = out.grid((1, "left", False), (0, "left", True))
    for row in shown:
        grid.add_row(out.sign(row.tone), out.of(f"{row.endpoint}  {row.field}  {row.verdict} ({row.kind})"))
        grid.add_row("", out.of(f"{row.count} answers; the true share is {row.share}; by itself {row.noise}", "dim"))
        for recorded, replayed in row.examples[:1]:
            grid.add_row("", out.of(f"recorded {recorded}, replayed {replayed}", "dim"))
    out.console.print(Padding(grid, (0, 0, 0, 2)))
