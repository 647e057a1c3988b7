"""Span links as edges: batch consumers, fan-in, links across traces and between services without messaging."""

from __future__ import annotations

from tests.unit.graph.test_build_graph import CLIENT, CONSUMER, PRODUCER, SERVER, graph_of, span
from tracer_bullet.model import ServiceGraph, Span, SpanKind, SpanLink
from tracer_bullet.model.graph import Edge

KAFKA = {"messaging__system": "kafka", "messaging__destination__name": "orders"}


def linked(number: int, parent: int | None, kind: SpanKind, service: str, *to: Span, **more: str) -> Span:
    plain = span(number, parent, kind, service, 100, 110, **more)
    values = {name: getattr(plain, name) for name in plain.__slots__}
    return Span(**{**values, "links": tuple(SpanLink(trace_id=t.trace_id, span_id=t.span_id) for t in to)})


def edge(graph: ServiceGraph, source: str, target: str) -> Edge:
    return next(e for e in graph.edges if (e.source, e.target) == (source, target))


def found(graph: ServiceGraph, source: str, target: str) -> tuple[int, bool, dict[str, int]]:
    one = edge(graph, source, target)
    return one.calls, one.asynchronous, {e.rule: e.count for e in one.evidence}


def test_a_batch_consumer_takes_from_its_topic_and_its_links_are_evidence() -> None:
    sent = [span(n, None, PRODUCER, f"shop-{n % 2}", 0, 1, trace=str(n), **KAFKA) for n in range(1, 5)]
    graph = graph_of(*sent, linked(9, None, CONSUMER, "mail", *sent, trace="9", **KAFKA))
    assert found(graph, "queue:kafka/orders", "service:mail") == (1, True, {"link": 4, "messaging": 1})
    assert found(graph, "service:shop-0", "queue:kafka/orders") == (2, True, {"messaging": 2})
    assert len(graph.edges) == 3, "the topic is between them: no edge past it"
    evidence = {e.rule: e.example_trace_ids for e in edge(graph, "queue:kafka/orders", "service:mail").evidence}
    assert evidence["link"] == (f"{9:032x}",)


def test_a_consumer_that_names_no_queue_is_placed_by_its_links() -> None:
    sent = [span(n, None, PRODUCER, "shop", 0, 1, trace=str(n), **KAFKA) for n in (1, 2)]
    graph = graph_of(*sent, linked(9, None, CONSUMER, "mail", *sent, trace="9"))
    assert found(graph, "queue:kafka/orders", "service:mail") == (2, True, {"link": 2})


def test_a_link_to_the_making_of_a_message() -> None:
    made = span(1, None, PRODUCER, "shop", 0, 1, messaging__operation__type="create", **KAFKA)
    send = linked(2, None, CLIENT, "shop", made, trace="2", messaging__operation__type="send", **KAFKA)
    taken = linked(3, None, CONSUMER, "mail", made, trace="3", messaging__operation__type="process", **KAFKA)
    settled = linked(4, 3, CLIENT, "mail", made, trace="3", messaging__operation__type="settle", **KAFKA)
    graph = graph_of(made, send, taken, settled)
    assert [(e.source, e.target, e.calls) for e in graph.edges] == [
        ("queue:kafka/orders", "service:mail", 1),
        ("service:shop", "queue:kafka/orders", 1),
    ]
    assert found(graph, "queue:kafka/orders", "service:mail") == (1, True, {"link": 1, "messaging": 1})


def test_a_link_between_services_is_an_edge_of_its_own() -> None:
    asked = span(1, None, SERVER, "orders", 0, 5)
    graph = graph_of(asked, linked(2, None, SpanKind.INTERNAL, "nightly", asked, asked, trace="2"))
    assert found(graph, "service:orders", "service:nightly") == (1, True, {"link": 1}), "named twice, linked once"


def test_many_lead_to_one() -> None:
    asked = [span(n, None, SERVER, f"s{n}", 0, 5, trace=str(n)) for n in (1, 2, 3)]
    graph = graph_of(*asked, linked(9, None, SERVER, "sum", *asked, trace="9"))
    assert [(e.source, e.target) for e in graph.edges] == [(f"service:s{n}", "service:sum") for n in (1, 2, 3)]


def test_a_link_that_repeats_the_parent_adds_evidence_alone() -> None:
    asked = span(1, None, CLIENT, "web", 0, 200)
    graph = graph_of(asked, linked(2, 1, SERVER, "cart", asked))
    assert found(graph, "service:web", "service:cart") == (1, False, {"client-server": 1, "link": 1})


def test_links_that_lead_nowhere_or_to_oneself_are_no_edges() -> None:
    asked = span(1, None, SERVER, "web", 0, 5)
    graph = graph_of(
        linked(2, None, SERVER, "cart", asked), linked(3, None, SERVER, "cart", span(3, None, SERVER, "", 0, 1))
    )
    assert graph.edges == ()


def test_messages_without_names_join_their_services() -> None:
    graph = graph_of(
        span(1, None, PRODUCER, "shop", 0, 1, messaging__system="kafka"),
        span(2, 1, CONSUMER, "mail", 5, 9, messaging__system="kafka"),
    )
    assert found(graph, "service:shop", "service:mail") == (1, True, {"parent-child": 1})
