"""The graph on traces of which the answer is known; large and deep ones; bad input; bounded memory."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracer_bullet.errors import UsageError
from tracer_bullet.graph import EngineOptions, build_graph
from tracer_bullet.model import (
    Edge,
    Evidence,
    Latency,
    Node,
    NodeKind,
    Operation,
    ServiceGraph,
    Span,
    SpanKind,
    SpanStatus,
    System,
    attributes,
)  # fmt: skip
from tracer_bullet.traces import spans_to_table, write_table

MS = 1_000_000
CLIENT, SERVER, PRODUCER, CONSUMER = SpanKind.CLIENT, SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER


def span(number: int, parent: int | None, kind: SpanKind, service: str, at: int, to: int, **more: str) -> Span:
    name = more.pop("name", "n")
    trace = int(more.pop("trace", "1"))
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=kind,
        service=service,
        start_ns=at * MS,
        end_ns=to * MS,
        attributes={k.replace("__", "."): v for k, v in more.items()},
    )


def graph_of(*spans: Span, system: System | None = None) -> ServiceGraph:
    return build_graph(spans_to_table(spans), system or System())


def ends(graph: ServiceGraph) -> list[tuple[str, str, str]]:
    return [(e.source, e.target, "+".join(x.rule for x in e.evidence)) for e in graph.edges]


def test_a_bullet_through_a_shop() -> None:
    seal = attributes.SEAL_SPAN_NAME
    graph = graph_of(
        span(1, None, SpanKind.INTERNAL, attributes.HARNESS_SERVICE, 0, 100),
        span(2, 1, CLIENT, attributes.HARNESS_SERVICE, 0, 90),
        span(3, 2, SERVER, "shop", 10, 80, name="POST /orders"),
        span(4, 3, CLIENT, "shop", 20, 40, db__system="sqlite", db__name="/data/shop.db",
             tb__guard__decision="rolled_back"),
        span(5, 3, CLIENT, "shop", 30, 50, url__full="https://pay.example/charge", tb__guard__decision="stubbed"),
        span(6, 3, SpanKind.INTERNAL, "shop", 80, 80, name=seal),
        span(7, 99, SERVER, "lost", 0, 1),
        system=System(third_parties=("pay.example",)),
    )  # fmt: skip

    def latency(ms: float) -> Latency:
        return Latency(p50_ms=ms, p90_ms=ms, p95_ms=ms, p99_ms=ms, p999_ms=ms, max_ms=ms)

    def edge(source: str, target: str, ms: float, rule: str, decision: str = "") -> Edge:
        return Edge(
            source=source,
            target=target,
            calls=1,
            errors=0,
            latency=latency(ms),
            evidence=(Evidence(rule=rule, count=1, example_trace_ids=(f"{1:032x}",)),),
            writes=1 if decision else 0,
            decisions=((decision, 1),) if decision else (),
        )

    assert replace(graph, operation_edges=()) == ServiceGraph(
        nodes=(
            Node(id="harness:tracer-bullet", name="tracer-bullet", kind=NodeKind.HARNESS),
            Node(id="service:lost", name="lost", kind=NodeKind.SERVICE, calls=1),
            Node(id="service:shop", name="shop", kind=NodeKind.SERVICE, calls=1),
            Node(id="store:sqlite//data/shop.db", name="/data/shop.db", kind=NodeKind.STORE, system="sqlite", calls=1),
            Node(id="third_party:pay.example", name="pay.example", kind=NodeKind.THIRD_PARTY, calls=1),
        ),
        edges=(
            edge("harness:tracer-bullet", "service:shop", 90.0, "client-server"),
            edge("service:shop", "store:sqlite//data/shop.db", 20.0, "database", "rolled_back"),
            edge("service:shop", "third_party:pay.example", 20.0, "third-party", "stubbed"),
        ),
        operations=(
            Operation(service="lost", name="n", calls=1, errors=0, latency=latency(1.0), self_p50_ms=1.0),
            Operation(service="shop", name="POST /orders", calls=1, errors=0, latency=latency(70.0), self_p50_ms=40.0),
        ),
        traces=1,
        spans=6,
        orphans=(("lost", 1),),
    )


def test_messages_go_by_way_of_their_queue() -> None:
    graph = graph_of(
        span(1, None, PRODUCER, "shop", 0, 1, messaging__system="kafka", messaging__destination__name="orders"),
        span(2, 1, CONSUMER, "mail", 5, 9, messaging__system="kafka", messaging__destination__name="orders"),
        span(3, 1, CONSUMER, "audit", 5, 9),
        span(4, 2, CONSUMER, "mail", 6, 8, messaging__system="kafka", messaging__destination__name="orders"),
    )
    assert ends(graph) == [
        ("queue:kafka/orders", "service:audit", "messaging"),
        ("queue:kafka/orders", "service:mail", "messaging"),
        ("service:shop", "queue:kafka/orders", "messaging"),
    ]
    assert all(e.asynchronous and e.calls == 1 for e in graph.edges), "receive and process are one delivery"
    assert graph.nodes[0] == Node(id="queue:kafka/orders", name="orders", kind=NodeKind.QUEUE, system="kafka", calls=1)


def test_throw_away_queues_are_one_node() -> None:
    graph = graph_of(
        *(span(n, None, PRODUCER, "shop", 0, 1, messaging__destination__name=f"amq.gen-{n}",
               messaging__destination__temporary="true") for n in (1, 2)),
    )  # fmt: skip
    assert [(e.target, e.calls) for e in graph.edges] == [("queue:(temporary)", 2)]


def test_spans_without_kinds_still_show_who_calls_whom() -> None:
    none = SpanKind.UNSPECIFIED
    graph = graph_of(span(1, None, none, "a", 0, 9), span(2, 1, none, "b", 1, 3), span(3, 1, none, "a", 3, 4))
    assert ends(graph) == [("service:a", "service:b", "parent-child")]
    assert graph.edges[0].latency.max_ms == 2.0
    assert [(n.name, n.calls) for n in graph.nodes] == [("a", 1), ("b", 1)]
    assert [(o.service, o.calls, o.self_p50_ms) for o in graph.operations] == [("a", 1, 6.0), ("b", 1, 2.0)]


def test_stores_of_one_name_in_two_services_stay_apart() -> None:
    graph = graph_of(
        span(1, None, CLIENT, "a", 0, 1, db__system="sqlite", db__name="app.db"),
        span(2, None, CLIENT, "b", 0, 1, db__system="sqlite", db__name="app.db"),
        span(3, None, CLIENT, "a", 0, 1, db__system="sqlite", db__name="/a.db"),
        span(4, None, CLIENT, "b", 0, 1, db__system="sqlite", db__name="/b.db"),
        span(5, None, CLIENT, "a", 0, 1, db__system="postgresql", net__peer__name="DB", db__name="o"),
        span(6, None, CLIENT, "b", 0, 1, db__system__name="postgresql", server__address="db", server__port="5432",
             db__namespace="o"),
    )  # fmt: skip
    assert [n.id for n in graph.nodes if n.kind is NodeKind.STORE] == [
        "store:postgresql/db/o",
        "store:sqlite//a.db",
        "store:sqlite//b.db",
        "store:sqlite/a/app.db",
        "store:sqlite/b/app.db",
    ]


def test_a_driver_below_an_orm_is_one_call() -> None:
    store = {"db__system": "sqlite", "db__name": "/a.db"}
    graph = graph_of(
        span(1, None, SERVER, "a", 0, 9),
        span(2, 1, CLIENT, "a", 1, 5, **store),
        span(3, 2, CLIENT, "a", 2, 4, tb__guard__decision="rolled_back", **store),
    )
    (edge,) = graph.edges
    assert (edge.calls, edge.writes, edge.latency.max_ms) == (1, 1, 4.0), "the outer span counts, the inner one decides"


def test_a_call_of_one_store_below_another_is_a_call_of_its_own() -> None:
    graph = graph_of(
        span(1, None, CLIENT, "a", 0, 9, db__system="sqlite", db__name="/a.db"),
        span(2, 1, CLIENT, "a", 1, 8, db__system="sqlite", db__name="/b.db"),
    )
    assert [(e.target, e.calls) for e in graph.edges] == [("store:sqlite//a.db", 1), ("store:sqlite//b.db", 1)]


def test_a_third_party_declared_with_a_port_is_one_only_there() -> None:
    graph = graph_of(
        span(1, None, CLIENT, "a", 0, 9, server__address="Mail.example", server__port="25"),
        span(2, None, CLIENT, "a", 0, 9, server__address="mail.example", server__port="26"),
        span(3, None, CLIENT, "a", 0, 9, http__url="https://mail.example/x"),
        system=System(third_parties=("mail.example:25",)),
    )
    assert ends(graph) == [
        ("service:a", "peer:mail.example", "peer"),
        ("service:a", "peer:mail.example:26", "peer"),
        ("service:a", "third_party:mail.example:25", "third-party"),
    ]


def test_an_outer_client_span_is_no_second_peer() -> None:
    graph = graph_of(
        span(1, None, CLIENT, "a", 0, 9, server__address="b"),
        span(2, 1, CLIENT, "a", 1, 8, server__address="b"),
        span(3, 2, SERVER, "b", 2, 7),
    )
    assert ends(graph) == [("service:a", "service:b", "client-server")]


def test_errors_on_either_half_count_once() -> None:
    client, server = span(1, None, CLIENT, "a", 0, 9), span(2, 1, SERVER, "b", 2, 7)
    for halves in ((client, server), (client,), (server,)):
        failed = [replace(s, status=SpanStatus.ERROR) if s in halves else s for s in (client, server)]
        assert graph_of(*failed).edges[0].errors == 1
    assert graph_of(client, server).edges[0].errors == 0


def test_quantiles_are_exact_and_examples_are_the_first_ids() -> None:
    graph = graph_of(*(span(7, None, CLIENT, "a", 0, n, server__address="x", trace=str(n)) for n in range(100, -1, -1)))
    (edge,) = graph.edges
    exact = Latency(p50_ms=50.0, p90_ms=90.0, p95_ms=95.0, p99_ms=99.0, p999_ms=99.9, max_ms=100.0)
    assert astuple(edge.latency) == pytest.approx(astuple(exact), rel=0.02)
    assert edge.evidence == (
        Evidence(rule="peer", count=101, example_trace_ids=(f"{0:032x}", f"{1:032x}", f"{2:032x}")),
    )


def test_no_spans_are_an_empty_graph(tmp_path: Path) -> None:
    empty = ServiceGraph(nodes=(), edges=(), operations=(), traces=0, spans=0)
    assert graph_of() == empty
    write_table(spans_to_table([]), tmp_path / "spans.parquet")
    assert build_graph(tmp_path / "spans.parquet", System()) == empty


def test_parents_in_a_circle_are_no_calls_and_no_end() -> None:
    graph = graph_of(
        span(1, 1, CLIENT, "a", 0, 1), span(2, 3, CLIENT, "a", 0, 1), span(3, 2, SERVER, "b", 0, 1),
    )  # fmt: skip
    assert ends(graph) == [("service:a", "service:b", "client-server"), ("service:b", "service:a", "parent-child")]
    assert graph.orphans == ()


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_large_traces(shape: str) -> None:
    count = 10_000 if shape == "deep" else 100_000
    spans = [span(1, None, SERVER, "a", 0, 10)]
    for n in range(2, count + 1):
        kind, service = (CLIENT, "a") if n % 2 == 0 else (SERVER, "b")
        parent = n - 1 if shape == "deep" or n % 2 else 1
        spans.append(span(n, parent, kind, service, 0, 10))
    graph = graph_of(*spans)
    assert graph.spans == count
    by_ends = {(e.source, e.target): e.calls for e in graph.edges}
    assert by_ends["service:a", "service:b"] == count // 2 - 1
    assert graph.orphans == ()


def test_a_small_memory_limit_is_enough_for_much(tmp_path: Path) -> None:
    spans = [span(n, None if n == 1 else 1, CLIENT, f"s{n % 7}", 0, n, server__address="x") for n in range(1, 5_000)]
    table = spans_to_table(spans)
    many = pa.concat_tables(
        [table.set_column(1, table.schema.field(1), pa.array([n] * len(table), pa.int64())) for n in range(60)]
    )
    write_table(many, tmp_path / "spans.parquet")
    options = EngineOptions(memory_limit_mb=100, threads=1)
    graph = build_graph(tmp_path / "spans.parquet", System(), options=options)
    assert (graph.traces, graph.spans) == (60, 60 * 4_999)


@pytest.mark.parametrize("kind", ["missing", "text", "foreign", "empty folder", "table"])
def test_what_is_no_span_table_is_told(tmp_path: Path, kind: str) -> None:
    source: Path | pa.Table = tmp_path / "x.parquet"
    if kind == "text":
        (tmp_path / "x.parquet").write_text("hello")
    elif kind == "foreign":
        pq.write_table(pa.table({"a": [1]}), source)
    elif kind == "empty folder":
        source = tmp_path
    elif kind == "table":
        source = pa.table({"a": [1]})
    with pytest.raises(UsageError) as caught:
        build_graph(source, System())
    assert caught.value.code == "TB501"
    assert caught.value.cure
