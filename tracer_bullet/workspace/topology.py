"""The topology of a simulated system: services, their tables, and operations as lists of steps.

docs/sim.md describes the format. A document that loads is sound: every call, table, column and
`${reference}` in it leads somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tracer_bullet.workspace.latency import Latency
from tracer_bullet.workspace.load import Document, Mistake, Spec
from tracer_bullet.workspace.topology_checks import (
    INPUT,
    by_key,
    known_mistakes,
    not_reserved,
    or_raise,
    part_names,
    unknown_names,
)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
Variable = Annotated[Identifier, pydantic.AfterValidator(not_reserved)]
Port = Annotated[int, Field(ge=1, le=65535)]
Template = Any
"""Any YAML value, in which texts may hold `${references}`."""


class Careless(Enum):
    """How a service can be careless (docs/sim.md)."""

    DROPS_BAGGAGE = "drops_baggage"
    DROPS_TRACESTATE = "drops_tracestate"
    DROPS_FLAG = "drops_flag"
    NO_GUARD = "no_guard"
    WRITES_FROM_POOL_THREAD = "writes_from_pool_thread"
    SWALLOWS_ERRORS = "swallows_errors"
    DROPS_SPANS = "drops_spans"
    DROPS_DATABASE_SPANS = "drops_database_spans"


class Column(Spec):
    """A column; `references` names a table whose key it holds. Columns are never null."""

    type: Literal["text", "integer", "real", "boolean"]
    references: str | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value


class Table(Spec):
    """A table. Without `key` it gets an integer column `id` that the database counts up."""

    columns: dict[Identifier, Column] = Field(min_length=1)
    key: str | None = None
    rows: tuple[dict[str, Any], ...] = ()
    """What the table holds when it is made."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, the key included."""
        return tuple(self.columns) if self.key else ("id", *self.columns)

    @pydantic.model_validator(mode="after")
    def _sound(self) -> Table:
        found = []
        if self.key is not None:
            found += known_mistakes(self.key, self.columns, "key", "column")
        elif "id" in self.columns:
            found.append(
                Mistake(path="columns.id", message="`id` is made by itself", cure="remove it, or add `key: id`")
            )
        for i, row in enumerate(self.rows):
            for name in row:
                found += known_mistakes(name, self.names, f"rows.{i}.{name}", "column")
            for name in self.columns:
                if name not in row:
                    found.append(Mistake(path=f"rows.{i}", message=f"column {name!r} has no value"))
        return or_raise(self, found)


class Each(Spec):
    """A part that may be done once for each of a list."""

    for_each: str | None = None
    """A `${reference}` to a list."""
    as_: Variable = Field(default="item", alias="as")
    """What one of the list is called meanwhile."""


class Chancy(Spec):
    """A step that may be left out; what it would have saved is null then."""

    chance: float = Field(default=1.0, gt=0, le=1)
    """In which share of the requests it is done."""


class Call(Each, Chancy):
    """Calls an operation of another service or of a third party over HTTP.

    With `for_each`, `save` holds a list: each element of the given list with its answer laid over it.
    """

    call: str
    """`service.operation`."""
    times: int = Field(default=1, ge=1, le=1000)
    """How often, one after another; the last answer is saved."""
    with_: dict[str, Template] = Field(default_factory=dict, alias="with")
    """Path parameters by name; the rest becomes the query of a GET or DELETE, else the JSON body."""
    save: Variable | None = None


class Read(Chancy):
    """Selects rows, in the order of the key. With `one`, the first row; when there is none, the status `missing`."""

    read: str
    where: dict[str, Template] = Field(default_factory=dict)
    one: bool = False
    missing: int = Field(default=404, ge=400, le=499)
    save: Variable


class Insert(Each):
    """Adds a row, or one for each of a list."""

    insert: str
    row: dict[str, Template]
    save: Variable | None = None


class Update(Each):
    """Changes rows: `set` gives values, `add` adds to numbers."""

    update: str
    where: dict[str, Template] = Field(min_length=1)
    set: dict[str, Template] = Field(default_factory=dict)
    add: dict[str, Template] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _changes(self) -> Update:
        if not self.set and not self.add:
            raise ValueError("an update needs `set` or `add`")
        return self


class Delete(Each):
    """Removes rows."""

    delete: str
    where: dict[str, Template] = Field(min_length=1)


Change = Annotated[Insert | Update | Delete, by_key({"insert": Insert, "update": Update, "delete": Delete})]


class Write(Chancy):
    """Changes that are committed together."""

    write: tuple[Change, ...] = Field(min_length=1)


class Sum(Spec):
    """Adds up, over the rows of a list, the product of the named fields."""

    sum: str
    of: tuple[str, ...] = Field(min_length=1)
    save: Variable


class Mint(Spec):
    """Makes a new random text that nobody can guess, as a login's token."""

    mint: Literal["token", "uuid"]
    save: Variable


Step = Annotated[
    Call | Read | Write | Sum | Mint,
    by_key({"call": Call, "read": Read, "write": Write, "sum": Sum, "mint": Mint}),
]


class Respond(Spec):
    """An answer: the status and the JSON body."""

    status: int = Field(default=200, ge=200, le=599)
    json_: Template = Field(default_factory=dict, alias="json")


class Endpoint(Spec):
    """What is common to operations of services and of third parties."""

    http: str = Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) (/[\w.~-]*|/\{[a-z][a-z0-9_]*\})+$")
    """Method and path, as `GET /orders/{id}`."""
    latency_ms: Latency = Latency(constant=0)
    error_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of requests that are answered with 503 before anything is done."""
    respond: Respond = Respond()

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.http.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path with its `{parameters}`."""
        return self.http.partition(" ")[2]


class Operation(Endpoint):
    """What a service does on a request: its latency, its steps, its answer."""

    steps: tuple[Step, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names(self) -> Operation:
        known = {INPUT}
        found: list[Mistake] = []
        for i, step in enumerate(self.steps):
            found += _step_names(step, f"steps.{i}", known)
        found += unknown_names(self.respond.json_, "respond.json", known)
        return or_raise(self, found)


class OutsideOperation(Endpoint):
    """An operation of a third party. `stub` is what guards answer to a bullet in its place."""

    stub: Respond | None = None

    @pydantic.model_validator(mode="after")
    def _names(self) -> OutsideOperation:
        found = unknown_names(self.respond.json_, "respond.json", {INPUT})
        if self.stub is not None:
            found += unknown_names(self.stub.json_, "stub.json", set())
        return or_raise(self, found)


class Service(Spec):
    """A service of the system. With `external`, somebody else runs it at that URL."""

    port: Port | None = None
    external: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$")
    careless: tuple[Careless, ...] = ()
    hold_s: float = Field(default=0.0, ge=0)
    """How long its guards keep a bullet's transaction for the bullet's next request (TRACER_BULLET_HOLD_S)."""
    tables: dict[Identifier, Table] = Field(default_factory=dict)
    operations: dict[Identifier, Operation] = Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _tables(self) -> Service:
        found: list[Mistake] = []
        for name, table in self.tables.items():
            for column, spec in table.columns.items():
                if spec.references is not None:
                    at = f"tables.{name}.columns.{column}.references"
                    found += known_mistakes(spec.references, self.tables, at, "table")
        for name, operation in self.operations.items():
            for i, step in enumerate(operation.steps):
                found += self._step_tables(step, f"operations.{name}.steps.{i}")
        return or_raise(self, found)

    def _step_tables(self, step: Step, at: str) -> Iterator[Mistake]:
        if isinstance(step, Read):
            yield from self._columns(step.read, f"{at}.read", {f"{at}.where": step.where})
        elif isinstance(step, Write):
            for i, change in enumerate(step.write):
                here = f"{at}.write.{i}"
                kind, table = _target(change)
                maps = {f"{here}.{k}": getattr(change, k, {}) for k in ("row", "where", "set", "add")}
                yield from self._columns(table, f"{here}.{kind}", maps)
                if isinstance(change, Insert) and table in self.tables:
                    for column in self.tables[table].columns:
                        if column not in change.row:
                            yield Mistake(path=f"{here}.row", message=f"column {column!r} has no value")

    def _columns(self, table: str, at: str, maps: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
        if table not in self.tables:
            yield from known_mistakes(table, self.tables, at, "table")
            return
        for path, columns in maps.items():
            for column in columns:
                yield from known_mistakes(column, self.tables[table].names, f"{path}.{column}", f"column of {table}")


class ThirdParty(Spec):
    """A server outside the system: it makes no spans and has no guards, and its calls are recorded."""

    port: Port | None = None
    operations: dict[Identifier, OutsideOperation] = Field(min_length=1)


class Topology(Document):
    """A simulated system. `entry` is the service that requests are sent to."""

    name: Name
    entry: str
    services: dict[Name, Service] = Field(min_length=1)
    third_parties: dict[Name, ThirdParty] = Field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Service | ThirdParty]:
        """Services and third parties by name."""
        return {**self.services, **self.third_parties}

    def endpoint(self, target: str) -> Endpoint:
        """The endpoint that `service.operation` names. Raises KeyError."""
        owner, _, operation = target.partition(".")
        return self.parts[owner].operations[operation]

    @pydantic.model_validator(mode="after")
    def _sound(self) -> Topology:
        found = [*known_mistakes(self.entry, self.services, "entry", "service"), *self._ports()]
        for name in self.services.keys() & self.third_parties.keys():
            found += [Mistake(path=f"third_parties.{name}", message=f"{name!r} is a service already")]
        for name, service in self.services.items():
            for op, operation in service.operations.items():
                for i, step in enumerate(operation.steps):
                    if isinstance(step, Call):
                        found += self._call(step, f"services.{name}.operations.{op}.steps.{i}")
        return or_raise(self, found)

    def _ports(self) -> Iterator[Mistake]:
        seen: dict[int, str] = {}
        for name, part in self.parts.items():
            at = f"{'services' if name in self.services else 'third_parties'}.{name}.port"
            if part.port is not None and part.port in seen:
                yield Mistake(path=at, message=f"port {part.port} belongs to {seen[part.port]} already")
            elif part.port is not None:
                seen[part.port] = name

    def _call(self, step: Call, at: str) -> Iterator[Mistake]:
        try:
            endpoint = self.endpoint(step.call)
        except KeyError:
            known = [f"{name}.{operation}" for name, part in self.parts.items() for operation in part.operations]
            yield from known_mistakes(step.call, known, f"{at}.call", "operation")
            return
        for parameter in parameters(endpoint.path):
            if parameter not in step.with_:
                yield Mistake(path=at, message=f"{step.call} needs the path parameter {parameter!r} in `with`")


def parameters(path: str) -> tuple[str, ...]:
    """The names of the `{parameters}` of a path."""
    return tuple(re.findall(r"\{(\w+)\}", path))


def _target(change: Insert | Update | Delete) -> tuple[str, str]:
    if isinstance(change, Insert):
        return "insert", change.insert
    return ("update", change.update) if isinstance(change, Update) else ("delete", change.delete)


def _step_names(step: Step, at: str, known: set[str]) -> Iterator[Mistake]:
    """MistakesError in the references of a step; adds to `known` what it saves."""
    if isinstance(step, Write):
        for i, change in enumerate(step.write):
            yield from part_names(change, f"{at}.write.{i}", known)
    else:
        yield from part_names(step, at, known)
