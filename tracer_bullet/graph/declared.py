"""What the catalog declares against what the graph shows. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Final

from tracer_bullet.model import Catalog, CatalogFinding, Entity, Node, NodeKind, ServiceGraph
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.refs import short_ref

# What is built in or read, and so makes no spans of its own.
UNSEEN_TYPES: Final = frozenset({"library", "documentation", "package", "template"})
# A dependency that one request in a hundred uses is one that we want to be able to see.
RARE: Final = 0.01
CONFIDENCE: Final = 0.95
REQUESTS_NEEDED: Final = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - RARE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """That a node needs another: the caller of an edge, or the service that a queue delivers to."""

    user: Node
    used: Node
    calls: int


def compare_declared(catalog: Catalog, graph: ServiceGraph, today: date) -> tuple[CatalogFinding, ...]:
    """How declarations and observations differ, errors first; the rules are those of docs/catalog.md."""
    entities = entities_of(catalog, graph)
    found = [
        *_undeclared(graph, entities),
        *_unused(catalog, graph, entities),
        *_nodes_without_entity(catalog, graph, entities),
        *_never_observed(catalog, graph, entities),
        *(finding for entity in catalog.entities for finding in _about(catalog, entity, today)),
    ]
    return tuple(sorted(found, key=lambda f: (not f.error, f.rule, f.entity, f.message)))


def uses_of(graph: ServiceGraph) -> tuple[Use, ...]:
    """Who needs whom, once a pair, sorted. What the harness calls and what calls itself is left out."""
    nodes = {n.id: n for n in graph.nodes}
    calls: dict[tuple[str, str], int] = {}
    for edge in graph.edges:
        ends = (edge.source, edge.target)
        # A consumer reads from its queue: it is the one that needs it.
        user, used = reversed(ends) if nodes[edge.source].kind is NodeKind.QUEUE else ends
        if NodeKind.HARNESS not in (nodes[user].kind, nodes[used].kind) and user != used:
            calls[user, used] = calls.get((user, used), 0) + edge.calls
    return tuple(Use(user=nodes[a], used=nodes[b], calls=n) for (a, b), n in sorted(calls.items()))


def entity_of(catalog: Catalog, node: Node) -> Entity | None:
    """The entity that declares a node: by its id, its id without the kind, or its name in spans, in this order.

    A whole name goes before a glob; a Component is looked for first for a service, a Resource for all else.
    """
    if node.kind is NodeKind.HARNESS:
        return None
    ordered = sorted(catalog.entities, key=lambda e: e.is_resource is (node.kind is NodeKind.SERVICE))
    for matches in (lambda name, glob: name == glob, fnmatchcase):
        for name in names_of(node):
            for entity in ordered:
                if matches(name.lower(), entity.service.lower()):
                    return entity
    return None


def names_of(node: Node) -> tuple[str, ...]:
    """What an entity may call a node, the most exact first."""
    return tuple(dict.fromkeys((node.id, node.id.partition(":")[2], node.name)))


def entities_of(catalog: Catalog, graph: ServiceGraph) -> dict[str, Entity]:
    """The entity of each node that has one, by node id."""
    found = {node.id: entity_of(catalog, node) for node in graph.nodes}
    return {node_id: entity for node_id, entity in found.items() if entity is not None}


def _undeclared(graph: ServiceGraph, entities: Mapping[str, Entity]) -> Iterator[CatalogFinding]:
    for use in uses_of(graph):
        user, used = entities.get(use.user.id), entities.get(use.used.id)
        if user is None or user is used or (used is not None and used.ref in user.depends_on):
            continue
        if used is not None:
            ref = short_ref(used.ref)
            message = f"{use.user.name} uses {use.used.name} ({_times(use.calls)}), which dependsOn does not name"
            cure = f"add `{ref}` to dependsOn, or run `tracer-bullet catalog sync`"
        elif use.used.kind is NodeKind.SERVICE:
            continue  # told once, of the service
        else:
            message = f"{use.user.name} uses {_named(use.used)} ({_times(use.calls)}), which no entity declares"
            cure = _cure_for(use.used)
        yield CatalogFinding(
            rule="undeclared-dependency",
            entity=user.ref,
            message=message,
            cure=cure,
            where=user.where,
            error=use.used.kind is not NodeKind.PEER,
        )


def _cure_for(node: Node) -> str:
    if node.kind is NodeKind.PEER:
        return f"declare a Resource with the annotation `tracer-bullet/service: {node.name}`, and depend on it"
    return "run `tracer-bullet catalog sync --write`, which makes a Resource for it"


def _unused(catalog: Catalog, graph: ServiceGraph, entities: Mapping[str, Entity]) -> Iterator[CatalogFinding]:
    used: dict[str, set[str]] = {}
    for use in uses_of(graph):
        if use.user.id in entities and use.used.id in entities:
            used.setdefault(entities[use.user.id].ref, set()).add(entities[use.used.id].ref)
    requests = _requests(graph, entities)
    by_ref = {e.ref: e for e in catalog.entities}
    for user in catalog.entities:
        seen = requests.get(user.ref)
        for ref, where in zip(user.depends_on, user.depends_at or ("",) * len(user.depends_on), strict=True):
            target = by_ref.get(ref)
            if seen is None or target is None or target.type in UNSEEN_TYPES or ref in used.get(user.ref, set()):
                continue
            yield CatalogFinding(
                rule="unused-dependency",
                entity=user.ref,
                message=f"{short_ref(ref)} is declared, and was not used in {_plural(seen, 'request')} of {user.name}; "
                + _confidence(seen),
                cure="remove it from dependsOn, or let scenarios reach what uses it",
                where=where or user.where,
                error=False,
            )


def _confidence(requests: int) -> str:
    """What so many requests without a use say: were a share p used, all would miss it with (1−p)ⁿ."""
    if requests >= REQUESTS_NEEDED:
        most = 1 - (1 - CONFIDENCE) ** (1 / requests)
        return f"at 95 %, at most {most:.2%} of its requests use it"
    return f"it takes {REQUESTS_NEEDED} to say at 95 % that not even 1 in {round(1 / RARE)} uses it"


def _requests(graph: ServiceGraph, entities: Mapping[str, Entity]) -> dict[str, int]:
    """How many requests of each observed entity were looked at."""
    requests: dict[str, int] = {}
    for node in graph.nodes:
        if node.id in entities:
            ref = entities[node.id].ref
            requests[ref] = requests.get(ref, 0) + node.calls
    return requests


def _nodes_without_entity(
    catalog: Catalog, graph: ServiceGraph, entities: Mapping[str, Entity]
) -> Iterator[CatalogFinding]:
    names = [e.service for e in catalog.entities]
    for node in graph.nodes:
        if node.kind is NodeKind.SERVICE and node.id not in entities:
            guess = suggest(node.name, names)
            yield CatalogFinding(
                rule="service-without-entity",
                entity=node.name,
                message=f"the service {node.name} was observed ({_plural(node.calls, 'request')}), and no entity is it",
                cure=f"{guess} Then annotate it with `tracer-bullet/service: {node.name}`"
                if guess
                else "run `tracer-bullet catalog sync --write`, and say who owns it",
            )


def _never_observed(catalog: Catalog, graph: ServiceGraph, entities: Mapping[str, Entity]) -> Iterator[CatalogFinding]:
    observed = _requests(graph, entities)
    names = [n.name for n in graph.nodes if n.kind is not NodeKind.HARNESS and n.id not in entities]
    for entity in catalog.entities:
        if entity.ref not in observed and entity.type not in UNSEEN_TYPES:
            yield CatalogFinding(
                rule="never-observed",
                entity=entity.ref,
                message=f"{entity.service} was not observed in {_plural(graph.traces, 'trace')}",
                cure=suggest(entity.service, names) or "fire a scenario that reaches it, or remove it",
                where=entity.where,
                error=False,
            )


def _about(catalog: Catalog, entity: Entity, today: date) -> Iterator[CatalogFinding]:
    """What is wrong with an entity by itself."""

    def finding(rule: str, message: str, cure: str, *, where: str = "", error: bool = True) -> CatalogFinding:
        return CatalogFinding(
            rule=rule, entity=entity.ref, message=message, cure=cure, where=where or entity.where, error=error
        )

    if not entity.owner:
        yield finding("no-owner", f"nobody owns {entity.name}", "add `owner:` to its spec")
    elif catalog.owners and entity.owner not in catalog.owners:
        cure = suggest(entity.owner, catalog.owners) or "describe the Group or User in the catalog"
        yield finding("unknown-owner", f"{entity.owner} is no Group or User of the catalog", cure)
    if not entity.on_call and not entity.is_resource and entity.type not in UNSEEN_TYPES:
        cure = "add the annotation `tracer-bullet/on-call` to it, or to its owner"
        yield finding("no-on-call", f"nobody is on call for {entity.name}", cure, error=False)
    yield from _unknown_dependencies(catalog, entity)
    if entity.review_days:
        due = _due(entity)
        if due is None or due < today:
            said = "was never reviewed" if due is None else f"was reviewed on {entity.reviewed}, good until {due}"
            cure = "read it again, then set `tracer-bullet/reviewed` to today"
            yield finding("review-due", f"{entity.name} {said}", cure, error=False)


def _unknown_dependencies(catalog: Catalog, entity: Entity) -> Iterator[CatalogFinding]:
    known = {*(e.ref for e in catalog.entities), *catalog.owners, *catalog.others}
    for ref, where in zip(entity.depends_on, entity.depends_at or ("",) * len(entity.depends_on), strict=True):
        if ref not in known:
            yield CatalogFinding(
                rule="unknown-dependency",
                entity=entity.ref,
                message=f"dependsOn names {short_ref(ref)}, which the catalog does not describe",
                cure=suggest(ref, sorted(known)) or "describe it, or remove it",
                where=where or entity.where,
            )


def _due(entity: Entity) -> date | None:
    if not entity.reviewed:
        return None
    return date.fromisoformat(entity.reviewed) + timedelta(days=entity.review_days)


def _named(node: Node) -> str:
    words: Mapping[NodeKind, str] = {
        NodeKind.STORE: "the store",
        NodeKind.QUEUE: "the queue",
        NodeKind.THIRD_PARTY: "the third party",
        NodeKind.PEER: "the address",
    }
    return f"{words.get(node.kind, 'the service')} {node.name}"


def _times(calls: int) -> str:
    return "once" if calls == 1 else f"{calls:,} times"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
