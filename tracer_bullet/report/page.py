"""The report as one offline HTML page.

Nothing is fetched: style, scripts and the layout library are inside, and a Content Security
Policy lets only them run, by hash. Foreign text reaches the page through Jinja's escaping or
as JSON that scripts place with `textContent`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tracer_bullet.model import NodeKind
from tracer_bullet.report.graph_view import KIND_TEXT, cut_graph
from tracer_bullet.report.shape import Document, EdgeView, GraphView, NodeView

MAX_NODES = 150
MAX_EDGES = 400


def render_page(document: Document) -> str:
    """The page as HTML5 text, to be written as UTF-8."""
    graph = cut_graph(document.graph, max_nodes=MAX_NODES, max_edges=MAX_EDGES)
    style, head, scripts = _asset("page.css"), _asset("head.js"), (_dagre(), _asset("map.js"), _asset("tables.js"))
    used = {n.kind for n in graph.nodes}
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            doc=document,
            graph=graph,
            map_data=_map_data(graph),
            legend=[(kind.value, label) for kind, label in KIND_TEXT.items() if kind in used],
            style=Markup(style),  # noqa: S704 - our own files, hashed below
            head_script=Markup(head),  # noqa: S704
            scripts=[Markup(s) for s in scripts],  # noqa: S704
            policy=_policy([style], [head, *scripts]),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tracer_bullet.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    return files("tracer_bullet.report").joinpath("static", name).read_text(encoding="utf-8")


def _dagre() -> str:
    """The layout library behind its licence, without the pointer to its source map (a file we do not ship)."""
    code = _asset("vendor/dagre.min.js").partition("\n//# sourceMappingURL")[0]
    return f"/*! @dagrejs/dagre\n{_asset('vendor/LICENSE.dagre')}*/\n{code}\n"


def _policy(styles: list[str], scripts: list[str]) -> str:
    """A Content Security Policy (CSP Level 3, section 2.3.1) that allows these inline texts and nothing else."""

    def sources(texts: list[str]) -> str:
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts)

    return (
        f"default-src 'none'; script-src {sources(scripts)}; style-src {sources(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _map_data(graph: GraphView) -> dict[str, Any]:
    return {"nodes": [_map_node(n) for n in graph.nodes], "edges": [_map_edge(e) for e in graph.edges]}


def _map_node(node: NodeView) -> dict[str, Any]:
    plain = node.kind in (NodeKind.SERVICE, NodeKind.HARNESS)
    return {
        "key": node.key,
        "name": node.name,
        "sub": node.system or node.kind_text,
        "kind": node.kind.value,
        "tone": node.tone.value,
        "alert": node.badge,
        "aria": f"{node.name}, {node.kind_text}"
        + (f", {node.system}" if node.system and not plain else "")
        + (f", {node.badge}" if node.badge else ""),
    }


def _map_edge(edge: EdgeView) -> dict[str, Any]:
    said = [edge.label, edge.label_alert, edge.writes_text if edge.writes or edge.undecided else ""]
    return {
        "key": edge.key,
        "source": edge.source,
        "target": edge.target,
        "label": edge.label,
        "alert": edge.label_alert,
        "writes": ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in edge.decisions),
        "later": edge.asynchronous,
        "tone": edge.tone.value,
        "aria": f"{edge.source_name} to {edge.target_name}: {', '.join(s for s in said if s)}",
    }
