"""What the catalog would have to say to agree with the graph. Pure; workspace/catalog_edit.py writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tracer_bullet.graph.declared import entities_of, names_of, uses_of
from tracer_bullet.model import Catalog, Node, NodeKind, ServiceGraph
from tracer_bullet.workspace.refs import entity_name, ref_of

# Backstage's own words for types of Resources, where it has any.
_KIND_AND_TYPE: Final = {
    NodeKind.SERVICE: ("Component", "service"),
    NodeKind.STORE: ("Resource", "database"),
    NodeKind.QUEUE: ("Resource", "queue"),
    NodeKind.THIRD_PARTY: ("Resource", "third-party"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntity:
    """An entity for a node that has none. `service` is the node's name in spans; `depends_on` are refs."""

    ref: str
    kind: str
    name: str
    service: str
    type: str
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeclared:
    """`added`: by the ref of a described entity, the refs that its dependsOn lacks, sorted."""

    new: tuple[NewEntity, ...]
    added: Mapping[str, tuple[str, ...]]


def find_undeclared(catalog: Catalog, graph: ServiceGraph) -> Undeclared:
    """What was observed and is not declared.

    Addresses of which nothing more is known get no entity. Nothing is ever taken away: what was not observed may
    still be used.
    """
    refs = {node_id: entity.ref for node_id, entity in entities_of(catalog, graph).items()}
    taken = {*(e.ref for e in catalog.entities), *catalog.owners, *catalog.others}
    made: dict[str, tuple[Node, str, str, str]] = {}
    for node in graph.nodes:
        if node.id in refs or node.kind not in _KIND_AND_TYPE:
            continue
        kind, type_ = _KIND_AND_TYPE[node.kind]
        # Of a file, its name says enough.
        name = entity_name(node.name.rpartition("/")[2] if node.name.startswith("/") else node.name)
        if ref_of(name, kind, "default") in taken:
            name = entity_name(f"{node.id.partition(':')[2]} {node.kind.value}")
        ref = ref_of(name, kind, "default")
        if ref in taken:
            continue
        taken.add(ref)
        refs[node.id] = ref
        made[ref] = (node, kind, name, type_)
    wanted: dict[str, set[str]] = {}
    for use in uses_of(graph):
        if use.user.id in refs and use.used.id in refs and refs[use.user.id] != refs[use.used.id]:
            wanted.setdefault(refs[use.user.id], set()).add(refs[use.used.id])
    declared = {e.ref: set(e.depends_on) for e in catalog.entities}
    return Undeclared(
        new=tuple(
            NewEntity(
                ref=ref, kind=kind, name=name, service=_service(node, graph), type=type_,
                depends_on=tuple(sorted(wanted.get(ref, ()))),
            )
            for ref, (node, kind, name, type_) in sorted(made.items())
        ),
        added={
            ref: tuple(sorted(some - declared[ref]))
            for ref, some in sorted(wanted.items())
            if ref in declared and some - declared[ref]
        },
    )  # fmt: skip


def _service(node: Node, graph: ServiceGraph) -> str:
    """What the annotation must say: with the system where names of two could be one, the id where they still are."""
    said = node.id.partition(":")[2] if node.kind in (NodeKind.STORE, NodeKind.QUEUE) else node.name
    others = (n for n in graph.nodes if n is not node and n.kind is not NodeKind.HARNESS)
    kind = node.kind is NodeKind.SERVICE
    shared = any(
        said.lower() in (name.lower() for name in names_of(n)) for n in others if (n.kind is NodeKind.SERVICE) is kind
    )
    return node.id if shared else said
