"""Who owns what, as declared (Backstage's descriptor format), and how that differs from what was observed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogLink:
    """A runbook, a dashboard or any other address of an entity."""

    url: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A Component or Resource. `service` is its name in spans; `depends_on` are refs as `component:default/cart`.

    `where` is the YAML `file:line`; `reviewed` an ISO date or "".
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All entities of a workspace's `catalog/*.yaml`, by ref order."""

    entities: tuple[Entity, ...] = ()

    def of_service(self, service: str) -> Entity | None:
        """The entity of a service, by its name in spans; case does not count."""
        wanted = service.lower()
        return next((e for e in self.entities if e.service.lower() == wanted), None)

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
