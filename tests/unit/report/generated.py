"""Hypothesis strategies for whole runs with any text in every name."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.unit.report.shop_run import Run
from tracer_bullet.model import (
    BulletVerdict,
    Check,
    Edge,
    Evidence,
    Finding,
    Latency,
    Node,
    NodeKind,
    Operation,
    Outcome,
    RequestType,
    RunManifest,
    ServiceGraph,
    Severity,
    Span,
    SpanKind,
    SpanStatus,
    Trace,
    Verdict,
)

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "'\"><b>bold</b>",
    "\\",
    'a"b\\',
    "\\N\\G\\E",
    "end",
    "%%{init: {}}%%",
    "style a:#35;",
    "classDef x:#y;",
    "--> x",
    "]]>",
    "&lt;&amp;&#60;",
    "#quot;#35;",
    "a#lt;b-c_d.e",
    "{{ 7 * 7 }}",
    "1. one",
    "- item",
    "`code`",
    "$$x$$",
    "fa:fa-car",
    "subgraph",
    "\x1b[31mred\x1b[0m",
    "\x00\x07",
    "\u202eabc",
    "\ud800",
    "\ufffe\U0001ffff",
    "line\nbreak\r\n",
    "日本語のサービス",
    "ﬂ°x¶ß",
    "x" * 400,
)
any_text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=()), max_size=30))
numbers = st.one_of(st.floats(min_value=0, max_value=1e7), st.sampled_from([0.0, float("nan"), float("inf"), 1e308]))
counts = st.integers(min_value=0, max_value=10**9)
latencies = st.builds(Latency, p50_ms=numbers, p90_ms=numbers, p95_ms=numbers, p99_ms=numbers, max_ms=numbers)
outcomes = st.sampled_from(Outcome)


@st.composite
def spans(draw: st.DrawFn, trace_id: str, services: list[str]) -> tuple[Span, ...]:
    made: list[Span] = []
    for i in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, 10**9))
        parent = draw(st.sampled_from([None, "ffffffffffffffff", *[s.span_id for s in made], f"{i:016x}"]))
        attributes = draw(
            st.dictionaries(
                st.sampled_from(
                    [
                        "tb.request_type",
                        "tb.guard.decision",
                        "tb.guard.operation",
                        "tb.guard.count",
                        "tb.carriers",
                        "tb.refused",
                    ]
                ),
                st.one_of(any_text, st.sampled_from(["TRACE", "rolled_back", "allowed", "baggage,header", "3"])),
            )
        )
        made.append(
            Span(
                trace_id=trace_id,
                span_id=f"{i:016x}",
                parent_id=parent,
                name=draw(any_text),
                kind=draw(st.sampled_from(SpanKind)),
                service=draw(st.sampled_from(services)),
                start_ns=start,
                end_ns=start + draw(st.integers(-1000, 10**9)),
                status=draw(st.sampled_from(SpanStatus)),
                status_message=draw(any_text),
                attributes=attributes,
            )
        )
    return tuple(made)


def findings(services: list[str], trace_id: str) -> st.SearchStrategy[Finding]:
    return st.builds(
        Finding,
        rule=any_text,
        severity=st.sampled_from(Severity),
        message=any_text,
        cure=any_text,
        service=st.sampled_from(services),
        hop=st.tuples(st.sampled_from(services), st.sampled_from(services)).map(" → ".join),
        operation=any_text,
        trace_id=st.just(trace_id),
        span_id=st.sampled_from(["", f"{0:016x}"]),
    )


@st.composite
def graphs(draw: st.DrawFn, services: list[str]) -> ServiceGraph:
    nodes = draw(
        st.lists(
            st.builds(
                Node,
                id=st.one_of(st.sampled_from(services), any_text),
                name=st.sampled_from(services),
                kind=st.sampled_from(NodeKind),
                system=any_text,
                calls=counts,
                errors=counts,
            ),
            max_size=6,
            unique_by=lambda n: n.id,
        )
    )
    ids = st.sampled_from([*[n.id for n in nodes], "service:nobody"])
    evidence = st.builds(Evidence, rule=any_text, count=counts, example_trace_ids=st.tuples(any_text))
    edge = st.builds(
        Edge,
        source=ids,
        target=ids,
        calls=counts,
        errors=counts,
        latency=latencies,
        evidence=st.tuples(evidence),
        writes=counts,
        decisions=st.tuples(st.tuples(any_text, counts)),
        asynchronous=st.booleans(),
    )
    operation = st.builds(
        Operation, service=any_text, name=any_text, calls=counts, errors=counts, latency=latencies, self_p50_ms=numbers
    )
    return ServiceGraph(
        nodes=tuple(nodes),
        edges=tuple(draw(st.lists(edge, max_size=8, unique_by=lambda e: (e.source, e.target, e.asynchronous)))),
        operations=tuple(draw(st.lists(operation, max_size=3))),
        traces=draw(counts),
        spans=draw(counts),
        orphans=tuple(draw(st.lists(st.tuples(any_text, counts), max_size=2))),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    services = draw(st.lists(any_text, min_size=1, max_size=5))
    bullets, traces = [], []
    for i in range(draw(st.integers(0, 3))):
        trace_id = f"{i + 1:032x}"
        traces.append(Trace.of(trace_id, draw(spans(trace_id, services))))
        check = st.builds(
            Check,
            name=any_text,
            passed=st.booleans(),
            expected=any_text,
            actual=any_text,
            where=any_text,
            step=any_text,
        )
        bullets.append(
            BulletVerdict(
                bullet=i,
                trace_id=trace_id,
                outcome=draw(outcomes),
                checks=tuple(draw(st.lists(check, max_size=2))),
                findings=tuple(draw(st.lists(findings(services, trace_id), max_size=2))),
            )
        )
    manifest = RunManifest(
        run_id=draw(any_text),
        kind="fire",
        scenario=draw(any_text),
        scenario_file=draw(any_text),
        target=draw(any_text),
        target_url=draw(any_text),
        production=draw(st.booleans()),
        request_type=draw(st.sampled_from(RequestType)),
        bullets=len(bullets),
        concurrency=1,
        started_ns=draw(st.integers(-(2**70), 2**70)),
        ended_ns=draw(st.one_of(st.none(), st.integers(0, 2**63))),
        fired_by=draw(any_text),
        versions=draw(st.dictionaries(any_text, any_text, max_size=2)),
    )
    verdict = Verdict(
        run_id=manifest.run_id,
        scenario=manifest.scenario,
        outcome=draw(outcomes),
        bullets=tuple(bullets),
        findings=tuple(f for b in bullets for f in b.findings),
        planned=draw(st.integers(0, 5)),
    )
    return Run(manifest=manifest, verdict=verdict, graph=draw(graphs(services)), traces=tuple(traces))
