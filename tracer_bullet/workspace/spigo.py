"""Spigo's architecture JSON (github.com/adrianco/spigo, json_arch/, version `arch-0.0`) as a topology.

What becomes of it: a `store` or `priamCassandra` is a table of each service that depends on it; every other package
is a service with two operations, `get` (GET /) that reads the tables and asks the dependencies, and `put` (POST /)
that writes to the tables and to the dependencies, as Spigo's actors do with their messages. Requests enter at the
last service. Counts and regions have no meaning here; a dependency on itself (the other nodes of a cluster), on
`eureka` (the registry) and of a store is no call; a call back in a circle is left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from tracer_bullet.workspace.load import Document, Mistake, MistakesError, Spec
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.topology import Topology

STORES = ("store", "priamCassandra")
_REGISTRY = "eureka"
_MAX_BYTES = 1 << 22


class SpigoService(Spec):
    """One line of `services`."""

    name: str = Field(min_length=1)
    package: str
    count: int = Field(default=0, ge=0)
    regions: int = Field(default=0, ge=0)
    dependencies: tuple[str, ...] = ()
    machine: str = ""
    instance: str = ""
    container: str = ""
    process: str = ""


class SpigoArchitecture(Document):
    """The whole file."""

    version: Literal["arch-0.0", "arch-0.1"]  # type: ignore[assignment]
    arch: str
    description: str = ""
    args: str = ""
    date: str = ""
    victim: str = ""
    services: tuple[SpigoService, ...] = Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _sound(self) -> SpigoArchitecture:
        known = [s.name for s in self.services]
        found = []
        for i, service in enumerate(self.services):
            if service.name in known[:i]:
                found.append(Mistake(path=f"services.{i}.name", message=f"{service.name!r} is there already"))
            for j, one in enumerate(service.dependencies):
                if one not in known and one != _REGISTRY:
                    at = f"services.{i}.dependencies.{j}"
                    found.append(Mistake(path=at, message=f"there is no service {one!r}", cure=suggest(one, known)))
        if all(s.package in STORES for s in self.services):
            found.append(Mistake(path="services", message="there are stores alone, and nobody to use them"))
        if found:
            raise MistakesError(found)
        return self


def is_spigo(path: Path) -> bool:
    """Whether the file is JSON with `arch` and `version: arch-…`. False for what cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_MAX_BYTES)
        value = json.loads(head) if head.lstrip()[:1] == b"{" else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "arch" in value and str(value.get("version", "")).startswith("arch-")


def topology_of_spigo(architecture: SpigoArchitecture) -> Topology:
    """The topology of it; see the head of this file."""
    services = {s.name: s for s in architecture.services if s.package not in STORES}
    names = _plain_names(services, "-")
    tables = _plain_names([s.name for s in architecture.services if s.package in STORES], "_")
    calls = _without_circles({name: [d for d in s.dependencies if d in services] for name, s in services.items()})
    made = {}
    for name, service in services.items():
        used = [tables[d] for d in dict.fromkeys(service.dependencies) if d in tables]
        made[names[name]] = _service(used, [names[d] for d in calls[name]])
    return Topology.model_validate(
        {
            "version": 1,
            "name": _plain_names([architecture.arch], "-")[architecture.arch],
            "entry": names[list(services)[-1]],
            "services": made,
        }
    )


def _service(tables: list[str], called: list[str]) -> dict[str, Any]:
    reads = [{"read": t, "where": {"id": 1}, "save": f"rows_of_{t}"[:63]} for t in tables]
    writes = [{"write": [{"insert": t, "row": {"value": "x"}} for t in tables]}] if tables else []
    return {
        "tables": {t: {"columns": {"value": "text"}, "rows": [{"value": "x"}]} for t in tables},
        "operations": {
            "get": {"http": "GET /", "steps": [*reads, *({"call": f"{name}.get"} for name in called)]},
            "put": {"http": "POST /", "steps": [*writes, *({"call": f"{name}.put"} for name in called)]},
        },
    }


def _plain_names(names: Any, joint: str) -> dict[str, str]:
    """Name → lower-case letters, digits and `joint`, beginning with a letter; `cassSubscriber` is `cass-subscriber`."""
    made: dict[str, str] = {}
    for name in names:
        split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", joint, name).lower()
        plain = re.sub(r"[^a-z0-9]+", joint, split).strip(joint)
        plain = plain if plain[:1].isalpha() else f"s{joint}{plain}".rstrip(joint)
        found, n = plain[:63], 1
        while found in made.values():
            n += 1
            found = f"{plain[:58]}{joint}{n}"
        made[name] = found
    return made


def _without_circles(calls: dict[str, list[str]]) -> dict[str, list[str]]:
    """The calls but those to a service whose walk is not over yet."""
    kept: dict[str, list[str]] = {name: [] for name in calls}
    over: set[str] = set()
    for start, first in calls.items():
        if start in over:
            continue
        walk = [(start, iter(dict.fromkeys(first)))]
        under_way = {start}
        while walk:
            name, rest = walk[-1]
            one = next(rest, None)
            if one is None:
                walk.pop()
                under_way.discard(name)
                over.add(name)
            elif one not in under_way:
                kept[name].append(one)
                if one not in over:
                    under_way.add(one)
                    walk.append((one, iter(dict.fromkeys(calls[one]))))
    return kept
