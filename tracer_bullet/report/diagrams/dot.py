"""Graphviz DOT (graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from collections import defaultdict

from tracer_bullet.report.diagrams.diagram import ROLE_TEXT, Diagram, DiagramEdge, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids

_SHAPES = {
    Role.ENTRY: 'shape=oval, style="bold"',
    Role.SYSTEM: 'shape=box, style="rounded,bold"',
    Role.SERVICE: 'shape=box, style="rounded"',
    Role.OPERATION: "shape=box",
    Role.FOLDED: "shape=box3d",
    Role.STORE: "shape=cylinder",
    Role.QUEUE: "shape=cds",
    Role.THIRD_PARTY: "shape=hexagon",
    Role.PEER: 'shape=box, style="dashed"',
}


class Dot:
    """A digraph, groups as clusters."""

    name = "dot"
    picture = True
    counted = False
    levels = tuple(Level)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        ids = plain_ids((n.id, n.role.value, n.name) for n in diagram.nodes)
        frames = plain_ids((g.id, "cluster", g.name) for g in diagram.groups)
        members: dict[str, list[DiagramNode]] = defaultdict(list)
        for node in diagram.nodes:
            members[node.group].append(node)
        rows = [
            *(f"// {note}" for note in diagram.notes),
            f"digraph {_quote(diagram.name)} {{",
            "  rankdir=LR;",
            '  node [fontname="Helvetica", fontsize=11];',
            '  edge [fontname="Helvetica", fontsize=9];',
            *(f'  "{ids[n.id]}" [{_node(n)}];' for n in members[""]),
        ]
        for group in diagram.groups:
            if members[group.id]:
                rows += [f'  subgraph "{frames[group.id]}" {{', f"    label={_label([group.name])};"]
                rows += [f'    "{ids[n.id]}" [{_node(n)}];' for n in members[group.id]]
                rows.append("  }")
        rows += [f'  "{ids[e.source]}" -> "{ids[e.target]}"{_edge(e)};' for e in diagram.edges]
        return "\n".join([*rows, "}"]) + "\n"


def _node(node: DiagramNode) -> str:
    second = node.system or ("" if node.role in (Role.OPERATION, Role.FOLDED) else ROLE_TEXT[node.role])
    return f"label={_label([node.name, second, *node.details])}, {_SHAPES[node.role]}"


def _edge(edge: DiagramEdge) -> str:
    said = [*edge.label, edge.alert]
    parts = [f"label={_label(said)}"] if any(said) else []
    parts += ["style=dashed"] if edge.asynchronous else []
    parts += ['color="#d55e00"', "penwidth=2"] if edge.alert else []
    return f" [{', '.join(parts)}]" if parts else ""


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _label(lines: list[str]) -> str:
    r"""Lines joined by `\n`; `&` is written out, because labels read HTML entities."""
    shown = [_quote(one.replace("&", "&amp;"))[1:-1] for one in lines if one]
    return '"' + "\\n".join(shown) + '"'
