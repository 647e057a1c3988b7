"""A Mermaid flowchart (mermaid.js.org/syntax/flowchart.html), to paste into Markdown."""

from __future__ import annotations

import re
from collections import defaultdict

from tracer_bullet.report.diagrams.diagram import ROLE_TEXT, Diagram, DiagramEdge, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.fold import cut
from tracer_bullet.report.diagrams.ids import plain_ids

# Mermaid refuses more than 500 edges (maxEdges) and 50,000 characters (maxTextSize).
MAX_NODES = 300
MAX_EDGES = 450
MAX_CHARS = 48_000

_SHAPES = {
    Role.ENTRY: ('(["', '"])'),
    Role.SYSTEM: ('[["', '"]]'),
    Role.SERVICE: ('("', '")'),
    Role.OPERATION: ('["', '"]'),
    Role.FOLDED: ('[["', '"]]'),
    Role.STORE: ('[("', '")]'),
    Role.QUEUE: ('[["', '"]]'),
    Role.THIRD_PARTY: ('{{"', '"}}'),
    Role.PEER: ('["', '"]'),
}
_UNNAMED = (Role.ENTRY, Role.SYSTEM, Role.SERVICE, Role.OPERATION, Role.FOLDED)
# Every ASCII sign that Mermaid or its Markdown may read, but for `-`, `_` and `.` inside a word.
_ACTIVE = re.compile(r"(?<=[A-Za-z0-9])[-_.](?=[A-Za-z0-9])|([!-'*+\-.:-<>-@\[-`{-~])")
# Letters with which Mermaid writes entities in between; it reads them back even from entities.
_RESERVED = (("ﬂ°", "fl°"), ("¶ß", "¶ ß"))


class Mermaid:
    """`flowchart LR`, cut to what Mermaid accepts."""

    name = "mermaid"
    picture = True
    counted = False
    levels = tuple(Level)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        limit = MAX_EDGES
        while True:
            chart = _chart(cut(diagram, nodes=min(MAX_NODES, limit), edges=limit))
            if len(chart) <= MAX_CHARS or limit == 1:
                return chart
            limit = max(1, limit * 3 // 4)


def _chart(diagram: Diagram) -> str:
    # An id begins with its role, so that none is a keyword (`end`) or reads as an arrow's end (`o`, `x`).
    ids = plain_ids((n.id, n.role.value, n.name) for n in diagram.nodes)
    rows = ["flowchart LR", *(f"  %% {_comment(note)}" for note in diagram.notes)]
    members: dict[str, list[DiagramNode]] = defaultdict(list)
    for node in diagram.nodes:
        members[node.group].append(node)
    rows += [f"  {ids[n.id]}{_node(n)}" for n in members[""]]
    frames = plain_ids((g.id, "group", g.name) for g in diagram.groups)
    for group in diagram.groups:
        if members[group.id]:
            rows.append(f'  subgraph {frames[group.id]}["{_lines([group.name])}"]')
            rows += [f"    {ids[n.id]}{_node(n)}" for n in members[group.id]]
            rows.append("  end")
    rows += [f"  {ids[e.source]} {_edge(e)} {ids[e.target]}" for e in diagram.edges]
    rows += _styles(diagram)
    return "\n".join(rows) + "\n"


def _node(node: DiagramNode) -> str:
    before, after = _SHAPES[node.role]
    second = node.system or ("" if node.role in _UNNAMED else ROLE_TEXT[node.role])
    return before + _lines([node.name, second, *node.details]) + after


def _edge(edge: DiagramEdge) -> str:
    arrow = "-.->" if edge.asynchronous else "-->"
    said = [*edge.label, edge.alert]
    return f'{arrow}|"{_lines(said)}"|' if any(said) else arrow


def _styles(diagram: Diagram) -> list[str]:
    """Failing edges in a colour that all eyes tell from black, and thicker; the label says it too."""
    failing = ",".join(str(i) for i, e in enumerate(diagram.edges) if e.alert)
    return [f"  linkStyle {failing} stroke:#d55e00,stroke-width:3px"] if failing else []


def _lines(parts: list[str]) -> str:
    return "<br/>".join(_escape(p) for p in parts if p) or "#32;"


def _escape(value: str) -> str:
    for pair, instead in _RESERVED:
        value = value.replace(pair, instead)
    return _ACTIVE.sub(lambda m: f"#{ord(m[1])};" if m[1] else m[0], value)


def _comment(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9 .,:()]", " ", value)
