"""An analysis in a terminal: totals, where time goes, who is to blame, what was promised and what was lost.

Works at 80 columns, without colour and in plain ASCII, as `terminal` does.
"""

from __future__ import annotations

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracer_bullet.report.console import SIGNS, STYLES, Out, TerminalStyle
from tracer_bullet.report.insight import CauseRow, Insight
from tracer_bullet.report.shape import Document
from tracer_bullet.report.shape_base import Tone

MAX_SERVICES = 10
MAX_OPERATIONS = 8
MAX_CAUSES = 8
MAX_PATTERNS = 6
MAX_CONTRASTS = 6
MAX_SLOS = 12
MAX_CHANGES = 12
MAX_FILES = 10
MAX_DECLARED = 10


def render_analysis(document: Document, style: TerminalStyle, *, page_path: str = "") -> str:
    """What was found, as text with a newline at the end; no line is wider than `style.width`.

    The most urgent comes first; tables are cut, and say so. `page_path` is shown last, on a line of its own that may
    be wider, so that it can be copied.
    """
    out, insight = Out(style), document.insight
    sign = f"{SIGNS[document.tone]} {document.outcome_text.upper()}"
    out.console.print(Text.assemble(out.of(sign, f"bold {STYLES[document.tone]}"), out.of(f"  {document.title}")))
    out.below(document.headline, "")
    out.tiles(document.tiles)
    _services(out, insight)
    _operations(out, document)
    _causes(out, insight)
    _contrasts(out, insight)
    _patterns(out, insight)
    _slos(out, insight)
    _drift(out, insight)
    _declared(out, insight)
    _imported(out, insight)
    return out.text() + (f"\nPage  {out.plain(page_path)}\n" if page_path else "")


def _cut(shown: int, known: int) -> str:
    return f"{shown} of {known}; all are on the page" if shown < known else ""


def _rows(out: Out, grid: Table) -> None:
    out.console.print(Padding(grid, (0, 0, 0, 2)))


def _services(out: Out, insight: Insight) -> None:
    if not insight.services:
        return
    critical = any(s.share_text for s in insight.services)
    order = "by their part of the critical paths" if critical else "by p95"
    rows = insight.services[:MAX_SERVICES]
    out.title("Services", _cut(len(rows), len(insight.services)) or order)
    grid = out.grid(
        (0, "left", False),
        (8, "right", False),
        (10, "right", False),
        (9, "right", False),
        (9, "right", False),
        (7, "right", False),
    )
    grid.add_row(*(out.of(h, "dim") for h in ("", "path", "requests", "p50", "p99", "errors")))
    for s in rows:
        grid.add_row(
            out.of(s.service, "bold"),
            out.of(s.share_text),
            out.of(s.calls_text),
            out.of(s.timing.p50),
            out.of(s.timing.p99),
            out.of(s.errors_text.partition(" ")[0], STYLES[s.tone]),
        )
    _rows(out, grid)


def _operations(out: Out, document: Document) -> None:
    rows = document.operations[:MAX_OPERATIONS]
    if not rows:
        return
    out.title("Slowest operations", _cut(len(rows), len(document.operations)))
    grid = out.grid(
        (0, "left", False), (9, "right", False), (9, "right", False), (9, "right", False), (9, "right", False)
    )
    grid.add_row(*(out.of(h, "dim") for h in ("", "own p50", "p50", "p95", "p99.9")))
    for o in rows:
        name = Text.assemble(out.of(o.service, "bold"), out.of(f" {o.name}"))
        grid.add_row(name, *(out.of(v) for v in (o.self_p50, o.timing.p50, o.timing.p95, o.timing.p999)))
    _rows(out, grid)


def _causes(out: Out, insight: Insight) -> None:
    if not insight.causes:
        return
    rows = insight.causes[:MAX_CAUSES]
    out.title("Causes", _cut(len(rows), len(insight.causes)))
    for cause in rows:
        grid = out.grid((5, "left", False), (0, "left", True))
        grid.add_row(out.sign(cause.tone), out.of(cause.title, "bold"))
        for label, value in _said(cause):
            if value:
                grid.add_row(out.of(label, "dim"), out.of(value))
        out.console.print(Padding(grid, (0, 0, 1, 2)))


def _said(cause: CauseRow) -> list[tuple[str, str]]:
    owner = cause.owner or "no owner is declared"
    return [
        ("what", f"{cause.symptom}, {cause.tally}"),
        ("who", f"{cause.service} {cause.operation} ({cause.blame})"),
        ("tell", f"{owner}, on call: {cause.on_call}" if cause.on_call else owner),
        ("path", " › ".join(cause.path)),
        ("trace", cause.examples[0].id if cause.examples else ""),
    ]


def _contrasts(out: Out, insight: Insight) -> None:
    rows = insight.contrasts[:MAX_CONTRASTS]
    if not rows:
        return
    out.title("What bad traces have in common", _cut(len(rows), len(insight.contrasts)))
    grid = out.grid((0, "left", False), (9, "right", False), (9, "right", False))
    grid.add_row(*(out.of(h, "dim") for h in ("", "bad ones", "good ones")))
    for c in rows:
        grid.add_row(
            Text.assemble(out.of(c.service, "bold"), out.of(f" {c.attribute} = {c.value}")),
            *(out.of(share.partition(" (")[0]) for share in (c.bad, c.good)),
        )
    _rows(out, grid)


def _patterns(out: Out, insight: Insight) -> None:
    rows = insight.patterns[:MAX_PATTERNS]
    if not rows:
        return
    out.title("Wasteful calls", _cut(len(rows), len(insight.patterns)))
    grid = out.grid((1, "left", False), (0, "left", True))
    for p in rows:
        grid.add_row(out.sign(Tone.WARN), out.of(p.message))
        grid.add_row("", out.of(f"{p.kind}, {p.tally}, costs {p.cost} at the median", "dim"))
    _rows(out, grid)


def _slos(out: Out, insight: Insight) -> None:
    slos = insight.slos
    if slos is None:
        return
    rows = slos.rows[:MAX_SLOS]
    out.title("Objectives", slos.summary)
    grid = out.grid((1, "left", False), (0, "left", True))
    for r in rows:
        grid.add_row(out.sign(r.tone), Text.assemble(out.of(r.name, "bold"), out.of(f"  {r.service}: {r.objective}")))
        told = f"; tell {r.owner}" if r.owner and r.tone is Tone.BAD else ""
        grid.add_row("", out.of(f"{r.state}: {r.share_text}; budget {r.budget}{told}", "dim"))
    _rows(out, grid)
    out.below(_cut(len(rows), len(slos.rows)))
    for outer, said, tone in slos.checks:
        out.below(f"{SIGNS[tone]} {outer}: {said}")


def _drift(out: Out, insight: Insight) -> None:
    drift = insight.drift
    if drift is None:
        return
    out.title("Drift", f"against {drift.before}: {drift.summary}")
    grid = out.grid((1, "left", False), (0, "left", True))
    for said in drift.regressed[:MAX_CHANGES]:
        grid.add_row(out.sign(Tone.BAD), out.of(said))
    for e in drift.edges[:MAX_CHANGES]:
        grid.add_row(out.sign(e.tone), out.of(f"{e.source} → {e.target} {e.change}: {e.message}"))
    _rows(out, grid)


def _declared(out: Out, insight: Insight) -> None:
    rows = insight.declared[:MAX_DECLARED]
    if not rows:
        return
    out.title("Declared against observed", _cut(len(rows), len(insight.declared)))
    grid = out.grid((1, "left", False), (0, "left", True))
    for r in rows:
        grid.add_row(out.sign(r.tone), out.of(r.message))
        if r.cure:
            grid.add_row("", out.of(r.cure, "dim"))
    _rows(out, grid)


def _imported(out: Out, insight: Insight) -> None:
    if not insight.imported:
        return
    rows = insight.imported[:MAX_FILES]
    out.title("Import", insight.imported_summary)
    grid = out.grid((1, "left", False), (0, "left", True))
    for f in rows:
        grid.add_row(out.sign(f.tone), out.of(f"{f.name}  {f.format}, {f.size}"))
        for said in (f.problem, *(f"{n}× {why}{f' (as {shown})' if shown else ''}" for why, n, shown in f.losses)):
            if said:
                grid.add_row("", out.of(said, "dim"))
    _rows(out, grid)
    out.below(_cut(len(rows), len(insight.imported)))
