"""Diagrams of a service graph: one value, `Diagram`, at three levels, and one file a format.

`draw` is the way in. Must not: know a run, a page or a document. All is pure but the SVG, for which Graphviz is run.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracer_bullet.errors import UsageError
from tracer_bullet.model import ServiceGraph
from tracer_bullet.report.diagrams.backstage import Backstage
from tracer_bullet.report.diagrams.build import Frame, build_diagram
from tracer_bullet.report.diagrams.d2 import D2
from tracer_bullet.report.diagrams.diagram import Diagram, DiagramEdge, DiagramGroup, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.dot import Dot
from tracer_bullet.report.diagrams.fold import Limits, fold
from tracer_bullet.report.diagrams.formats import DiagramFormat
from tracer_bullet.report.diagrams.mermaid import Mermaid
from tracer_bullet.report.diagrams.spigo import Spigo
from tracer_bullet.report.diagrams.structurizr import Structurizr
from tracer_bullet.report.diagrams.svg import Svg
from tracer_bullet.report.diagrams.vizceral import Vizceral
from tracer_bullet.workspace.mistakes import suggest

__all__ = [
    "FORMATS",
    "Diagram",
    "DiagramEdge",
    "DiagramFormat",
    "DiagramGroup",
    "DiagramNode",
    "Frame",
    "Level",
    "Limits",
    "Role",
    "build_diagram",
    "draw",
    "fold",
]

_ALL: tuple[DiagramFormat, ...] = (
    Mermaid(), Dot(), Svg(), D2(), Structurizr(), Vizceral(), Backstage(), Spigo(),
)  # fmt: skip
FORMATS: Mapping[str, DiagramFormat] = {one.name: one for one in _ALL}


def draw(
    graph: ServiceGraph, form: str, level: Level, frame: Frame, *, limits: Limits | None = None, full: bool = False
) -> str:
    """The graph in the format `form`. Pictures are folded to `limits`, unless `full` is asked for.

    Raises UsageError: TB550 and TB552 of Graphviz, TB551 when the graph does not know the level, TB553 when the
    format does not, TB554 for no format.
    """
    if form not in FORMATS:
        raise UsageError("TB554", f"no diagram format {form!r}", cure=suggest(form, FORMATS) or ", ".join(FORMATS))
    found = FORMATS[form]
    if level not in found.levels:
        levels = ", ".join(found.levels)
        raise UsageError("TB553", f"{form} cannot say the level {level.value}", cure=f"--level {levels}")
    if found.counted and not frame.counts:
        raise UsageError("TB553", f"{form} is made of numbers", cure="leave --counts off away")
    diagram = build_diagram(graph, level, frame)
    return found.render(fold(diagram, limits) if found.picture and not full else diagram)
