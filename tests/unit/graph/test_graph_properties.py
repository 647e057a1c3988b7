"""The graph against a plain-Python reference, and its indifference to order, copies, borders and files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.reference import Facts, assemble
from tracer_bullet.graph import EngineOptions, build_graph
from tracer_bullet.model import NodeKind, ServiceGraph, Span, SpanKind, SpanLink, SpanStatus, System, attributes
from tracer_bullet.traces import spans_to_table, write_table

SYSTEM = System(third_parties=("*.pay.example", "mail.example:25"))
SERVICES = ("web", "cart", "stock", attributes.HARNESS_SERVICE)
HINTS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"db.system": "sqlite", "db.name": "/data/a.db"},
    {"db.system": "sqlite", "db.name": "a.db"},
    {"db.system.name": "sqlite"},
    {"db.system.name": "postgresql", "server.address": "DB".lower(), "server.port": "5432", "db.namespace": "orders"},
    {"db.system": "postgresql", "net.peer.name": "db", "db.name": "orders"},
    {"db.system": "postgresql", "net.peer.name": "db", "net.peer.port": "5433"},
    {"messaging.system": "kafka", "messaging.destination.name": "orders"},
    {"messaging.destination": "orders"},
    {"messaging.destination.name": "orders", "messaging.operation.type": "receive"},
    {"messaging.destination.name": "orders", "messaging.operation.type": "create"},
    {"server.address": "api.pay.example"},
    {"http.url": "http://user:secret@mail.example:25/x?y"},
    {"url.full": "https://mail.example/x"},
    {"url.full": "http://[::1]:8080/"},
    {"server.address": "cart", "server.port": "8000"},
    {"peer.service": "cart"},
    {"peer.service": "mainframe"},
    {"network.peer.address": "10.0.0.1"},
)
DECISIONS = (None, None, None, "rolled_back", "stubbed", "suppressed")


# To spans of these traces, most of which are there; to the span itself too.
LINKS = st.builds(
    lambda number, index: SpanLink(trace_id=f"{number << 62:032x}", span_id=f"{index << 60:016x}"),
    st.integers(1, 3),
    st.integers(1, 6),
)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Spans of up to three traces: trees with gaps, roots anywhere, every mix of kinds and hints."""
    spans: list[Span] = []
    for number in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 10))
        for index in range(size):
            start = draw(st.integers(0, 40))
            hints = dict(draw(st.sampled_from(HINTS)))
            decision = draw(st.sampled_from(DECISIONS))
            if decision is not None:
                hints[attributes.DECISION] = decision
            parent = draw(st.none() | st.integers(0, size))  # `size` itself is nobody: an orphan
            spans.append(
                Span(
                    trace_id=f"{(number + 1) << 62:032x}",
                    span_id=f"{(index + 1) << 60:016x}",
                    parent_id=None if parent is None else f"{(parent + 1) << 60:016x}",
                    name=draw(st.sampled_from(("a", "b", attributes.SEAL_SPAN_NAME))),
                    kind=draw(st.sampled_from(SpanKind)),
                    service=draw(st.sampled_from(SERVICES)),
                    start_ns=start,
                    end_ns=draw(st.integers(max(0, start - 2), 40)),
                    status=draw(st.sampled_from(SpanStatus)),
                    attributes=hints,
                    links=tuple(draw(st.lists(LINKS, max_size=2))) if draw(st.booleans()) else (),
                )
            )
    return spans


def facts(graph: ServiceGraph) -> Facts:
    return Facts(
        edges={
            (e.source, e.target): (
                e.calls,
                e.errors,
                e.asynchronous,
                tuple((x.rule, x.count) for x in e.evidence),
                e.decisions,
                e.latency,
            )
            for e in graph.edges
        },
        operations={
            (o.service, o.name): (
                o.calls, o.errors, o.latency, o.self_p50_ms
            )
            for o in graph.operations
        },
        services={n.id: (n.calls, n.errors) for n in graph.nodes if n.kind in (NodeKind.SERVICE, NodeKind.HARNESS)},
        orphans=dict(graph.orphans),
        spans=graph.spans,
        traces=graph.traces,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(traces())
def test_the_sql_agrees_with_plain_python(spans: list[Span]) -> None:
    assert facts(build_graph(spans_to_table(spans), SYSTEM)) == assemble(spans, SYSTEM)


@settings(max_examples=20, deadline=None)
@given(traces(), st.data())
def test_order_copies_and_borders_do_not_matter(spans: list[Span], data: st.DataObject) -> None:
    wanted = build_graph(spans_to_table(spans), SYSTEM)
    copies = data.draw(st.lists(st.sampled_from(spans), max_size=5))
    # A piece of a span that was exported too early ends earlier and says less.
    early = [
        Span(**{**{f: getattr(s, f) for f in s.__slots__}, "end_ns": s.end_ns - 1, "attributes": {}}) for s in copies
    ]
    shuffled = data.draw(st.permutations([*spans, *copies, *early]))
    cut = data.draw(st.integers(0, len(shuffled)))
    parts = [spans_to_table(shuffled[:cut]), spans_to_table(shuffled[cut:])]
    assert build_graph(pa.concat_tables(parts), SYSTEM, options=EngineOptions(threads=1)) == wanted
    with TemporaryDirectory(prefix="spans[1]*") as folder:
        for number, part in enumerate(parts):
            write_table(part, Path(folder) / f"{number}.parquet")
        assert build_graph(Path(folder), SYSTEM) == wanted


@settings(max_examples=20, deadline=None)
@given(traces())
def test_every_edge_ends_at_nodes_and_everything_is_sorted(spans: list[Span]) -> None:
    graph = build_graph(spans_to_table(spans), SYSTEM)
    ids = [n.id for n in graph.nodes]
    assert ids == sorted(set(ids))
    ends = [(e.source, e.target) for e in graph.edges]
    assert ends == sorted(set(ends))
    assert {end for pair in ends for end in pair} <= set(ids)
    for edge in graph.edges:
        counted = sum(x.count for x in edge.evidence if x.rule != "link")
        assert 0 < edge.calls <= sum(x.count for x in edge.evidence)
        assert edge.calls >= counted, "a link may only repeat what another rule says"
        assert edge.writes == sum(n for _, n in edge.decisions)
        for evidence in edge.evidence:
            examples = evidence.example_trace_ids
            assert 0 < len(examples) <= 3
            assert {s.trace_id for s in spans} >= set(examples)
            assert len(set(examples)) == len(examples)
