"""D2 (d2lang.com): shapes with plain keys and quoted labels, groups as containers."""

from __future__ import annotations

from collections import defaultdict

from tracer_bullet.report.diagrams.diagram import ROLE_TEXT, Diagram, DiagramEdge, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids

_STYLES = {
    Role.ENTRY: "shape: person",
    Role.SYSTEM: "style.bold: true; style.border-radius: 8",
    Role.SERVICE: "style.border-radius: 8",
    Role.OPERATION: "shape: rectangle",
    Role.FOLDED: "style.multiple: true",
    Role.STORE: "shape: cylinder",
    Role.QUEUE: "shape: queue",
    Role.THIRD_PARTY: "shape: hexagon",
    Role.PEER: "style.stroke-dash: 3",
}


class D2:
    """Keys begin with the role, so that none is a reserved word (`label`, `shape`, `near`, `style`, …)."""

    name = "d2"
    picture = True
    counted = False
    levels = tuple(Level)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        keys = plain_ids((n.id, n.role.value, n.name) for n in diagram.nodes)
        frames = plain_ids((g.id, "group", g.name) for g in diagram.groups)
        members: dict[str, list[DiagramNode]] = defaultdict(list)
        for node in diagram.nodes:
            members[node.group].append(node)
        paths = {n.id: keys[n.id] if not n.group else f"{frames[n.group]}.{keys[n.id]}" for n in diagram.nodes}
        rows = [*(f"# {note}" for note in diagram.notes), "direction: right"]
        rows += [_node(keys[n.id], n) for n in members[""]]
        for group in diagram.groups:
            if members[group.id]:
                rows.append(f"{frames[group.id]}: {_label([group.name])} {{")
                rows += [f"  {_node(keys[n.id], n)}" for n in members[group.id]]
                rows.append("}")
        rows += [f"{paths[e.source]} -> {paths[e.target]}{_edge(e)}" for e in diagram.edges]
        return "\n".join(rows) + "\n"


def _node(key: str, node: DiagramNode) -> str:
    plain = (Role.SERVICE, Role.OPERATION, Role.FOLDED, Role.ENTRY, Role.SYSTEM)
    second = node.system or ("" if node.role in plain else ROLE_TEXT[node.role])
    return f"{key}: {_label([node.name, second, *node.details])} {{{_STYLES[node.role]}}}"


def _edge(edge: DiagramEdge) -> str:
    said = [*edge.label, edge.alert]
    styles = ["style.stroke-dash: 3"] if edge.asynchronous else []
    styles += ['style.stroke: "#d55e00"', "style.stroke-width: 4"] if edge.alert else []
    text = f" {_label(said)}" if any(said) else ""
    block = f" {{{'; '.join(styles)}}}" if styles else ""
    return f":{text}{block}" if text or block else ""


def _label(lines: list[str]) -> str:
    r"""Double quotes: `\`, `"` and `$` (of substitutions) mean something, the rest does not; `\n` is a new line."""
    shown = [one.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") for one in lines if one]
    return '"' + "\\n".join(shown) + '"'
