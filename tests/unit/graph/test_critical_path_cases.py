"""Critical paths of traces of which the answer is known; where Jaeger UI says otherwise; large, deep and odd ones."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.unit.graph.path_reference import jaeger_path
from tests.unit.graph.span_makers import MS, make_span
from tests.unit.graph.test_critical_path import paths_of
from tracer_bullet.graph.paths import trace_critical_path
from tracer_bullet.graph.paths.single import columns_of
from tracer_bullet.graph.paths.walk import walk_paths
from tracer_bullet.model import CriticalPaths, PathShare, Span, SpanKind, SpanLink, Trace
from tracer_bullet.traces import spans_to_table

INTERNAL = SpanKind.INTERNAL


def tree(*spans: tuple[int, int | None, float, float], service: str = "s", kind: SpanKind = INTERNAL) -> list[Span]:
    """Spans of (number, parent, start ms, end ms), each with a name of its own: its number. One clock of ns."""
    return [
        replace(make_span(n, p, kind, service, a, b, name=str(n)), start_ns=round(a * MS) + 1, end_ns=round(b * MS) + 1)
        for n, p, a, b in spans
    ]


def sections(spans: list[Span], resolution_ns: int = 1) -> list[tuple[int, float, float]]:
    found = trace_critical_path(Trace.of(spans[0].trace_id, spans), resolution_ns=resolution_ns)
    return [(int(s.span_id, 16), (s.start_ns - 1) / MS, (s.end_ns - 1) / MS) for s in found]


def share(found: CriticalPaths, name: str) -> PathShare:
    (one,) = [s for s in found.shares if s.operation == name]
    return one


def test_one_after_the_other_and_beside_each_other() -> None:
    spans = tree((1, None, 0, 100), (2, 1, 10, 40), (3, 1, 40, 80), (4, 1, 50, 70), (5, 3, 45, 60))
    assert sections(spans) == [(1, 0, 10), (2, 10, 40), (3, 40, 45), (5, 45, 60), (3, 60, 80), (1, 80, 100)]


def test_what_an_operation_adds_and_drags() -> None:
    """3 is on the path from 40 to 80 but runs alone only in the 20 ms in which 4 does not."""
    found = paths_of(spans_to_table(tree((1, None, 0, 100), (2, 1, 10, 40), (3, 1, 40, 80), (4, 1, 50, 70))))
    assert (found.traces, found.total_ms, found.ambiguous_ms, found.resolution_ns) == (1, 100, 0, 1)
    assert [(s.operation, s.exclusive_ms, s.drag_ms, s.share) for s in found.shares] == [
        ("3", 40, 20, 0.4),
        ("1", 30, 30, 0.3),
        ("2", 30, 30, 0.3),
    ]
    assert found.shares[0] == PathShare(
        service="s", operation="3", traces=1, calls=1, exclusive_ms=40, share=0.4, drag_ms=20, ambiguous_ms=0
    )


def test_a_tie_goes_to_the_longer_and_all_below_it_is_ambiguous() -> None:
    spans = tree((1, None, 0, 100), (2, 1, 60, 90), (3, 1, 20, 90), (4, 3, 30, 50), (5, 1, 0, 20))
    assert sections(spans) == [(5, 0, 20), (3, 20, 30), (4, 30, 50), (3, 50, 90), (1, 90, 100)]
    found = paths_of(spans_to_table(spans))
    assert found.ambiguous_ms == 70
    assert {s.operation: s.ambiguous_ms for s in found.shares} == {"1": 0, "3": 50, "4": 20, "5": 0}


def test_of_equal_ones_the_smaller_id() -> None:
    assert sections(tree((1, None, 0, 10), (3, 1, 2, 8), (2, 1, 2, 8))) == [(1, 0, 2), (2, 2, 8), (1, 8, 10)]


def test_coarse_clocks_make_ties_and_neighbours() -> None:
    """By clocks of 1 ms, 3 began when 2 ended, though it looks 1 ms too early; ends apart by less than 1 ms tie."""
    spans = tree((1, None, 0, 100), (2, 1, 10, 40), (3, 1, 39, 80))
    assert sections(spans, MS) == [(1, 0, 10), (2, 10, 39), (3, 39, 80), (1, 80, 100)]
    assert sections(spans, 1) == [(1, 0, 39), (3, 39, 80), (1, 80, 100)]
    spans = tree((1, None, 0, 100), (2, 1, 10, 79.5), (3, 1, 39, 80))
    assert sections(spans, MS) == [(1, 0, 10), (2, 10, 79.5), (1, 79.5, 100)]
    assert sections(spans, 1) == [(1, 0, 39), (3, 39, 80), (1, 80, 100)]
    # Calls of one grain each in a row are no ties.
    spans = tree((1, None, 0, 5), (2, 1, 1, 2), (3, 1, 2, 3), (4, 1, 3, 4))
    assert sections(spans, MS) == [(1, 0, 1), (2, 1, 2), (3, 2, 3), (4, 3, 4), (1, 4, 5)]


def test_what_a_coarse_clock_let_overlap_is_no_work_beside() -> None:
    """2 and all below it count as over when 3 begins."""
    spans = tree((1, None, 0, 100), (2, 1, 10, 41), (4, 2, 10, 41), (5, 2, 20, 40.8), (3, 1, 40, 80))
    trace = Trace.of(spans[0].trace_id, spans)
    found = walk_paths(columns_of(trace.spans), MS)
    alone = {trace.spans[o].name: ns / MS for o, ns in zip(found.owner.tolist(), found.alone.tolist(), strict=True)}
    assert alone["3"] == 40
    assert alone["4"] == 10


def test_nobody_waits_for_messages_links_and_what_outlives_its_parent() -> None:
    alone = [(1, 0, 100)]
    spans = tree((1, None, 0, 100), (2, 1, 10, 90))
    producer, consumer = replace(spans[0], kind=SpanKind.PRODUCER), replace(spans[1], kind=SpanKind.CONSUMER)
    assert sections([producer, consumer]) == alone
    link = SpanLink(trace_id=spans[0].trace_id, span_id=spans[0].span_id)
    assert sections([spans[0], replace(spans[1], links=(link,))]) == alone
    other = SpanLink(trace_id=spans[0].trace_id, span_id="f" * 16)
    assert len(sections([spans[0], replace(spans[1], links=(other,))])) == 3
    late = tree((1, None, 0, 100), (2, 1, 10, 110))
    assert sections(late) == alone
    # By two clocks it is no wonder: it is cut to its parent.
    for resources in (({"host.name": "a"}, {"host.name": "b"}), ({}, {})):
        services = ("s", "s") if resources[0] else ("s", "t")
        two = [replace(s, resource=r, service=v) for s, r, v in zip(late, resources, services, strict=True)]
        assert sections(two) == [(1, 0, 10), (2, 10, 100)]
    same = [replace(s, resource={"host.name": "a"}, service=v) for s, v in zip(late, "st", strict=True)]
    assert sections(same) == alone


def test_an_odd_trace_is_walked_from_one_root_and_the_rest_counted() -> None:
    spans = [
        *tree((1, None, 5, 100), (2, None, 0, 50), (3, 2, 10, 20), (4, 99, 0, 200)),
        *(replace(s, trace_id=f"{2:032x}") for s in tree((1, 98, 10, 60), (2, 97, 5, 30))),
        *(replace(s, trace_id=f"{3:032x}") for s in tree((1, 2, 0, 10), (2, 1, 0, 10), (3, 1, 2, 3))),
        *(replace(s, trace_id=f"{4:032x}") for s in tree((1, 1, 0, 10), (2, 3, 0, 9), (3, 2, 0, 9))),
        *(replace(s, trace_id=f"{5:032x}") for s in tree((1, None, 10, 10), (2, 1, 10, 40))),
    ]
    found = paths_of(spans_to_table(spans))
    assert (found.traces, found.rootless, found.extra_roots, found.circular) == (4, 1, 3, 1)
    assert found.total_ms == 50 + 25 + 10
    assert share(found, "2").exclusive_ms == 40 + 25
    assert share(found, "1").exclusive_ms == 10


@pytest.mark.parametrize(
    ("spans", "ours", "jaegers"),
    [
        # Back to back: Jaeger wants a gap between siblings, and leaves out the first.
        (
            [(1, None, 0, 100), (2, 1, 10, 50), (3, 1, 50, 90)],
            [(1, 0, 10), (2, 10, 50), (3, 50, 90), (1, 90, 100)],
            [(1, 0, 50), (3, 50, 90), (1, 90, 100)],
        ),
        # A tie: Jaeger takes the first by start order, we the longer one, which is the same unless both start at once.
        (
            [(1, None, 0, 100), (2, 1, 50, 90), (3, 1, 10, 90)],
            [(1, 0, 10), (3, 10, 90), (1, 90, 100)],
            [(1, 0, 10), (3, 10, 90), (1, 90, 100)],
        ),
        # Work that outlives its parent in one process: Jaeger cuts it and waits for it.
        (
            [(1, None, 0, 100), (2, 1, 10, 40), (3, 1, 20, 300)],
            [(1, 0, 10), (2, 10, 40), (1, 40, 100)],
            [(1, 0, 20), (3, 20, 100)],
        ),
    ],
)
def test_where_jaeger_ui_says_otherwise(
    spans: list[tuple[int, int | None, float, float]],
    ours: list[tuple[int, float, float]],
    jaegers: list[tuple[int, float, float]],
) -> None:
    made = tree(*spans)
    assert sections(made) == ours
    theirs = jaeger_path(Trace.of(made[0].trace_id, made))
    assert [(int(name, 16), (a - 1) / MS, (b - 1) / MS) for name, a, b in theirs] == jaegers


def test_a_trace_of_100_000_calls_in_a_row() -> None:
    spans = tree((1, None, 0, 200_000), *((n, 1, 2 * n, 2 * n + 1.5) for n in range(2, 100_000)))
    found = sections(spans)
    assert len(found) == 2 * (100_000 - 2) + 1
    assert sum(b - a for n, a, b in found if n > 1) == pytest.approx(1.5 * (100_000 - 2))


def test_a_trace_of_100_000_calls_at_once() -> None:
    spans = tree((1, None, 0, 100), *((n, 1, 10, 90) for n in range(2, 100_001)))
    random.Random(1).shuffle(spans)
    assert sections(spans) == [(1, 0, 10), (2, 10, 90), (1, 90, 100)]


def test_a_trace_of_depth_10_000() -> None:
    spans = tree((1, None, 0, 30_000), *((n, n - 1, n, 30_000 - n) for n in range(2, 10_001)))
    random.Random(1).shuffle(spans)
    found = sections(spans)
    assert len(found) == 2 * 10_000 - 1
    assert found[9_999] == (10_000, 10_000, 20_000)
    summed = paths_of(spans_to_table(spans))
    assert summed.total_ms == 30_000
    assert summed.shares[0].operation == "10000"


def test_times_that_no_clock_should_say() -> None:
    """Sums of lengths that leave 64 bits."""
    end = (1 << 62) - 1
    spans: list[Span] = []
    for trace in range(1, 9):
        rows = [(1, None, 0, end), (2, 1, 5, end - 5), (3, 1, 7, 100), (4, 2, 9, end // 2), (5, 2, 20, end // 2 - 20)]
        spans += [
            replace(make_span(n, p, INTERNAL, "s", 0, 0, name=str(n), trace=trace), start_ns=a, end_ns=b)
            for n, p, a, b in rows
        ]
    trace = Trace.of(spans[0].trace_id, spans)
    found = [(int(s.span_id, 16), s.start_ns, s.end_ns) for s in trace_critical_path(trace, resolution_ns=1)]
    assert found == [(1, 0, 5), (2, 5, 9), (4, 9, end // 2), (2, end // 2, end - 5), (1, end - 5, end)]
    few = paths_of(spans_to_table(spans))
    assert (few.traces, few.shares[0].calls) == (8, 8)
    assert share(few, "1").exclusive_ms * MS == 8 * 10
    # Beside 2 runs 3; beside 4 runs 5.
    assert share(few, "1").drag_ms == share(few, "1").exclusive_ms


def test_sums_over_traces_of_decades_leave_no_64_bits() -> None:
    decades = 1_700_000_000_000
    spans = [make_span(1, None, INTERNAL, "s", 0, decades, trace=trace) for trace in range(1, 40)]
    paths = paths_of(spans_to_table(spans))
    assert paths.total_ms == 39 * decades
    assert (paths.shares[0].exclusive_ms, paths.shares[0].drag_ms) == (39 * decades, 39 * decades)
    assert paths.shares[0].share == 1


def test_parts_do_not_matter() -> None:
    spans = [
        replace(
            s, trace_id=f"{trace << 64 | trace << 7:032x}", start_ns=s.start_ns + trace, end_ns=s.end_ns + 2 * trace
        )
        for trace in range(1, 60)
        for s in tree((1, None, 0, 100), (2, 1, 10, 40), (3, 1, 40, 80), (4, 1, 50, 70))
    ]
    whole = paths_of(spans_to_table(spans))
    assert whole.traces == 59
    assert paths_of(spans_to_table(spans[::-1]), part_spans=20) == whole
    assert paths_of(spans_to_table(spans), part_spans=7) == whole


def test_nothing_gives_nothing() -> None:
    found = paths_of(spans_to_table([]))
    assert (found.traces, found.total_ms, found.shares) == (0, 0, ())
    assert trace_critical_path(Trace.of("1" * 32, [])) == ()
