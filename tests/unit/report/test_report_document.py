from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.generated import any_text, runs
from tests.unit.report.shop_run import LOST, Run, shop_run, wide_graph
from tracer_bullet.model import (
    Edge,
    Latency,
    Node,
    NodeKind,
    Outcome,
    RequestType,
    ServiceGraph,
    Severity,
    Span,
    SpanKind,
    Trace,
    Verdict,
)
from tracer_bullet.report import Document, build_document, text
from tracer_bullet.report.edge_view import GraphContext
from tracer_bullet.report.graph_view import build_graph_view, cut_graph
from tracer_bullet.report.shape import Tone


def document(run: Run) -> Document:
    return build_document(run.manifest, run.verdict, run.graph, run.traces)


@pytest.fixture(scope="module")
def failed() -> Document:
    return document(shop_run(bullets=60, lost=[4, 9, 30], missing=[2]))


def test_a_clean_run_adds_up() -> None:
    made = document(shop_run(bullets=20))
    assert made.outcome is Outcome.PASSED
    assert made.headline == "20 bullets went through 7 services and left nothing behind."
    assert made.totals.decisions == (("rolled_back", 100), ("stubbed", 20), ("suppressed", 20))
    assert (made.totals.writes, made.totals.undecided) == (140, 0)
    assert (made.totals.hops, made.totals.hops_marked) == (7, 7)
    assert {h.carriers for h in made.hops} == {"all three"}
    assert not made.findings
    assert [c.tally for c in made.checks] == ["20 of 20 bullets"] * 7


def test_a_failed_run_names_hop_write_and_cure(failed: Document) -> None:
    assert failed.headline == "3 of 60 bullets failed."
    assert [(f.rule, f.bullets) for f in failed.findings] == [
        ("flag-lost", 3),
        ("unguarded-write", 3),
        ("trace-incomplete", 1),
    ]
    assert failed.findings[0].where == "checkout → payment · POST /charges"
    broken = [h for h in failed.hops if h.tone is Tone.BAD]
    assert [(h.caller, h.callee, h.state) for h in broken] == [("checkout", "payment", "no flag on 3 calls")]
    assert failed.writes[0].decision == "none"
    assert failed.writes[0].times == "3 in 3 traces"
    bare = next(e for e in failed.graph.edges if e.target_name == "payment-db")
    assert (bare.label_alert, bare.undecided) == ("1 finding", 3)
    assert bare.writes_text == "57 rolled_back, 3 without a guard's decision"
    assert [c.name for c in failed.checks if c.missed] == ["payment is asked once", "no writes"]
    assert failed.checks[0].sample.startswith("bullet 4, trace ")


def test_examples_follow_the_rule(failed: Document) -> None:
    assert [e.why for e in failed.examples] == ["first failed", "first inconclusive", "slowest", "typical"]
    assert failed.examples[0].title == "Bullet 4"
    assert failed.examples[1].title == "Bullet 2"
    marks = {m.text for r in failed.examples[0].rows for m in r.marks}
    assert {"flag-lost", "no flag", "unguarded-write", "rolled_back", "stubbed", "suppressed"} == marks


def test_one_trace_is_shown_once_with_all_reasons() -> None:
    assert [e.why for e in document(shop_run(bullets=1)).examples] == ["slowest and typical"]


def test_the_control_run_says_that_no_flag_was_sent() -> None:
    made = document(shop_run(bullets=2, request_type=RequestType.STANDARD))
    assert {h.state for h in made.hops} == {"no flag was sent"}
    assert not [m for e in made.examples for r in e.rows for m in r.marks if m.text == "no flag"]


def test_bars_stay_inside_the_drawing(failed: Document) -> None:
    for row in (r for e in failed.examples for r in e.rows):
        assert 0 <= row.left <= 1000
        assert row.left + row.width <= 1000.01
    bars = [e.timing.bar for e in failed.graph.edges]
    assert max(b.p95 for b in bars) == 1000.0


def _span(n: int, parent: int | None, service: str, kind: SpanKind, **attributes: str) -> Span:
    return Span(
        trace_id="1" * 32,
        span_id=f"{n:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name="x",
        kind=kind,
        service=service,
        start_ns=n,
        end_ns=n + 10,
        attributes={k.replace("__", "."): v for k, v in attributes.items()},
    )


FLAG = {"tb__request_type": "TRACE"}
PASSED_ON = "passed on by a service that does not mark its spans"


@pytest.mark.parametrize(
    ("middle", "below", "found", "state", "tone"),
    [
        (FLAG, FLAG, False, "arrived", Tone.GOOD),
        ({}, FLAG, False, PASSED_ON, Tone.GOOD),
        ({}, FLAG, True, PASSED_ON, Tone.BAD),
        ({}, {}, False, "no flag on 1 call", Tone.WARN),
        ({}, {}, True, "no flag on 1 call", Tone.BAD),
        ({"tb__refused": "flag-lost"}, {}, False, "1 call refused", Tone.BAD),
        (FLAG | {"tb__carriers": "header"}, FLAG, False, "arrived", Tone.GOOD),
        (FLAG | {"tb__carriers": "header"}, FLAG, True, "arrived, but not on every carrier", Tone.BAD),
    ],
)
def test_states_of_a_hop(middle: dict[str, str], below: dict[str, str], found: bool, state: str, tone: Tone) -> None:
    trace = Trace.of(
        "1" * 32,
        [
            _span(1, None, "tracer-bullet", SpanKind.CLIENT, **FLAG),
            _span(2, 1, "middle", SpanKind.SERVER, **middle),
            _span(3, 2, "below", SpanKind.SERVER, **below),
        ],
    )
    run = shop_run(bullets=1)
    told = (replace(LOST, hop="tracer-bullet → middle"),) if found else ()
    made = build_document(run.manifest, replace(run.verdict, findings=told), run.graph, [trace])
    assert (made.hops[0].callee, made.hops[0].state, made.hops[0].tone) == ("middle", state, tone)


def test_carriers_that_only_the_seal_tells_count_once_and_its_span_is_no_call() -> None:
    seal = replace(
        _span(3, 1, "cart", SpanKind.INTERNAL, **FLAG, tb__carriers="baggage,header"), name="tracer-bullet seal"
    )
    spans = [_span(1, None, "gateway", SpanKind.CLIENT, **FLAG), _span(2, 1, "cart", SpanKind.SERVER, **FLAG), seal]
    run = shop_run(bullets=1)

    def carriers(spans: list[Span]) -> tuple[str, str]:
        made = build_document(run.manifest, run.verdict, run.graph, [Trace.of("1" * 32, spans)])
        return made.hops[0].marked, made.hops[0].carriers

    assert carriers(spans) == ("1 of 1 call", "baggage 1/1, tracestate 0/1, header 1/1")
    spans[1] = _span(2, 1, "cart", SpanKind.SERVER, **FLAG, tb__carriers="baggage,tracestate,header")
    assert carriers(spans) == ("1 of 1 call", "all three")


def test_the_inner_of_two_spans_of_one_write_is_not_counted() -> None:
    decided = {"tb__guard__decision": "rolled_back", "tb__guard__operation": "INSERT carts"}
    spans = [
        _span(1, None, "cart", SpanKind.CLIENT, **decided),
        _span(2, 1, "cart", SpanKind.CLIENT, **decided),
        _span(3, 1, "other", SpanKind.CLIENT, **decided),
    ]
    run = shop_run(bullets=1)
    made = build_document(run.manifest, run.verdict, run.graph, [Trace.of("1" * 32, spans)])
    assert made.totals.writes == 2


def test_a_span_that_stands_for_several_writes_counts_as_several() -> None:
    spans = [
        _span(1, None, "cart", SpanKind.SERVER),
        _span(2, 1, "cart", SpanKind.CLIENT, tb__guard__decision="rolled_back", tb__guard__count="5"),
        _span(3, 1, "cart", SpanKind.CLIENT, tb__guard__decision="rolled_back", tb__guard__count="nonsense"),
    ]
    run = shop_run(bullets=1)
    graph = ServiceGraph(nodes=(), edges=(), operations=(), traces=1, spans=3)
    made = build_document(run.manifest, run.verdict, graph, [Trace.of("1" * 32, spans)])
    assert made.totals.writes == 6
    assert made.writes[0].times == "6 in 1 trace"


def test_a_large_trace_keeps_what_is_marked() -> None:
    spans = [_span(0, None, "root", SpanKind.SERVER)]
    spans += [_span(i, 0, "leaf", SpanKind.INTERNAL) for i in range(1, 3000)]
    spans += [_span(3000 + i, 2999, "leaf", SpanKind.CLIENT, tb__guard__decision="denied") for i in range(5)]
    run = shop_run(bullets=1)
    made = build_document(run.manifest, run.verdict, run.graph, [Trace.of("1" * 32, spans)])
    rows = made.examples[0].rows
    assert len(rows) == 250
    assert sum(1 for r in rows for m in r.marks if m.text == "denied") == 5
    assert made.examples[0].note == "2,755 further spans left out: marked and longest spans come first."


def test_a_very_deep_trace_is_no_trouble() -> None:
    spans = [_span(i, i - 1 if i else None, f"s{i % 3}", SpanKind.SERVER) for i in range(10_000)]
    run = shop_run(bullets=1)
    made = build_document(run.manifest, run.verdict, run.graph, [Trace.of("1" * 32, spans)])
    assert max(r.indent for r in made.examples[0].rows) == 24


def test_an_end_without_a_node_becomes_an_unknown_peer() -> None:
    quick = Latency(p50_ms=1, p90_ms=1, p95_ms=1, p99_ms=1, p999_ms=1, max_ms=1)
    edge = Edge(source="service:a", target="10.0.0.9:80", calls=1, errors=0, latency=quick, evidence=())
    run = shop_run(bullets=1)
    graph = ServiceGraph(nodes=(), edges=(edge,), operations=(), traces=1, spans=1)
    made = build_document(run.manifest, run.verdict, graph, ())
    assert [(n.name, n.kind_text) for n in made.graph.nodes] == [
        ("10.0.0.9:80", "unknown peer"),
        ("service:a", "unknown peer"),
    ]


def test_a_cut_graph_says_so_and_keeps_failing_parts() -> None:
    run = replace(shop_run(bullets=1), graph=wide_graph())
    view = document(run).graph
    cut = cut_graph(view, max_nodes=20, max_edges=10)
    assert len(cut.nodes) == 20
    assert len(cut.edges) <= 10
    assert cut.note.startswith("Drawn: 20 of 61 parts and ")
    failing = [n.key for n in view.nodes if n.errors]
    assert set(failing[:19]) <= {n.key for n in cut.nodes}
    assert cut_graph(view, max_nodes=100, max_edges=200) is view


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 100_000, "<0.1 %"),
        (99_999, 100_000, ">99.9 %"),
        (1, 3, "33.3 %"),
        (1, 0, "–"),
    ],
)
def test_percent(part: int, whole: int, said: str) -> None:
    assert text.percent(part, whole) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0 ms"),
        (0.001, "<0.01 ms"),
        (0.42, "0.42 ms"),
        (0.996, "1.0 ms"),
        (99.96, "100 ms"),
        (999.6, "1.00 s"),
        (61_500, "61.50 s"),
        (float("nan"), "–"),
        (None, "–"),
        (-0.5, "-0.50 ms"),
    ],
)
def test_milliseconds(value: float | None, said: str) -> None:
    assert text.ms(value) == said


@given(any_text)
def test_cleaned_text_can_be_encoded_and_moves_no_cursor(value: str) -> None:
    made = text.line(value)
    made.encode("utf-8")
    assert made == text.line(made)
    assert len(made) <= 300
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in made)


@given(runs())
def test_any_run_gives_a_document_and_equal_runs_equal_documents(run: Run) -> None:
    made = document(run)
    assert repr(made) == repr(document(run))
    assert len({n.id for n in made.graph.nodes}) == len(made.graph.nodes)
    keys = {n.key for n in made.graph.nodes}
    assert all({e.source, e.target} <= keys for e in made.graph.edges)
    assert len(made.graph.edges) == len(run.graph.edges)
    assert made.totals.planned >= made.totals.judged == len(run.verdict.bullets)


@given(runs(), st.integers(0, 10), st.integers(0, 10))
def test_a_cut_never_leaves_a_loose_end(run: Run, nodes: int, edges: int) -> None:
    cut = cut_graph(document(run).graph, max_nodes=nodes, max_edges=edges)
    keys = {n.key for n in cut.nodes}
    assert len(keys) <= nodes
    assert len(cut.edges) <= edges
    assert all({e.source, e.target} <= keys for e in cut.edges)


@given(runs())
def test_errors_come_before_gaps_and_warnings(run: Run) -> None:
    order = [Severity.ERROR, Severity.GAP, Severity.WARNING]
    ranks = [order.index(f.severity) for f in document(run).findings]
    assert ranks == sorted(ranks)


def test_a_database_file_is_shown_by_its_last_part_where_that_says_which() -> None:
    def store(path: str) -> Node:
        return Node(id=f"store:{path}", name=path, kind=NodeKind.STORE, system="sqlite")

    nodes = (store("/var/a/app.db"), store("/var/b/app.db"), store("/var/c/orders.db"), store("db:5432/x"))
    graph = ServiceGraph(nodes=nodes, edges=(), operations=(), traces=0, spans=0)
    verdict = Verdict(run_id="r", scenario="s", outcome=Outcome.PASSED, bullets=())
    shown = {n.id: n for n in build_graph_view(graph, GraphContext(verdict=verdict)).nodes}
    assert {n.name for n in shown.values()} == {"/var/a/app.db", "/var/b/app.db", "orders.db", "db:5432/x"}
    assert ("File", "/var/c/orders.db") in [(f.label, f.value) for f in shown["store:/var/c/orders.db"].facts]
