"""One document of a run, and what is made from it: terminal, page, JUnit, JSON; and diagrams of a graph (`diagrams/`).

Must not: judge, query spans, read clocks, or touch files and sockets; every output is a function to text (but the
SVG of a diagram, which Graphviz draws). Renderers import their libraries when they are used, so import them from
their modules (`report.page`, `report.terminal`).
Posture: a report fails soft. Foreign text is cleaned when the document is built and escaped
by each output, so that no span name can break a page, a parser or a terminal.
"""

from tracer_bullet.report.document import build_document
from tracer_bullet.report.junit import render_junit
from tracer_bullet.report.machine import render_json
from tracer_bullet.report.shape import Document

__all__ = ["Document", "build_document", "render_json", "render_junit"]
