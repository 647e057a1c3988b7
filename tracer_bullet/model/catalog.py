"""Who owns what, as declared (Backstage's descriptor format), and how that differs from what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogLink:
    """A runbook, a dashboard or any other address of an entity."""

    url: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A Component or Resource. `service` is its name in spans, or a glob; `depends_on` are refs as
    `component:default/cart`, and `depends_at` says of each in which `file:line`.

    `where` is the YAML `file:line`; `reviewed` an ISO date or "", good for `review_days`. `type` is Backstage's
    `spec.type`, as `service`, `library` or `database`.
    """

    ref: str
    name: str
    service: str
    owner: str = ""
    on_call: str = ""
    description: str = ""
    lifecycle: str = ""
    system: str = ""
    depends_on: tuple[str, ...] = ()
    links: tuple[CatalogLink, ...] = ()
    reviewed: str = ""
    where: str = ""
    type: str = ""
    review_days: int = 0
    depends_at: tuple[str, ...] = ()

    @property
    def is_resource(self) -> bool:
        """Whether it is a Resource: a store, a queue, somebody else's service."""
        return self.ref.startswith("resource:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All entities of a workspace's `catalog/*.yaml`, by ref order. `owners` are the refs of Groups and Users,
    `others` those of what else may be referred to (Systems, APIs and the like)."""

    entities: tuple[Entity, ...] = ()
    owners: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def of_service(self, service: str) -> Entity | None:
        """The entity of a service, by its name in spans; case does not count, and a whole name goes before a glob."""
        wanted = service.lower()
        exact = next((e for e in self.entities if e.service.lower() == wanted), None)
        return exact or next((e for e in self.entities if fnmatchcase(wanted, e.service.lower())), None)

    def owner_of(self, service: str) -> str:
        """The owner's ref, or ""."""
        found = self.of_service(service)
        return found.owner if found is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFinding:
    """A difference between what is declared and what was observed, or a stale declaration. `rule` is a slug of
    docs/catalog.md; `error` False is a warning."""

    rule: str
    entity: str
    message: str
    cure: str
    where: str = ""
    error: bool = True
