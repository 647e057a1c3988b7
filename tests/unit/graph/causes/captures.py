"""Fault captures written by hand: traces as nested calls, and what the analysis says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tracer_bullet.graph.causes import choose_examples, find_causes, find_contrasts
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import (
    Catalog,
    Cause,
    Contrast,
    ExampleTrace,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
    Symptom,
    System,
)
from tracer_bullet.traces import spans_to_table

MS = 1_000_000


@dataclass(frozen=True)
class Node:
    """A span and what is below it; times in ms. `error` is (type, message)."""

    service: str
    name: str
    kind: SpanKind
    at: float
    to: float
    below: tuple[Node, ...] = ()
    error: tuple[str, str] | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    resource: dict[str, str] = field(default_factory=dict)
    thrown: tuple[str, str] | None = None
    lost: bool = False

    def fails(self, kind: str = "", message: str = "") -> Node:
        return replace(self, error=(kind, message))

    def has(self, **resource: str) -> Node:
        return replace(self, resource={k.replace("__", "."): v for k, v in resource.items()})


def node(kind: SpanKind, service: str, name: str, at: float, to: float, *below: Node, **attributes: str) -> Node:
    more = {k.replace("__", "."): v for k, v in attributes.items()}
    return Node(service, name, kind, at, to, below, attributes=more)


def server(service: str, name: str, at: float, to: float, *below: Node, **attributes: str) -> Node:
    return node(SpanKind.SERVER, service, name, at, to, *below, **attributes)


def client(service: str, name: str, at: float, to: float, *below: Node, **attributes: str) -> Node:
    return node(SpanKind.CLIENT, service, name, at, to, *below, **attributes)


def inner(service: str, name: str, at: float, to: float, *below: Node, **attributes: str) -> Node:
    return node(SpanKind.INTERNAL, service, name, at, to, *below, **attributes)


def database(service: str, at: float, to: float, name: str = "SELECT") -> Node:
    return client(service, name, at, to, db__system="postgresql", server__address="db", db__namespace="orders")


def trace(number: int, *roots: Node, missing_parent: Sequence[Node] = ()) -> list[Span]:
    """The spans of a trace; `missing_parent` are roots whose parent was lost."""
    count = iter(range(1, 1 << 40))
    spans: list[Span] = []
    for root in roots:
        spans += _spans(number, root, None, count)
    for root in missing_parent:
        spans += _spans(number, root, f"{(1 << 50) + number:016x}", count)
    return spans


def _spans(number: int, root: Node, parent: str | None, count: Iterator[int]) -> Iterator[Span]:
    stack = [(root, parent)]
    while stack:
        it, above = stack.pop()
        span_id = f"{next(count):016x}"
        stack += [(child, f"{(1 << 51) + number:016x}" if it.lost else span_id) for child in it.below]
        if it.lost:
            continue
        error, message = it.error or ("", "")
        yield Span(
            trace_id=f"{number:032x}",
            span_id=span_id,
            parent_id=above,
            name=it.name,
            kind=it.kind,
            service=it.service,
            start_ns=int(it.at * MS),
            end_ns=int(it.to * MS),
            status=SpanStatus.ERROR if it.error is not None else SpanStatus.UNSET,
            status_message=message,
            attributes={**it.attributes, **({"error.type": error} if error else {})},
            resource={"service.name": it.service, **it.resource},
            events=_thrown(it),
        )


def _thrown(it: Node) -> tuple[SpanEvent, ...]:
    if it.thrown is None:
        return ()
    attributes = {"exception.type": it.thrown[0], "exception.message": it.thrown[1]}
    return (SpanEvent(time_ns=int(it.to * MS), name="exception", attributes=attributes),)


@dataclass(frozen=True)
class Found:
    causes: tuple[Cause, ...]
    bad: int
    contrasts: tuple[Contrast, ...]
    examples: tuple[ExampleTrace, ...]

    @property
    def blamed(self) -> list[tuple[str, str, str, int]]:
        """(symptom, service, operation, traces), in the order told."""
        return [(c.symptom.value, c.service, c.operation, c.traces) for c in self.causes]

    def of(self, symptom: Symptom) -> list[Cause]:
        return [c for c in self.causes if c.symptom is symptom]


def analyse(spans: Iterable[Span], catalog: Catalog | None = None) -> Found:
    with DuckEngine(spans_to_table(list(spans))) as engine:
        prepare(engine, System())
        causes, bad = find_causes(engine, catalog or Catalog())
        return Found(causes, bad, find_contrasts(engine), choose_examples(engine, causes))
