"""Everything that can be made again from a run folder: graph, page, JUnit."""

from __future__ import annotations

from collections.abc import Iterable

from tracer_bullet.graph import build_graph
from tracer_bullet.model import RunManifest, ServiceGraph, Span, System, Trace, Verdict
from tracer_bullet.report import Document, build_document, render_junit
from tracer_bullet.report.page import render_page
from tracer_bullet.runs.store import read_spans
from tracer_bullet.workspace.runs import RunFolder, read_json, write_json, write_whole


def write_graph(folder: RunFolder, system: System) -> ServiceGraph:
    """Build `graph.json` from the span table."""
    graph = build_graph(folder.spans, system)
    write_json(folder.graph, graph)
    return graph


def load_document(folder: RunFolder) -> Document:
    """The report of a run, from its folder alone."""
    return build_document(
        read_json(folder.manifest, RunManifest),
        read_json(folder.verdict, Verdict),
        read_json(folder.graph, ServiceGraph),
        traces_of(read_spans(folder)),
    )


def write_outputs(folder: RunFolder) -> Document:
    """Write `report.html` and `junit.xml` from the other files."""
    document = load_document(folder)
    write_whole(folder.report, render_page(document).encode("utf-8", "replace"))
    write_whole(folder.junit, render_junit(document).encode("utf-8", "replace"))
    return document


def traces_of(spans: Iterable[Span]) -> list[Trace]:
    """Spans put together by trace id."""
    by_trace: dict[str, list[Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    return [Trace.of(trace_id, group) for trace_id, group in by_trace.items()]
