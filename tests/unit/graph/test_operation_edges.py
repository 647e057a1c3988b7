"""The edges between operations: known answers, agreement with plain Python on generated traces, deep traces."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.graph import build_graph
from tracer_bullet.model import OperationEdge, Span, SpanKind, SpanLink, System
from tracer_bullet.traces import spans_to_table

MS = 1_000_000
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = (
    SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER,
)  # fmt: skip


def span(number: int, parent: int | None, kind: SpanKind, service: str, name: str, at: int = 0, **more: str) -> Span:
    return Span(
        trace_id=f"{1:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=kind,
        service=service,
        start_ns=at * MS,
        end_ns=(at + 1) * MS,
        attributes={k.replace("__", "."): v for k, v in more.items()},
    )


def edges_of(*spans: Span) -> tuple[OperationEdge, ...]:
    return build_graph(spans_to_table(spans), System()).operation_edges


def shown(*spans: Span) -> list[tuple[str, str, str, str, int, int]]:
    found = edges_of(*spans)
    return [(e.source, e.source_operation, e.target, e.target_operation, e.calls, e.requests) for e in found]


def test_a_call_belongs_to_the_request_that_it_is_made_in() -> None:
    found = edges_of(
        span(1, None, SERVER, "shop", "POST /orders", 0),
        span(2, 1, INTERNAL, "shop", "place", 1),
        span(3, 2, INTERNAL, "shop", "pay", 2),
        span(4, 3, CLIENT, "shop", "POST", 4),
        span(5, 4, SERVER, "bank", "POST /charges", 5),
        span(6, 3, CLIENT, "shop", "POST", 6),
        span(7, 6, SERVER, "bank", "POST /charges", 7),
    )
    (edge,) = found
    assert edge == OperationEdge(
        source="service:shop",
        source_operation="POST /orders",
        target="service:bank",
        target_operation="POST /charges",
        calls=2,
        errors=0,
        requests=1,
        offset_ms=5.0,
    )


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        ({"db__statement": "select a.x\nfrom shop.orders a join b"}, "SELECT orders"),
        ({"db__statement": 'INSERT INTO "public"."carts" (a) VALUES (?)'}, "INSERT carts"),
        ({"db__statement": "UPDATE `stock` SET n = 1", "db__operation": "UPDATE /data/x.db"}, "UPDATE stock"),
        ({"db__operation__name": "findAndModify", "db__collection__name": "users"}, "FINDANDMODIFY users"),
        ({"db__query__text": "GET key"}, "GET"),
        ({}, "n"),
    ],
)
def test_what_a_store_is_asked_for(attributes: dict[str, str], operation: str) -> None:
    found = shown(
        span(1, None, SERVER, "shop", "POST /orders"),
        span(2, 1, CLIENT, "shop", "n", db__system="postgresql", db__name="shop", **attributes),
    )
    assert found == [("service:shop", "POST /orders", "store:postgresql/shop/shop", operation, 1, 1)]


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("https://pay.example/v1/charges/ch_12a9/lines/7?a=1", "POST /v1/charges/{id}/lines/{id}"),
        ("https://pay.example", "POST /"),
        ("https://pay.example/a/550e8400-e29b-41d4-a716-446655440000", "POST /a/{id}"),
    ],
)
def test_what_an_address_is_asked_for(url: str, operation: str) -> None:
    found = shown(
        span(1, None, SERVER, "shop", "POST /orders"),
        span(2, 1, CLIENT, "shop", "POST", url__full=url, http__request__method="POST"),
    )
    assert found == [("service:shop", "POST /orders", "peer:pay.example", operation, 1, 1)]


def test_messages_go_from_operation_to_queue_to_operation() -> None:
    found = shown(
        span(1, None, SERVER, "shop", "POST /orders"),
        span(2, 1, PRODUCER, "shop", "publish", messaging__system="kafka", messaging__destination__name="orders"),
        span(3, 2, CONSUMER, "mail", "process", messaging__system="kafka", messaging__destination__name="orders"),
    )
    assert found == [
        ("queue:kafka/orders", "", "service:mail", "process", 1, 1),
        ("service:shop", "POST /orders", "queue:kafka/orders", "", 1, 1),
    ]


def test_a_link_leads_from_the_operation_that_is_linked_to() -> None:
    batch = span(9, None, INTERNAL, "report", "nightly")
    inner = replace(
        span(10, 9, INTERNAL, "report", "read"), links=(SpanLink(trace_id=f"{1:032x}", span_id=f"{2:016x}"),)
    )
    found = edges_of(span(1, None, SERVER, "shop", "POST /orders"), span(2, 1, INTERNAL, "shop", "store"), batch, inner)
    (edge,) = found
    assert (edge.source, edge.source_operation) == ("service:shop", "POST /orders")
    assert (edge.target, edge.target_operation, edge.asynchronous) == ("service:report", "nightly", True)


def test_edges_and_operation_edges_count_the_same() -> None:
    """Whatever the rule, an edge's calls are those of its operation edges."""
    queue = {"messaging__system": "kafka", "messaging__destination__name": "q"}
    graph = build_graph(
        spans_to_table(
            [
                span(1, None, SERVER, "a", "GET /a"),
                span(2, 1, CLIENT, "a", "GET", url__full="http://b/x"),
                span(3, 2, SERVER, "b", "GET /x"),
                span(4, 3, CLIENT, "b", "get", db__system="redis", db__statement="GET k"),
                span(5, 3, PRODUCER, "b", "send", **queue),
                span(6, 5, CONSUMER, "c", "take", **queue),
                replace(
                    span(7, None, CONSUMER, "d", "take", **queue),
                    links=(SpanLink(trace_id=f"{1:032x}", span_id=f"{5:016x}"),),
                ),
                span(8, 6, CLIENT, "c", "POST", url__full="http://out.example/y", peer__service="b"),
            ]
        ),
        System(),
    )
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for e in graph.operation_edges:
        calls[e.source, e.target] += e.calls
    assert calls == {(e.source, e.target): e.calls for e in graph.edges}


def test_ever_new_names_are_counted_together() -> None:
    names = [f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)]
    spans = [span(1, None, SERVER, "shop", "GET /")]
    for i, name in enumerate(names):
        url = f"https://x.example/{name}"
        spans.append(span(2 + i, 1, CLIENT, "shop", "GET", url__full=url, http__request__method="GET"))
    found = {e.target_operation: e.calls for e in edges_of(*spans)}
    assert len(found) == 51
    assert found["(other)"] == 10


def test_a_request_of_ten_thousand_spans_depth() -> None:
    deep = [span(1, None, SERVER, "shop", "GET /")]
    deep += [span(i, i - 1, INTERNAL, "shop", "step") for i in range(2, 10_000)]
    deep += [span(10_000, 9_999, CLIENT, "shop", "c"), span(10_001, 10_000, SERVER, "bank", "POST /b")]
    assert shown(*deep) == [("service:shop", "GET /", "service:bank", "POST /b", 1, 1)]


def test_parents_in_a_circle_do_no_harm() -> None:
    found = shown(
        span(1, 2, INTERNAL, "shop", "a"),
        span(2, 1, INTERNAL, "shop", "b"),
        span(3, 2, CLIENT, "shop", "c"),
        span(4, 3, SERVER, "bank", "POST /b"),
    )
    assert [(s, t, n) for s, _, t, _, n, _ in found] == [("service:shop", "service:bank", 1)]


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    made: list[Span] = []
    kinds = st.sampled_from([INTERNAL, INTERNAL, SERVER, CLIENT, CLIENT])
    for i in range(1, draw(st.integers(2, 25))):
        parent = draw(st.one_of(st.none(), st.integers(1, i - 1))) if i > 1 else None
        service, name = draw(st.sampled_from("ab")), draw(st.sampled_from("xyz"))
        made.append(span(i, parent, draw(kinds), service, name, draw(st.integers(0, 9))))
    return made


def reference(spans: list[Span]) -> dict[tuple[str, str, str, str], tuple[int, int]]:
    """By the rules: climb to the entry, count calls from one service to another, or from a client to a server span."""
    by_id = {s.span_id: s for s in spans}

    def parent(s: Span) -> Span | None:
        return by_id.get(s.parent_id or "")

    def owner(s: Span) -> Span:
        while s.kind is not SERVER and (above := parent(s)) is not None and above.service == s.service:
            s = above
        return s

    found: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for s in spans:
        p = parent(s)
        if p is not None and (p.service != s.service or (p.kind is CLIENT and s.kind is SERVER)):
            o = owner(p)
            found[f"service:{o.service}", o.name, f"service:{s.service}", s.name].append(o.span_id)
    return {key: (len(some), len(set(some))) for key, some in found.items()}


@settings(max_examples=30, deadline=None)
@given(spans=traces(), seed=st.integers(0, 99))
def test_it_agrees_with_plain_python_in_any_order(spans: list[Span], seed: int) -> None:
    found = edges_of(*spans)
    counted = {(e.source, e.source_operation, e.target, e.target_operation): (e.calls, e.requests) for e in found}
    assert counted == reference(spans)
    turned = spans + spans[:3]
    random.Random(seed).shuffle(turned)
    assert edges_of(*turned) == found
