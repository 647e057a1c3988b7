"""Backstage's catalog-info.yaml (backstage.io/docs/features/software-catalog/descriptor-format) with `dependsOn`."""

from __future__ import annotations

import json
import re
from collections import defaultdict

from tracer_bullet.report.diagrams.diagram import ROLE_TEXT, Diagram, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids

MAX_NAME = 63
NAME_ANNOTATION = "tracer-bullet/service"
_LEGAL = re.compile(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*")
_UNKNOWN = "unknown"


class Backstage:
    """A Component for each service, a Resource for each store, queue, third party and peer; the harness is none.

    YAML whose scalars are JSON strings. Names are kept where Backstage takes them, else made plain; the annotation
    `tracer-bullet/service` (docs/catalog.md) always holds the name as traces have it. Nobody knows an owner or a
    lifecycle from traces: where a catalog does not say the owner, both are `unknown`.
    """

    name = "backstage"
    picture = False
    counted = False
    levels = (Level.SERVICES,)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        shown = [n for n in diagram.nodes if n.role is not Role.ENTRY]
        refs = _refs([n for n in shown if n.role is Role.SERVICE], "component")
        refs |= _refs([n for n in shown if n.role is not Role.SERVICE], "resource")
        depends: dict[str, set[str]] = defaultdict(set)
        for edge in diagram.edges:
            if edge.source in refs and edge.target in refs and edge.source != edge.target:
                depends[edge.source].add(refs[edge.target])
        systems = {g.id: g.name for g in diagram.groups}
        parts = [_entity(n, refs[n.id], sorted(depends[n.id]), systems.get(n.group, "")) for n in shown]
        return "---\n".join(parts) or "# nothing was seen\n"


def _refs(nodes: list[DiagramNode], kind: str) -> dict[str, str]:
    """Node id → entity ref; legal names are kept as long as they are the only ones so, whatever their case."""
    legal = [n for n in nodes if len(n.name) <= MAX_NAME and _LEGAL.fullmatch(n.name)]
    seen: dict[str, list[DiagramNode]] = defaultdict(list)
    for node in legal:
        seen[node.name.lower()].append(node)
    kept = {some[0].id: some[0].name for some in seen.values() if len(some) == 1}
    rest = plain_ids(
        ((n.id, "" if n.name.strip() else kind, n.name) for n in nodes if n.id not in kept),
        joint="-", limit=MAX_NAME, fallback=kind,
    )  # fmt: skip
    taken = {name.lower() for name in kept.values()}
    clashing = [(key, "other", name) for key, name in rest.items() if name in taken]
    rest |= plain_ids(clashing, joint="-", limit=MAX_NAME)
    return {key: f"{kind}:default/{name}" for key, name in (kept | rest).items()}


def _entity(node: DiagramNode, ref: str, depends: list[str], system: str) -> str:
    kind, _, name = ref.partition(":default/")
    rows = [
        "apiVersion: backstage.io/v1alpha1",
        f"kind: {kind.capitalize()}",
        "metadata:",
        f"  name: {_scalar(name)}",
        f"  title: {_scalar(node.name)}",
        "  annotations:",
        f"    {NAME_ANNOTATION}: {_scalar(node.name)}",
        "spec:",
        f"  type: {_scalar(_type(node))}",
    ]
    if node.role is Role.SERVICE:
        rows.append(f"  lifecycle: {_UNKNOWN}")
    rows.append(f"  owner: {_scalar(node.owner or _UNKNOWN)}")
    if len(system) <= MAX_NAME and _LEGAL.fullmatch(system):
        rows.append(f"  system: {_scalar(system)}")
    if depends:
        rows += ["  dependsOn:", *(f"    - {_scalar(one)}" for one in depends)]
    return "\n".join(rows) + "\n"


def _type(node: DiagramNode) -> str:
    if node.role is Role.SERVICE:
        return "service"
    return {Role.STORE: "database", Role.QUEUE: "queue"}.get(node.role, ROLE_TEXT[node.role].replace(" ", "-"))


def _scalar(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
