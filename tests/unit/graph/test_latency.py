"""Figures of services, operations and edges, and the heatmap."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph import reference
from tests.unit.graph.span_makers import MS, make_span, prepared
from tests.unit.graph.test_graph_properties import SYSTEM, traces
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.heatmap import make_heatmap
from tracer_bullet.graph.latency import measure_latency
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Distribution, EdgeLatency, OperationLatency, Span, SpanKind, SpanLink, Trace, attributes
from tracer_bullet.traces import spans_to_table

SERVER, CLIENT, INTERNAL = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL
STORE = {"db__system": "sqlite", "db__name": "/a.db"}


def of(*ms: float) -> Distribution:
    return Distribution.of(round(m * MS) for m in ms)


def shop() -> list[Span]:
    """Two requests: web → cart → a store; the second asks the store twice, from a span between."""
    return [
        make_span(1, None, SERVER, "web", 0, 100, name="GET /"),
        make_span(2, 1, CLIENT, "web", 10, 60),
        make_span(3, 2, SERVER, "cart", 20, 50, name="GET /cart", failed=True),
        make_span(4, 3, CLIENT, "cart", 30, 40, **STORE),
        make_span(1, None, SERVER, "web", 1000, 1100, name="GET /", trace=2),
        make_span(2, 1, CLIENT, "web", 1010, 1060, trace=2),
        make_span(3, 2, SERVER, "cart", 1020, 1050, name="GET /cart", trace=2),
        make_span(4, 3, INTERNAL, "cart", 1021, 1049, name="load", trace=2),
        make_span(5, 4, CLIENT, "cart", 1030, 1035, trace=2, **STORE),
        make_span(6, 4, CLIENT, "cart", 1035, 1040, trace=2, failed=True, **STORE),
        make_span(1, None, INTERNAL, "late", 1900, 2000, trace=3),
    ]


def test_a_shop() -> None:
    with prepared(shop()) as engine:
        services, operations, edges = measure_latency(engine)
    assert [(s.service, s.calls, s.errors, s.rate_per_s) for s in services] == [("web", 2, 0, 1.0), ("cart", 2, 1, 1.0)]
    assert (services[1].durations, services[1].own) == (of(30, 30), of(20, 2))
    assert operations == (
        OperationLatency(
            service="web", name="GET /", calls=2, errors=0, rate_per_s=1.0, durations=of(100, 100), own=of(50, 50),
            fan_out=1.0, traces=2,
        ),
        OperationLatency(
            service="cart", name="GET /cart", calls=2, errors=1, rate_per_s=1.0, durations=of(30, 30), own=of(20, 2),
            fan_out=1.5, traces=2,
        ),
    )  # fmt: skip
    assert edges == (
        EdgeLatency(
            source="service:web", target="service:cart", calls=2, errors=1, rate_per_s=1.0, caller=of(50, 50),
            callee=of(30, 30), calls_per_trace=1.0,
        ),
        EdgeLatency(
            source="service:cart", target="store:sqlite//a.db", calls=3, errors=1, rate_per_s=1.5,
            caller=of(10, 5, 5), callee=Distribution(), calls_per_trace=1.5,
        ),
    )  # fmt: skip


def test_a_queue_has_both_sides_on_two_edges() -> None:
    queue = {"messaging__system": "kafka", "messaging__destination__name": "orders"}
    spans = [
        make_span(1, None, SpanKind.PRODUCER, "web", 0, 5, **queue),
        make_span(2, 1, SpanKind.CONSUMER, "mail", 20, 50, **queue),
    ]
    with prepared(spans) as engine:
        _, _, edges = measure_latency(engine)
    assert [(e.source, e.target, e.caller, e.callee) for e in edges] == [
        ("queue:kafka/orders", "service:mail", of(), of(30)),
        ("service:web", "queue:kafka/orders", of(5), of()),
    ]


def test_nobody_waits_for_a_link() -> None:
    earlier = make_span(1, None, SERVER, "web", 0, 5)
    later = replace(
        make_span(1, None, SERVER, "batch", 20, 50, trace=2),
        links=(SpanLink(trace_id=earlier.trace_id, span_id=earlier.span_id),),
    )
    with prepared([earlier, later]) as engine:
        _, operations, edges = measure_latency(engine)
    assert [(e.source, e.target, e.caller, e.callee) for e in edges] == [("service:web", "service:batch", of(), of(30))]
    assert [o.fan_out for o in operations] == [0, 0]


@settings(max_examples=20)
@given(traces())
def test_the_figures_agree_with_plain_python(spans: list[Span]) -> None:
    spans = [replace(s, links=()) for s in spans]
    with DuckEngine(spans_to_table(spans)) as engine:
        prepare(engine, SYSTEM)
        services, operations, edges = measure_latency(engine)
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.name != attributes.SEAL_SPAN_NAME:
            by_trace[span.trace_id].append(span)
    known = {s.service for some in by_trace.values() for s in some}
    uses: dict[tuple[str, str], list[reference.Use]] = defaultdict(list)
    entries: dict[str, list[Span]] = defaultdict(list)
    kept: list[Span] = []
    for trace_id, some in by_trace.items():
        trace = Trace.of(trace_id, some)
        kept += trace.spans
        for use in reference._uses(trace, SYSTEM, known):
            if use.counted:
                uses[use.source, use.target].append(use)
        for span in trace.spans:
            if reference.is_entry(trace, span):
                entries[span.service].append(span)
    seconds = (max(s.end_ns for s in kept) - min(s.start_ns for s in kept)) / 1e9 if kept else 0
    assert {(e.source, e.target): (e.calls, e.errors, e.calls_per_trace) for e in edges} == {
        ends: (len(some), sum(u.failed for u in some), len(some) / len({u.span.trace_id for u in some}))
        for ends, some in uses.items()
    }
    for edge in edges:
        timed = edge.callee if edge.source.startswith("queue:") else edge.caller
        assert timed == Distribution.of(u.duration_ns for u in uses[edge.source, edge.target])
        assert edge.rate_per_s == (pytest.approx(edge.calls / seconds) if seconds > 0 else 0)
    assert {s.service: (s.calls, s.errors, s.durations) for s in services} == {
        service: (len(some), sum(s.failed for s in some), Distribution.of(s.end_ns - s.start_ns for s in some))
        for service, some in entries.items()
    }
    assert Counter({s.service: s.calls for s in services}) == sum(
        (Counter({o.service: o.calls}) for o in operations), Counter()
    )


def test_nothing_gives_nothing() -> None:
    with prepared([]) as engine:
        assert measure_latency(engine) == ((), (), ())
        assert make_heatmap(engine) is None


def test_a_heatmap_by_hand() -> None:
    spans = [
        make_span(1, None, SERVER, "web", at, at + length, trace=number + 1)
        for number, (at, length) in enumerate([(0, 1), (0, 1.2), (10, 3), (600, 100)])
    ]
    # Lost and inner spans count only where nothing else is.
    spans.append(make_span(2, 1, SERVER, "web", 0, 90))
    spans.append(make_span(3, 77, SERVER, "web", 0, 90))
    with prepared(spans) as engine:
        heatmap = make_heatmap(engine)
    assert heatmap is not None
    # 601 ms in 60 slots of 10 ms and 1 ns; from 2^19 ns, in powers of two: 0.52, 1.05, 2.1, …
    assert (heatmap.start_ns, heatmap.slot_ns, heatmap.slots) == (0, 10 * MS + 1, 60)
    assert (heatmap.row_0_ms, heatmap.rows) == (2**19 / MS, 8)
    assert heatmap.cells == ((0, 0, 1), (0, 1, 1), (0, 2, 1), (59, 7, 1))


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(-5, 10**12)), min_size=1, max_size=30), st.booleans())
def test_a_heatmap_holds_each_root_once(roots: list[tuple[int, int]], lost: bool) -> None:
    spans = [
        make_span(1, 9 if lost else None, SERVER, "web", at / MS, (at + length) / MS, trace=number + 1)
        for number, (at, length) in enumerate(roots)
    ]
    spans = [s for s in spans if s.end_ns >= 0]
    with prepared(spans) as engine:
        heatmap = make_heatmap(engine)
    if not spans:
        assert heatmap is None
        return
    assert heatmap is not None
    assert sum(n for *_, n in heatmap.cells) == len(spans)
    assert heatmap.slots <= 60
    last = heatmap.start_ns + heatmap.slots * heatmap.slot_ns
    assert heatmap.start_ns == min(s.start_ns for s in spans)
    assert last - heatmap.slot_ns <= max(s.start_ns for s in spans) < last
    assert all(0 <= slot < heatmap.slots and 0 <= row < heatmap.rows for slot, row, _ in heatmap.cells)
    longest = max(max(s.end_ns - s.start_ns, 1) for s in spans) / MS
    assert heatmap.row_0_ms * 2 ** (heatmap.rows - 1) <= longest * (1 + 1e-9)
    assert longest < heatmap.row_0_ms * 2**heatmap.rows * (1 + 1e-9)
