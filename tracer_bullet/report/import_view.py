"""What an import read, and what it lost or repaired."""

from __future__ import annotations

from tracer_bullet.model.imported import ImportedFile, ImportReport
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.insight import ImportRow
from tracer_bullet.report.shape_base import Tone

_MAX_EXAMPLES = 3


def build_imported(report: ImportReport | None, limit: int) -> tuple[tuple[ImportRow, ...], str]:
    """Inputs that could not be read first, then those that lost something, then the others."""
    files = report.files if report is not None else ()
    ordered = sorted(files, key=lambda f: (not f.problem, not f.lost, not f.repaired))[:limit]
    return tuple(map(_row, ordered)), cut_note(len(ordered), len(files), "input", "those with losses first")


def import_summary(report: ImportReport | None) -> str:
    """`3 inputs, 1,204 spans in 88 traces; 12 lost, 4 repaired.`, or "" without an import."""
    if report is None:
        return ""
    lost = sum(n for f in report.files for n in f.lost.values())
    repaired = sum(n for f in report.files for n in f.repaired.values())
    seen = f"{text.plural(len(report.files), 'input')}, {text.plural(report.spans, 'span')}"
    held = f"{text.plural(lost, 'loss', 'losses')}, {text.plural(repaired, 'repair')}"
    return f"{seen} in {text.plural(report.traces, 'trace')}; {held}."


def _row(file: ImportedFile) -> ImportRow:
    losses = [(f"lost: {why}", n, file.examples.get(why, ())) for why, n in sorted(file.lost.items())]
    losses += [(f"repaired: {why}", n, file.examples.get(why, ())) for why, n in sorted(file.repaired.items())]
    return ImportRow(
        name=text.line(file.name),
        format=text.line(file.format, 80) or "not recognised",
        spans=file.spans,
        size=f"{text.plural(file.spans, 'span')} in {text.plural(file.traces, 'trace')}",
        tone=Tone.BAD if file.problem else Tone.WARN if file.lost else Tone.GOOD,
        problem=text.line(file.problem),
        losses=tuple(
            (text.line(why), text.count(n), ", ".join(text.line(e, 80) for e in shown[:_MAX_EXAMPLES]))
            for why, n, shown in losses
        ),
    )
