"""Sides out of graphs and analyses: runs put together, traces as units."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.slo.calls import engine_of
from tests.unit.graph.slo.test_derive import shop
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.drift import compare, side_of
from tracer_bullet.graph.drift.side import Uses
from tracer_bullet.graph.latency import measure_latency
from tracer_bullet.model import Analysis, Distribution, OperationLatency, ServiceGraph, Span


def analysed(spans: list[Span]) -> tuple[ServiceGraph, Analysis]:
    with engine_of(spans) as engine:
        graph = assemble(engine)
        services, operations, edges = measure_latency(engine)
    return graph, Analysis(
        start_ns=0,
        end_ns=1,
        traces=graph.traces,
        spans=graph.spans,
        services=services,
        operations=operations,
        edges=edges,
    )


def test_a_run_as_a_side() -> None:
    """Twelve requests with three calls of cart each."""
    side = side_of("a", [analysed(shop(12, carts=(3,)))])
    assert side.traces == 12
    cart = side.operations["cart", "GET /cart"]
    assert (cart.calls, cart.traces, cart.worth) == (36, 12, 12)
    assert side.edges["service:shop", "service:cart"] == Uses(calls=36, traces=12)
    assert side.chances("service:cart") == 12, "called 36 times, in 12 traces"
    assert side.chances("service:nobody") == 12


@settings(max_examples=3)
@given(st.integers(1, 8), st.integers(1, 8))
def test_runs_put_together_are_as_if_they_had_been_one(first: int, second: int) -> None:
    spans = shop(first + second, carts=(1, 2))
    borders = {f"{i + 1:032x}" for i in range(first)}
    parts = [s for s in spans if s.trace_id in borders], [s for s in spans if s.trace_id not in borders]
    whole, joined = side_of("a", [analysed(spans)]), side_of("a", [analysed(p) for p in parts])
    assert joined == whole
    assert compare(whole, side_of("b", [analysed(spans)])) == compare(joined, side_of("b", [analysed(spans)]))


def test_without_a_count_of_traces_the_careful_guess_is_taken() -> None:
    """An older analysis: 36 calls over an edge of three calls a trace."""
    graph, analysis = analysed(shop(12, carts=(3,)))
    old = OperationLatency(
        service="cart", name="GET /cart", calls=36, errors=0, rate_per_s=1, durations=Distribution.of([1] * 36),
        own=Distribution(), fan_out=0,
    )  # fmt: skip
    kept = Analysis(start_ns=0, end_ns=1, traces=12, spans=1, operations=(old,), edges=analysis.edges)
    assert side_of("a", [(graph, kept)]).operations["cart", "GET /cart"].traces == 12
