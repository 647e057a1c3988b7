"""Structurizr DSL (docs.structurizr.com/dsl/language): a C4 model with one view of the level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tracer_bullet.report.diagrams.diagram import Diagram, DiagramEdge, DiagramGroup, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids

_TAGS = {
    Role.STORE: "Store",
    Role.QUEUE: "Queue",
    Role.THIRD_PARTY: "Third party",
    Role.PEER: "Peer",
    Role.FOLDED: "Folded",
}
_OUTSIDE = (Role.ENTRY, Role.THIRD_PARTY, Role.PEER, Role.SYSTEM)
_SYSTEM = "the_system"
_STYLES = """    styles {
      element "Element" {
        shape RoundedBox
      }
      element "Person" {
        shape Person
      }
      element "Store" {
        shape Cylinder
      }
      element "Queue" {
        shape Pipe
      }
      element "Third party" {
        shape Hexagon
      }
      element "Peer" {
        border dashed
      }
      relationship "Asynchronous" {
        style dotted
      }
      relationship "Failing" {
        color #d55e00
      }
    }"""


class Structurizr:
    """Services and stores are containers, operations components, what is outside systems of their own."""

    name = "structurizr"
    picture = False
    counted = False
    levels = tuple(Level)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        names = _unique_names(diagram)
        ids = plain_ids((n.id, n.role.value, n.name) for n in diagram.nodes)
        outside = [n for n in diagram.nodes if n.role in _OUTSIDE]
        inside = [n for n in diagram.nodes if n.role not in _OUTSIDE]
        rows = [f"# {note}" for note in diagram.notes]
        rows += [f'workspace {_text(diagram.name)} "" {{', "  model {"]
        for node in outside:
            rows += _element("    ", ids[node.id], node, names[node.id])
        if diagram.level is not Level.CONTEXT:
            rows.append(f'    {_SYSTEM} = softwareSystem {_text(names[_SYSTEM])} "" {{')
            rows += _containers(diagram, inside, ids, names)
            rows.append("    }")
        for edge in diagram.edges:
            rows += _relationship(ids[edge.source], ids[edge.target], edge)
        rows += ["  }", *_views(diagram, ids), "}"]
        return "\n".join(rows) + "\n"


def _unique_names(diagram: Diagram) -> dict[str, str]:
    """Names that are unique where they must be: systems and people among each other, containers, components."""
    scopes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    if diagram.level is not Level.CONTEXT:
        scopes["outside"].append((_SYSTEM, diagram.name))
    for node in diagram.nodes:
        inner = node.group if node.role is Role.OPERATION else "inside"
        scopes["outside" if node.role in _OUTSIDE else inner].append((node.id, node.name))
    if diagram.level is Level.OPERATIONS:
        scopes["inside"] += [(g.id, g.name) for g in diagram.groups]
    return {key: name for scope in scopes.values() for key, name in _numbered(scope)}


def _numbered(scope: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    taken: set[str] = set()
    for key, name in scope:
        found, n = _plain(name), 1
        while found.lower() in taken:
            n += 1
            found = f"{_plain(name)} ({n})"
        taken.add(found.lower())
        yield key, found


def _containers(
    diagram: Diagram, inside: list[DiagramNode], ids: dict[str, str], names: dict[str, str]
) -> Iterable[str]:
    members: dict[str, list[DiagramNode]] = defaultdict(list)
    for node in inside:
        members[node.group].append(node)
    for node in members[""]:
        yield from _element("      ", ids[node.id], node, names[node.id])
    frames = plain_ids((g.id, "container", g.name) for g in diagram.groups)
    for group in diagram.groups:
        if diagram.level is Level.OPERATIONS:
            yield f'      {frames[group.id]} = container {_text(names[group.id])} "" {{'
        elif members[group.id]:
            yield f"      group {_text(group.name)} {{"
        else:
            continue
        for node in members[group.id]:
            yield from _element("        ", ids[node.id], node, names[node.id])
        yield "      }"


def _element(indent: str, key: str, node: DiagramNode, name: str) -> Iterable[str]:
    kind = {
        Role.ENTRY: "person",
        Role.OPERATION: "component",
        **dict.fromkeys((Role.SYSTEM, Role.THIRD_PARTY, Role.PEER), "softwareSystem"),
    }.get(node.role, "container")
    technology = f" {_text(node.system)}" if node.system and kind in ("container", "component") else ""
    said = '"' + _plain("; ".join(node.details), "").replace('"', '\\"') + '"'
    body = [f"{indent}  tags {_text(_TAGS[node.role])}"] if node.role in _TAGS else []
    owner = [f"{indent}  properties {{", f'{indent}    "owner" {_text(node.owner)}', f"{indent}  }}"]
    body += owner if node.owner else []
    yield f"{indent}{key} = {kind} {_text(name)} {said}{technology}" + (" {" if body else "")
    if body:
        yield from body
        yield f"{indent}}}"


def _relationship(source: str, target: str, edge: DiagramEdge) -> Iterable[str]:
    said = "; ".join(one for one in (*edge.label, edge.alert) if one)
    said = said or ("sends to" if edge.asynchronous else "calls")
    tags = [t for t, on in (("Asynchronous", edge.asynchronous), ("Failing", bool(edge.alert))) if on]
    yield f"    {source} -> {target} {_text(said)}" + (" {" if tags else "")
    if tags:
        yield f"      tags {_text(','.join(tags))}"
        yield "    }"


def _views(diagram: Diagram, ids: dict[str, str]) -> Iterable[str]:
    yield "  views {"
    for head in _view_heads(diagram, ids):
        yield f"    {head} {{"
        yield "      include *"
        yield "      autoLayout lr"
        yield "    }"
    yield _STYLES
    yield "  }"


def _view_heads(diagram: Diagram, ids: dict[str, str]) -> Iterable[str]:
    if diagram.level is Level.CONTEXT:
        yield from (f'systemContext {ids[n.id]} "context"' for n in diagram.nodes if n.role is Role.SYSTEM)
        return
    yield f'container {_SYSTEM} "services"'
    if diagram.level is Level.OPERATIONS:
        frames = plain_ids((g.id, "container", g.name) for g in diagram.groups)
        yield from (f'component {frames[g.id]} "{frames[g.id]}"' for g in _with_members(diagram))


def _with_members(diagram: Diagram) -> Iterable[DiagramGroup]:
    used = {n.group for n in diagram.nodes}
    return (g for g in diagram.groups if g.id in used)


def _text(value: str) -> str:
    return '"' + _plain(value).replace('"', '\\"') + '"'


def _plain(value: str, instead: str = "(unnamed)") -> str:
    r"""A backslash cannot be written (`\n`, `\"` mean something, `\\` is two), and `${NAME}` reads the environment."""
    return value.replace("\\", "∖").replace("${", "$ {").strip() or instead
