"""The service graph as Graphviz DOT (graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from tracer_bullet.model import NodeKind
from tracer_bullet.report.shape import Document, EdgeView, NodeView, Tone

_SHAPES = {
    NodeKind.HARNESS: 'shape=oval, style="bold"',
    NodeKind.SERVICE: 'shape=box, style="rounded"',
    NodeKind.STORE: "shape=cylinder",
    NodeKind.QUEUE: "shape=cds",
    NodeKind.THIRD_PARTY: "shape=hexagon",
    NodeKind.PEER: 'shape=box, style="dashed"',
}


def render_dot(document: Document) -> str:
    """A digraph of the whole graph; equal documents give equal bytes. Ids are the graph's own, quoted."""
    ids = {n.key: _quote(n.id) for n in document.graph.nodes}
    rows = [
        f"digraph {_quote(document.scenario)} {{",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9];',
        *(f"  {ids[n.key]} [{_node(n)}];" for n in document.graph.nodes),
        *(f"  {ids[e.source]} -> {ids[e.target]} [{_edge(e)}];" for e in document.graph.edges),
        "}",
    ]
    return "\n".join(rows) + "\n"


def _node(node: NodeView) -> str:
    lines = [node.name, node.system or node.kind_text, node.badge]
    alert = ', color="#b3261e", fontcolor="#b3261e", penwidth=2' if node.tone is Tone.BAD else ""
    return f"label={_label(lines)}, {_SHAPES[node.kind]}{alert}"


def _edge(edge: EdgeView) -> str:
    label = _label([edge.label, edge.label_alert, edge.writes_text if edge.writes or edge.undecided else ""])
    dashed = ", style=dashed" if edge.asynchronous else ""
    alert = ', color="#b3261e", fontcolor="#b3261e", penwidth=2' if edge.tone is Tone.BAD else ""
    return f"label={label}{dashed}{alert}"


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _label(lines: list[str]) -> str:
    r"""Lines joined by `\n`; `&` is written out, because labels read HTML entities."""
    shown = [_quote(one.replace("&", "&amp;"))[1:-1] for one in lines if one]
    return '"' + "\\n".join(shown) + '"'
