"""Sets of spans analysed together are the sum of their parts; how ids were spelled does not matter."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.test_graph_properties import SYSTEM, traces
from tracer_bullet.graph import build_graph
from tracer_bullet.graph.distributions import read_distributions
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Distribution, ServiceGraph, Span, SpanLink
from tracer_bullet.traces import spans_to_table, write_table
from tracer_bullet.traces.otlp_json import decode_json

Sums = dict[tuple[object, ...], Counter[str]]


def sums(graph: ServiceGraph) -> Sums:
    """All that adds up, by what it is of."""
    found: Sums = {("all",): Counter({"traces": graph.traces, "spans": graph.spans})}
    for edge in graph.edges:
        found["edge", edge.source, edge.target] = Counter(
            {"calls": edge.calls, "errors": edge.errors, "writes": edge.writes}
            | {f"rule {e.rule}": e.count for e in edge.evidence}
            | {f"decision {name}": count for name, count in edge.decisions}
        )
    for operation in graph.operations:
        found["operation", operation.service, operation.name] = Counter(
            {"calls": operation.calls, "errors": operation.errors}
        )
    for node in graph.nodes:
        found["node", node.id] = Counter({"calls": node.calls, "errors": node.errors})
    found |= {("orphans", service): Counter({"spans": count}) for service, count in graph.orphans}
    return {key: +counted for key, counted in found.items() if +counted}


def durations(spans: list[Span]) -> dict[tuple[object, ...], Distribution]:
    """By edge, and by operation's own time."""
    with DuckEngine(spans_to_table(spans)) as engine:
        prepare(engine, SYSTEM)
        ends = (
            "e.source_kind",
            "e.source_name",
            "e.source_system",
            "e.target_kind",
            "e.target_name",
            "e.target_system",
        )
        of_edges = "usage AS u JOIN edge AS e ON u.edge_id = e.edge_id WHERE u.counted"
        own = "span AS s JOIN own_time AS o ON s.row_id = o.row_id"
        return {
            **read_distributions(engine, ends, "u.duration_ns", of_edges),
            **read_distributions(engine, ("s.service", "s.name"), "o.own_ns", own),
        }


def in_other_traces(spans: list[Span]) -> list[Span]:
    """The same spans under other trace ids, so that two sets have no trace in common; links stay within the set."""

    def moved(trace_id: str) -> str:
        return f"{int(trace_id, 16) + 1:032x}"

    return [
        replace(
            s,
            trace_id=moved(s.trace_id),
            links=tuple(SpanLink(trace_id=moved(k.trace_id), span_id=k.span_id) for k in s.links),
        )
        for s in spans
    ]


@settings(max_examples=20, deadline=None)
@given(traces(), traces())
def test_two_sets_together_are_the_sum_of_both(first: list[Span], other: list[Span]) -> None:
    second = in_other_traces(other)
    # A peer that is a service of the other set is one when they are together; so all services are known to both.
    known = list({s.service: s for s in [*first, *second]}.values())
    first, second = ([*some, *_alone(known, bit)] for some, bit in ((first, 1), (second, 2)))
    parts = [sums(build_graph(spans_to_table(some), SYSTEM)) for some in (first, second)]
    together = sums(build_graph(spans_to_table([*first, *second]), SYSTEM))
    assert together == {
        key: parts[0].get(key, Counter()) + parts[1].get(key, Counter()) for key in {**parts[0], **parts[1]}
    }
    one, two, both = durations(first), durations(second), durations([*first, *second])
    assert both == {key: one.get(key, Distribution()).merge(two.get(key, Distribution())) for key in {**one, **two}}


def _alone(spans: list[Span], bit: int) -> list[Span]:
    """A root of each service, in a trace of its own."""
    return [
        replace(s, trace_id=f"{bit << 120 | n:032x}", parent_id=None, links=(), attributes={}, name="alone")
        for n, s in enumerate(spans, 1)
    ]


@settings(max_examples=15, deadline=None)
@given(traces(), st.randoms(use_true_random=False))
def test_ids_in_any_case_and_batches_of_any_size(made: list[Span], random: object) -> None:
    # OTLP has no span that begins at zero or ends before.
    spans = [replace(s, start_ns=s.start_ns + 1, end_ns=max(s.start_ns, s.end_ns) + 1) for s in made]
    wanted = build_graph(spans_to_table(spans), SYSTEM)
    cut = random.randrange(len(spans) + 1)  # type: ignore[attr-defined]
    with TemporaryDirectory() as folder:
        for number, some in enumerate((spans[:cut], spans[cut:])):
            columns = decode_json(otlp(some, random)).columns
            write_table(pa.Table.from_batches([columns.to_arrow()]), Path(folder) / f"{number}.parquet")
        assert build_graph(Path(folder), SYSTEM) == wanted


def otlp(spans: list[Span], random: object) -> bytes:
    """An OTLP JSON body of a resource a span, each digit of its ids in either case."""

    def spelled(text: str) -> str:
        return "".join(random.choice((c.upper(), c)) for c in text)  # type: ignore[attr-defined]

    def texts(values: dict[str, str]) -> list[dict[str, object]]:
        return [{"key": k, "value": {"stringValue": v}} for k, v in values.items()]

    return json.dumps({
        "resourceSpans": [
            {
                "resource": {"attributes": texts({"service.name": s.service})},
                "scopeSpans": [{"spans": [{
                    "traceId": spelled(s.trace_id), "spanId": spelled(s.span_id),
                    "parentSpanId": spelled(s.parent_id or ""), "name": s.name, "kind": int(s.kind),
                    "startTimeUnixNano": str(s.start_ns), "endTimeUnixNano": str(s.end_ns),
                    "status": {"code": int(s.status)}, "attributes": texts(dict(s.attributes)),
                    "links": [{"traceId": spelled(k.trace_id), "spanId": spelled(k.span_id)} for k in s.links],
                }]}],
            }
            for s in spans
        ]
    }).encode()  # fmt: skip
