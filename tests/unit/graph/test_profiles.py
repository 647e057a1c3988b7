"""The edge profiles against plain-Python references, and on the traces where the systems are known to disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.profile_reference import profile
from tests.unit.graph.test_build_graph import CLIENT, CONSUMER, PRODUCER, SERVER, span
from tests.unit.graph.test_graph_properties import SYSTEM, traces
from tracer_bullet.errors import UsageError
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.profiles import PROFILES, build_profile, profile_graph
from tracer_bullet.model import NodeKind, Span, SpanKind, SpanStatus
from tracer_bullet.model.graph import ProfileEdge
from tracer_bullet.traces import spans_to_table

THEIRS = ("jaeger", "tempo", "zipkin")
NONE = SpanKind.UNSPECIFIED


def found(name: str, *spans: Span) -> dict[tuple[str, str], tuple[int, int]]:
    return {(e.parent, e.child): (e.calls, e.errors) for e in profile_of(list(spans), name)}


def profile_of(spans: list[Span], name: str) -> tuple[ProfileEdge, ...]:
    with DuckEngine(spans_to_table(spans)) as engine:
        prepare(engine, SYSTEM)
        return build_profile(engine, name)


@st.composite
def foreign_traces(draw: st.DrawFn) -> list[Span]:
    """As `traces`, with what the other systems look at besides."""
    hints = (
        {},
        {},
        {"network.peer.address": "10.0.0.2", "network.peer.port": "5432"},
        {"error": "x"},
        {"peer.service": "Cart"},
    )
    names = (None, None, None, "unknown_service", "Web")
    return [
        replace(
            s,
            service=draw(st.sampled_from(names)) or s.service,
            attributes={**s.attributes, **draw(st.sampled_from(hints))},
        )
        for s in draw(traces())
    ]


@pytest.mark.parametrize("name", THEIRS)
@settings(max_examples=40, deadline=None)
@given(spans=foreign_traces())
def test_the_sql_agrees_with_plain_python(name: str, spans: list[Span]) -> None:
    assert profile_of(spans, name) == profile(spans, name)


@settings(max_examples=15, deadline=None)
@given(foreign_traces(), st.data())
def test_order_and_copies_do_not_matter(spans: list[Span], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(spans), max_size=4))
    shuffled = data.draw(st.permutations([*spans, *copies]))
    for name in THEIRS:
        assert profile_of(shuffled, name) == profile_of(spans, name)


def test_spans_without_kinds() -> None:
    spans = span(1, None, NONE, "a", 0, 9), span(2, 1, NONE, "b", 1, 3)
    assert found("jaeger", *spans) == {("a", "b"): (1, 0)}
    assert found("tempo", *spans) == found("zipkin", *spans) == {}


def test_a_broker() -> None:
    kafka = {"peer__service": "kafka"}
    spans = span(1, None, PRODUCER, "shop", 0, 1, **kafka), span(2, 1, CONSUMER, "mail", 5, 9, **kafka)
    assert found("jaeger", *spans) == {("shop", "mail"): (1, 0)}
    assert found("tempo", *spans) == {("shop", "mail"): (1, 0)}
    assert found("zipkin", *spans) == {("shop", "kafka"): (1, 0), ("kafka", "mail"): (1, 0)}


def test_a_server_that_nobody_is_seen_to_call() -> None:
    root = span(1, None, SERVER, "web", 0, 9)
    assert found("tempo", root, span(2, 99, SERVER, "late", 1, 2)) == {("user", "web"): (1, 0)}
    assert found("zipkin", root, span(2, 99, SERVER, "late", 1, 2)) == {("web", "late"): (1, 0)}, "zipkin #1648"
    assert found("jaeger", root, span(2, 99, SERVER, "late", 1, 2)) == {}


def test_a_database_and_failures() -> None:
    asked = replace(
        span(2, 1, CLIENT, "web", 1, 5, server__address="db", db__system="postgresql"), status=SpanStatus.ERROR
    )
    spans = span(1, None, SERVER, "web", 0, 9), asked
    assert found("tempo", *spans) == {("user", "web"): (1, 0), ("web", "db"): (1, 1)}
    assert found("zipkin", *spans) == {}
    pair = replace(span(3, 1, CLIENT, "web", 1, 5), status=SpanStatus.ERROR), span(4, 3, SERVER, "cart", 2, 4)
    assert found("tempo", *pair) == found("zipkin", *pair) == {("web", "cart"): (1, 1)}


def test_self_calls_are_jaegers_and_zipkins() -> None:
    spans = span(1, None, SERVER, "web", 0, 9), span(2, 1, SERVER, "web", 1, 5)
    assert found("jaeger", *spans) == {("web", "web"): (1, 0)}
    assert found("zipkin", *spans) == {("web", "web"): (1, 0)}


@pytest.mark.parametrize("name", THEIRS)
def test_a_deep_trace(name: str) -> None:
    spans = [span(1, None, CLIENT, "web", 0, 9)]
    spans += [span(n, n - 1, SpanKind.INTERNAL, "cart", 1, 5) for n in range(2, 10_000)]
    spans.append(span(10_000, 9_999, SERVER, "deep", 2, 3))
    calls = {("web", "cart"): (1, 0), ("cart", "deep"): (1, 0), ("cart", "cart"): (9_997, 0)}
    wanted = {"jaeger": calls, "tempo": {}, "zipkin": {("web", "deep"): (1, 0)}}
    assert found(name, *spans) == wanted[name]


def test_a_profile_can_be_drawn_as_our_graph() -> None:
    spans = spans_to_table([span(1, None, SERVER, "web", 0, 9), span(2, 1, CLIENT, "web", 1, 5, peer__service="Bank")])
    with DuckEngine(spans) as engine:
        prepare(engine, SYSTEM)
        assert profile_graph(engine, "union") == assemble(engine)
        graph = profile_graph(engine, "tempo")
        with pytest.raises(UsageError, match="no edge profile 'kiali'") as failure:
            profile_graph(engine, "kiali")
    assert [(n.id, n.kind, n.calls) for n in graph.nodes] == [
        ("peer:Bank", NodeKind.PEER, 1),
        ("peer:user", NodeKind.PEER, 0),
        ("service:web", NodeKind.SERVICE, 1),
    ]
    assert [(e.source, e.target, e.evidence[0].rule, e.evidence[0].count) for e in graph.edges] == [
        ("peer:user", "service:web", "tempo", 1),
        ("service:web", "peer:Bank", "tempo", 1),
    ]
    assert (graph.traces, graph.spans) == (1, 2)
    assert failure.value.code == "TB507"
    assert set(PROFILES) == {*THEIRS, "union"}
