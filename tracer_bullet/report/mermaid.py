"""The service graph as a Mermaid flowchart (mermaid.js.org/syntax/flowchart.html), to paste into Markdown."""

from __future__ import annotations

import re

from tracer_bullet.model import NodeKind
from tracer_bullet.report.graph_view import cut_graph
from tracer_bullet.report.shape import Document, EdgeView, GraphView, NodeView, Tone

# Mermaid refuses more than 500 edges (maxEdges) and 50,000 characters (maxTextSize).
MAX_NODES = 300
MAX_EDGES = 450
MAX_CHARS = 48_000

_SHAPES = {
    NodeKind.HARNESS: ('(["', '"])'),
    NodeKind.SERVICE: ('("', '")'),
    NodeKind.STORE: ('[("', '")]'),
    NodeKind.QUEUE: ('[["', '"]]'),
    NodeKind.THIRD_PARTY: ('{{"', '"}}'),
    NodeKind.PEER: ('["', '"]'),
}
# Every ASCII sign that Mermaid or its Markdown may read, but for `-`, `_` and `.` inside a word.
_ACTIVE = re.compile(r"(?<=[A-Za-z0-9])[-_.](?=[A-Za-z0-9])|([!-'*+\-.:-<>-@\[-`{-~])")
# Letters with which Mermaid writes entities in between; it reads them back even from entities.
_RESERVED = (("ﬂ°", "fl°"), ("¶ß", "¶ ß"))


def render_mermaid(document: Document) -> str:
    """A `flowchart LR`; equal documents give equal bytes.

    Cut to what Mermaid accepts, the failing and busiest parts first; a comment says so.
    """
    limit = MAX_EDGES
    while True:
        chart = _chart(cut_graph(document.graph, max_nodes=min(MAX_NODES, limit), max_edges=limit))
        if len(chart) <= MAX_CHARS or limit == 1:
            return chart
        limit = max(1, limit * 3 // 4)


def _chart(view: GraphView) -> str:
    ids = _ids(view.nodes)
    rows = ["flowchart LR"]
    rows += [f"  %% {_comment(view.note)}"] if view.note else []
    rows += [f"  {ids[n.key]}{_node(n)}" for n in view.nodes]
    rows += [f"  {ids[e.source]} {_edge(e)} {ids[e.target]}" for e in view.edges]
    rows += _styles(view, ids)
    return "\n".join(rows) + "\n"


def _ids(nodes: tuple[NodeView, ...]) -> dict[str, str]:
    """Ids of `[a-z0-9_]` that start with the kind, so none is a keyword or reads as an edge's end."""
    taken: set[str] = set()
    result = {}
    for node in nodes:
        slug = re.sub(r"[^a-z0-9]+", "_", node.name.lower()).strip("_")[:60]
        base = f"{node.kind.value}_{slug}".rstrip("_")
        name, n = base, 1
        while name in taken:
            n += 1
            name = f"{base}__{n}"
        taken.add(name)
        result[node.key] = name
    return result


def _node(node: NodeView) -> str:
    before, after = _SHAPES[node.kind]
    second = node.system or ("" if node.kind in (NodeKind.SERVICE, NodeKind.HARNESS) else node.kind_text)
    return before + _lines([node.name, second, node.badge]) + after


def _edge(edge: EdgeView) -> str:
    arrow = "-.->" if edge.asynchronous else "-->"
    label = _lines([edge.label, edge.label_alert, edge.writes_text if edge.writes or edge.undecided else ""])
    return f'{arrow}|"{label}"|'


def _styles(view: GraphView, ids: dict[str, str]) -> list[str]:
    bad = ",".join(ids[n.key] for n in view.nodes if n.tone is Tone.BAD)
    rows = ["  classDef bad stroke:#b3261e,stroke-width:3px", f"  class {bad} bad"] if bad else []
    lines = ",".join(str(i) for i, e in enumerate(view.edges) if e.tone is Tone.BAD)
    return rows + ([f"  linkStyle {lines} stroke:#b3261e,stroke-width:3px"] if lines else [])


def _lines(parts: list[str]) -> str:
    return "<br/>".join(_escape(p) for p in parts if p) or "#32;"


def _escape(value: str) -> str:
    for pair, instead in _RESERVED:
        value = value.replace(pair, instead)
    return _ACTIVE.sub(lambda m: f"#{ord(m[1])};" if m[1] else m[0], value)


def _comment(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9 .,:()]", " ", value)
