"""The walk of all traces at once against the plain reference, and what must hold of every critical path."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pyarrow as pa
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.unit.graph.path_reference import Section, critical_path, jaeger_path, root_of, windows
from tests.unit.graph.span_makers import MS, make_span
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.paths import find_critical_paths, trace_critical_path
from tracer_bullet.graph.paths.single import columns_of
from tracer_bullet.graph.paths.walk import walk_paths
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import CriticalPaths, Span, SpanKind, SpanLink, System, Trace
from tracer_bullet.traces import spans_to_table

KINDS = (SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)


@st.composite
def some_spans(draw: st.DrawFn, *, wild: bool = True, step: int = 1) -> list[Span]:
    """Spans of up to three traces: real trees, in which siblings often meet, tie and overlap and some stick out.

    `wild` ones have orphans, several roots, circles, links to parents and empty spans too. Chance makes them of a
    seed, since trees drawn piece by piece are mostly stumps.
    """
    rng = random.Random(draw(st.integers(0, 2**32)))
    return [
        span
        for number in range(draw(st.integers(1, 3)))
        for span in _trace(rng, f"{(number << 64) + rng.randrange(1, 5):032x}", draw(st.integers(1, 16)), wild, step)
    ]


def _trace(rng: random.Random, trace: str, size: int, wild: bool, step: int) -> list[Span]:
    spans: list[Span] = []
    ids = [f"{i:016x}" for i in rng.sample(range(1, 40), size)]
    for index in range(size):
        parent = ids[rng.randrange(max(0, index - 5), index)] if index else None
        if wild and rng.random() < 0.12:
            parent = rng.choice((None, "f" * 16, rng.choice(ids)))
        start, end = _times(rng, spans, parent)
        if wild and rng.random() < 0.05:
            end = start - rng.randrange(2)
        linked = wild and parent is not None and rng.random() < 0.05
        spans.append(
            Span(
                trace_id=trace,
                span_id=ids[index],
                parent_id=parent,
                name=rng.choice("ab"),
                kind=rng.choice(KINDS),
                service=rng.choice(("web", "cart")),
                start_ns=start,
                end_ns=max(0, end),
                resource=rng.choice(({}, {"host.name": "h1"}, {"host.name": "h2"}, {"host.name": "h1"})),
                links=(SpanLink(trace_id=trace, span_id=parent or ""),) if linked else (),
            )
        )
    return [replace(s, start_ns=s.start_ns * step, end_ns=s.end_ns * step) for s in spans]


def _times(rng: random.Random, spans: list[Span], parent: str | None) -> tuple[int, int]:
    over = next((s for s in spans if s.span_id == parent), None)
    if over is None:
        start = rng.randrange(5)
        return start, start + rng.randrange(20, 60)
    low, high = over.start_ns, max(over.end_ns, over.start_ns + 1)
    beside = [t for s in spans if s.parent_id == parent for t in (s.start_ns, s.end_ns)]
    start = rng.choice(beside) if beside and rng.random() < 0.4 else rng.randint(max(0, low - 2), high)
    end = (
        rng.choice(beside)
        if beside and rng.random() < 0.3
        else start + rng.choice((1, 2, rng.randint(1, 9), high - low))
    )
    if rng.random() < 0.15:
        end = high + rng.randint(0, 4)
    return start, max(end, start)


def traces_of(spans: list[Span]) -> list[Trace]:
    grouped: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        grouped[span.trace_id].append(span)
    return [Trace.of(trace_id, some) for trace_id, some in grouped.items()]


def paths_of(table: pa.Table, part_spans: int = 1_000_000) -> CriticalPaths:
    with DuckEngine(table) as engine:
        prepare(engine, System())
        engine.fill("clock", (("machine", "VARCHAR"), ("offset_ns", "BIGINT")), [])
        return find_critical_paths(engine, part_spans=part_spans)


def walked(trace: Trace, grain: int) -> list[tuple[Section, int, bool]]:
    """The sections by start, each with its ns of drag and whether it is ambiguous."""
    found = walk_paths(columns_of(trace.spans), grain)
    rows = zip(*(c.tolist() for c in (found.start, found.owner, found.end, found.alone, found.tied)), strict=True)
    return [((trace.spans[o].span_id, start, end), alone, tied) for start, o, end, alone, tied in sorted(rows)]


def to_ns(ms: float) -> int:
    return round(ms * 1e6)


def expected(traces: list[Trace], grain: int) -> dict[tuple[str, str], tuple[int, int, int, int, int]]:
    """(service, name) → traces, calls, exclusive, drag and ambiguous ns, by the reference."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for trace in traces:
        path = critical_path(trace, grain)
        met = set()
        for name in {name for name, _, _ in path.sections}:
            span = trace.by_id[name]
            found[span.service, span.name][1] += 1
            met.add((span.service, span.name))
        for key in met:
            found[key][0] += 1
        for section in path.sections:
            span = trace.by_id[section[0]]
            sums = found[span.service, span.name]
            sums[2] += section[2] - section[1]
            sums[3] += path.alone[section]
            sums[4] += section[2] - section[1] if section[0] in path.ambiguous else 0
    return {key: (a, b, c, d, e) for key, (a, b, c, d, e) in found.items()}


@settings(max_examples=600)
@given(some_spans(), st.sampled_from((1, 2, 3, 7)))
def test_one_trace_equals_the_reference_and_covers_its_root(spans: list[Span], grain: int) -> None:
    for trace in traces_of(spans):
        found = [(s.span_id, s.start_ns, s.end_ns) for s in trace_critical_path(trace, resolution_ns=grain)]
        path = critical_path(trace, grain)
        assert found == path.sections
        assert walked(trace, grain) == [(s, path.alone[s], s[0] in path.ambiguous) for s in path.sections]
        root = root_of(trace)
        if root is None or root.end_ns <= root.start_ns:
            assert not found
            continue
        borders = [root.start_ns, *(end for _, _, end in found)]
        assert [start for _, start, _ in found] == borders[:-1]
        assert borders[-1] == root.end_ns
        assert all(trace.by_id[i].start_ns <= start < end <= trace.by_id[i].end_ns for i, start, end in found)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), max_size=12), st.sampled_from((1, 3, 5)))
def test_many_siblings_with_few_ends(siblings: list[tuple[int, int]], grain: int) -> None:
    spans = [make_span(99, None, SpanKind.INTERNAL, "s", 0, 20 / MS)]
    spans += [
        make_span(i * 7 % 13, 99, SpanKind.INTERNAL, "s", start / MS, max(start + 1, 4 * end) / MS)
        for i, (start, end) in enumerate(siblings)
    ]
    trace = Trace.of(spans[0].trace_id, spans)
    path = critical_path(trace, grain)
    assert walked(trace, grain) == [(s, path.alone[s], s[0] in path.ambiguous) for s in path.sections]


@settings(max_examples=25)
@given(some_spans(), st.data(), st.sampled_from((1, 100)))
def test_the_sums_equal_the_reference(spans: list[Span], data: st.DataObject, step: int) -> None:
    spans = [replace(s, start_ns=s.start_ns * step, end_ns=s.end_ns * step) for s in spans]
    traces = traces_of(spans)
    kept = [s for t in traces for s in t.spans]
    copies = data.draw(st.lists(st.sampled_from(kept), max_size=4))
    shuffled = data.draw(st.permutations([*kept, *copies]))
    found = paths_of(spans_to_table(shuffled), data.draw(st.sampled_from((3, 1000))))
    wanted = expected(traces, found.resolution_ns)
    shares = {
        (s.service, s.operation): (s.traces, s.calls, *map(to_ns, (s.exclusive_ms, s.drag_ms, s.ambiguous_ms)))
        for s in found.shares
    }
    assert shares == wanted
    assert to_ns(found.total_ms) == sum(ns for _, _, ns, _, _ in wanted.values())
    assert to_ns(found.ambiguous_ms) == sum(ns for *_, ns in wanted.values())
    roots = [root_of(t) for t in traces]
    assert found.traces == sum(r is not None for r in roots)
    assert found.circular == sum(r is None for r in roots)
    assert found.rootless == sum(r is not None and r.parent_id not in (None, r.span_id) for r in roots)
    tops = sum(s.parent_id in (None, s.span_id) or s.parent_id not in t.by_id for t in traces for s in t.spans)
    assert found.extra_roots == tops - found.traces


@settings(max_examples=200)
@given(some_spans(step=10))
def test_drag_is_the_time_with_one_branch_under_way(spans: list[Span]) -> None:
    """Without the reference's walk: at each moment of drag the spans under way are the owner and its ancestors."""
    for trace in traces_of(spans):
        path = critical_path(trace, 1)
        root = root_of(trace)
        if root is None or not path.sections:
            continue
        window = windows(trace, root, 1)
        for name, start, end in path.sections:
            lonely = 0
            for now in range(start, end):
                here = {other for other, (low, high) in window.items() if low <= now < high}
                over = {trace.by_id[other].parent_id for other in here if other != root.span_id}
                lonely += here - over == {name}
            assert path.alone[name, start, end] == lonely


def blocking(spans: list[Span]) -> list[Span]:
    """The same without what our rule takes for non-blocking and Jaeger's does not."""
    return [replace(s, links=(), resource={"host.name": s.span_id}) for s in spans]


@settings(max_examples=300)
@given(some_spans(wild=False, step=10))
def test_without_ties_it_is_the_walk_of_jaeger_ui(spans: list[Span]) -> None:
    """All times differ, so that no end is another's end or start; but for siblings that are cut by their parent."""
    moved = []
    for number, span in enumerate(blocking(spans)):
        if span.parent_id is None:
            moved.append(replace(span, end_ns=10**6))
        elif span.end_ns > span.start_ns:
            moved.append(
                replace(span, start_ns=span.start_ns * 100 + 2 * number, end_ns=span.end_ns * 100 + 2 * number + 1)
            )
    for trace in traces_of(moved):
        root = root_of(trace)
        window = windows(trace, root, 1) if root else {}
        ends = [(trace.by_id[name].parent_id, end) for name, (_, end) in window.items()]
        if len(set(ends)) == len(ends):
            found = [(s.span_id, s.start_ns, s.end_ns) for s in trace_critical_path(trace, resolution_ns=1)]
            assert found == jaeger_path(trace)
            event(f"{min(len(found) // 4 * 4, 12)} sections or more")
