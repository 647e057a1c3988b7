"""Expectations on traces: selectors, counts, and what is told when they fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import Check, Span, SpanKind, SpanStatus, Trace
from tracer_bullet.scenario import Scenario, check_trace, select
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.scenario import Selector

Build = Callable[[str], Located[Scenario]]


def span(
    number: int,
    parent: int | None,
    service: str,
    name: str,
    kind: SpanKind = SpanKind.SERVER,
    ms: float = 10.0,
    status: SpanStatus = SpanStatus.UNSET,
    **attributes: str,
) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=kind,
        service=service,
        start_ns=number * 1000,
        end_ns=number * 1000 + int(ms * 1e6),
        status=status,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
    )


def trace(*spans: Span) -> Trace:
    return Trace.of("a" * 32, spans)


TRACE = trace(
    span(1, None, "tracer-bullet", "bullet s", SpanKind.INTERNAL),
    span(2, 1, "tracer-bullet", "POST /checkout", SpanKind.CLIENT, tb__step="buy"),
    span(3, 2, "gateway", "POST /checkout", ms=90),
    span(4, 3, "gateway", "POST", SpanKind.CLIENT, ms=80, http__response__status_code="201"),
    span(5, 4, "checkout", "POST /orders", ms=70),
    span(6, 5, "checkout", "INSERT orders", SpanKind.CLIENT, ms=5, db__rows="12", tb__guard__decision="rolled_back"),
    span(7, 5, "checkout", "INSERT items", SpanKind.CLIENT, ms=6, db__rows="3"),
    span(8, 99, "payment", "POST /pay", ms=512.5, status=SpanStatus.ERROR),
)


def chosen(selector: dict[str, object], spans: Trace = TRACE) -> list[int]:
    return [int(s.span_id, 16) for s in select(Selector.model_validate(selector), spans)]


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ({}, [3, 4, 5, 6, 7, 8]),
        ({"service": "checkout"}, [5, 6, 7]),
        ({"service": {"in": ["gateway", "payment"]}}, [3, 4, 8]),
        ({"service": {"ne": "checkout"}}, [3, 4, 8]),
        ({"service": "tracer-bullet"}, []),
        ({"name": {"matches": "INSERT .*"}}, [6, 7]),
        ({"kind": "client"}, [4, 6, 7]),
        ({"kind": "client", "service": "checkout"}, [6, 7]),
        ({"status": "error"}, [8]),
        ({"status": "ok"}, []),
        ({"attributes": {"db.rows": {"gt": 3}}}, [6]),
        ({"attributes": {"db.rows": 12}}, [6]),
        ({"attributes": {"db.rows": "12"}}, [6]),
        ({"attributes": {"tb.guard.decision": {"exists": False}}, "kind": "client", "service": "checkout"}, [7]),
        ({"under": {"service": "gateway"}}, [4, 5, 6, 7]),
        ({"under": {"service": "gateway", "kind": "client"}}, [5, 6, 7]),
        ({"under": {"attributes": {"tb.step": "buy"}}}, [3, 4, 5, 6, 7]),
        ({"under": {"service": "checkout", "under": {"service": "gateway"}}}, [6, 7]),
        ({"under": {"service": "payment"}}, []),
        ({"child_of": {"service": "gateway"}}, [4, 5]),
        ({"child_of": {"service": "tracer-bullet"}}, [3]),
        ({"child_of": {"service": "checkout"}, "under": {"kind": "client", "service": "gateway"}}, [6, 7]),
        ({"child_of": {"child_of": {"service": "gateway", "kind": "client"}}}, [6, 7]),
    ],
    ids=str,
)
def test_selectors(selector: dict[str, object], numbers: list[int]) -> None:
    assert chosen(selector) == numbers


def test_parents_in_a_circle_end() -> None:
    circle = trace(span(1, 3, "a", "x"), span(2, 1, "b", "y"), span(3, 2, "c", "z"))
    assert chosen({"under": {"service": "a"}}, circle) == [1, 2, 3]


_shapes = st.lists(
    st.tuples(st.none() | st.integers(1, 8), st.sampled_from(["a", "b", "tracer-bullet"])), min_size=1, max_size=8
)


@given(_shapes, st.randoms())
def test_choosing_agrees_with_the_definition_and_not_with_the_order(
    shape: Sequence[tuple[int | None, str]], random: object
) -> None:
    spans = [span(i, parent, service, "n") for i, (parent, service) in enumerate(shape, 1)]
    shuffled = list(spans)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = trace(*shuffled)
    own = [s for s in spans if s.service != "tracer-bullet"]
    under = [int(s.span_id, 16) for s in own if _has_ancestor_a(s, found)]
    parents = [int(s.span_id, 16) for s in own if (p := found.parent(s)) is not None and p.service == "a"]
    assert chosen({"under": {"service": "a"}}, found) == under
    assert chosen({"child_of": {"service": "a"}}, found) == parents


def _has_ancestor_a(start: Span, found: Trace) -> bool:
    """An ancestor of service a; in a circle of parents a span is its own ancestor."""
    seen: set[str] = set()
    current = found.parent(start)
    while current is not None and current.span_id not in seen:
        if current.service == "a":
            return True
        seen.add(current.span_id)
        current = found.parent(current)
    return False


def checks(build: Build, entry: str, spans: Trace = TRACE) -> list[Check]:
    return list(check_trace(build(f"steps: [{{name: a, request: {{path: /}}}}]\ntrace:\n- {entry}"), spans))


def test_an_entry_wants_at_least_one_span(scenario: Build) -> None:
    (check,) = checks(scenario, "spans: {service: payment}")
    assert check == Check(
        name="trace.0: count",
        passed=True,
        expected="≥ 1 span(s)",
        actual='1: payment "POST /pay" (server 0000000000000008)',
        where="s.yaml:6",
    )


def test_a_count_that_fails_tells_the_closest_spans(scenario: Build) -> None:
    text = "spans: {service: checkout, kind: client, attributes: {db.rows: {gt: 100}}}\n  name: many rows\n  count: 2"
    (check,) = checks(scenario, text)
    assert (check.name, check.passed, check.where) == ("many rows: count", False, "s.yaml:8")
    assert check.actual == (
        '0; closest: checkout "INSERT orders" (client 0000000000000006), but its db.rows is 12; '
        'checkout "INSERT items" (client 0000000000000007), but its db.rows is 3; '
        'gateway "POST" (client 0000000000000004), but its service is not "checkout" and its db.rows is missing'
    )


def test_each_condition_says_what_is_lacking(scenario: Build) -> None:
    entry = (
        "spans: {service: x, name: y, kind: consumer, status: ok, attributes: {k: 1}, "
        "under: {service: x}, child_of: {service: x}}"
    )
    (check,) = checks(scenario, entry, trace(span(3, None, "gateway", "GET")))
    assert check.actual == (
        '0; closest: gateway "GET" (server 0000000000000003), but its service is not "x" and its name is not "y" '
        "and its kind is not consumer and its status is unset and its k is missing "
        "and it has no such ancestor and it has no such parent"
    )


def test_an_empty_trace_is_told(scenario: Build) -> None:
    (check,) = checks(scenario, "spans: {}", trace(span(1, None, "tracer-bullet", "bullet")))
    assert (check.passed, check.actual) == (False, "0, and the trace has no span of any service")


def test_what_must_not_happen_is_listed_when_it_does(scenario: Build) -> None:
    assert checks(scenario, "spans: {service: fraud}\n  count: 0")[0].passed
    (check,) = checks(scenario, "spans: {}\n  count: 0")
    assert check.passed is False
    assert check.actual.startswith("6: gateway")
    assert check.actual.endswith("and 3 more")


def test_duration_and_attributes_hold_for_each_span(scenario: Build) -> None:
    entry = """\
spans: {service: checkout, kind: client}
  count: {ge: 1, le: 5}
  duration_ms: {lt: 5.5}
  attributes:
    db.rows: {ge: 3}
    tb.guard.decision: rolled_back
"""
    found = checks(scenario, entry)
    assert [(c.name, c.passed, c.where) for c in found] == [
        ("trace.0: count", True, "s.yaml:7"),
        ("trace.0: duration", False, "s.yaml:8"),
        ("trace.0: db.rows", True, "s.yaml:10"),
        ("trace.0: tb.guard.decision", False, "s.yaml:11"),
    ]
    assert found[1].actual == 'checkout "INSERT items" (client 0000000000000007) took 6.0 ms'
    assert found[1].expected == "< 5.5 ms"
    assert found[3].actual == 'checkout "INSERT items" (client 0000000000000007) has missing'


def test_without_spans_there_is_only_the_count(scenario: Build) -> None:
    found = checks(scenario, "spans: {service: nobody}\n  count: {ge: 0}\n  duration_ms: {lt: 5}")
    assert [(c.name, c.passed) for c in found] == [("trace.0: count", True)]
