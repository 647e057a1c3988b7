"""Inner objectives from an outer one: by hand, conserved, indifferent to order, and checked by drawing anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.slo.calls import MS, START, engine_of, latency
from tracer_bullet.graph.slo import Derivation, check_derivation, derive_objectives
from tracer_bullet.graph.slo.derive import derive_from
from tracer_bullet.graph.slo.requests import Requests, draw_requests
from tracer_bullet.model import Objective, Span, SpanKind

OUTER = latency(0.99, 100, name="front", operation="GET /")
SERVER, CLIENT, INTERNAL = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL


class Traces:
    """Builds spans; times are ms since the trace began."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._trace = 0

    def begin(self) -> None:
        self._trace += 1

    def add(
        self, parent: Span | None, kind: SpanKind, service: str, name: str, begin: float, end: float, host: str = ""
    ) -> Span:
        at = START + self._trace * 10_000 * MS
        number = len(self.spans) + 1
        span = Span(
            trace_id=f"{self._trace:032x}",
            span_id=f"{number:016x}",
            parent_id=parent.span_id if parent else None,
            name=name,
            kind=kind,
            service=service,
            start_ns=at + round(begin * MS),
            end_ns=at + round(end * MS),
            resource={"host.name": host} if host else {},
        )
        self.spans.append(span)
        return span

    def call(self, parent: Span, service: str, name: str, begin: float, end: float) -> Span:
        """A client span and the server span in it, as long."""
        client = self.add(parent, CLIENT, parent.service, f"call {name}", begin, end)
        return self.add(client, SERVER, service, name, begin, end)


def shop(requests: int, *, seed: int = 1, spread: float = 0.4, carts: Sequence[int] = (2,)) -> list[Span]:
    """GET / waits for some calls of cart, one after the other, then for stock, which waits for its store."""
    rng, traces = random.Random(seed), Traces()
    for i in range(requests):
        traces.begin()
        cart = [rng.lognormvariate(2, spread) for _ in range(carts[i % len(carts)])]
        stock, own = rng.lognormvariate(3, spread), rng.lognormvariate(1.5, spread)
        outer = traces.add(None, SERVER, "shop", "GET /", 0, own + sum(cart) + stock)
        at = own / 2
        for length in cart:
            traces.call(outer, "cart", "GET /cart", at, at + length)
            at += length
        server = traces.call(outer, "stock", "GET /stock", at, at + stock)
        traces.call(server, "store", "query", at + stock / 4, at + 3 * stock / 4)
    return traces.spans


def derive(spans: Sequence[Span], outer: Objective = OUTER, seed: int = 0) -> Derivation:
    with engine_of(spans) as engine:
        return derive_objectives(engine, outer, seed=seed)


def test_a_request_divided_by_hand() -> None:
    """Of 100 ms: 20 its own, 2 × 15 cart, 50 stock of which 30 its store; parallel ads are not waited for."""
    traces = Traces()
    for _ in range(40):
        traces.begin()
        outer = traces.add(None, SERVER, "shop", "GET /", 0, 100)
        for at in (10, 25):
            traces.call(outer, "cart", "GET /cart", at, at + 15)
        stock = traces.call(outer, "stock", "GET /stock", 40, 90)
        traces.call(stock, "store", "query", 50, 80)
        traces.call(outer, "ads", "GET /ads", 40, 60)
    found = derive(traces.spans, replace(OUTER, threshold_ms=200)).objectives
    rows = [(d.service, d.own, d.depth, d.calls, round(d.share, 6), round(d.threshold_ms, 6)) for d in found]
    assert rows == [
        ("shop", True, 0, 1.0, 0.2, 40.0),
        ("stock", False, 1, 1.0, 0.5, 100.0),
        ("cart", False, 1, 2.0, 0.3, 30.0),
        ("store", False, 2, 1.0, 0.3, 60.0),
    ]
    assert [d.target for d in found] == pytest.approx([1 - 0.01 * 0.2, 1 - 0.01 * 0.5, 1 - 0.01 * 0.15, 1 - 0.01 * 0.3])
    assert [d.observed_ms for d in found] == pytest.approx([20, 50, 15, 30])
    assert all(d.met_now for d in found)


def test_parallel_calls_of_one_operation_share_the_time_but_all_may_spoil_it() -> None:
    """Four calls side by side, one is waited for: each may take its whole time, and is to miss it a fourth as often."""
    traces = Traces()
    for _ in range(30):
        traces.begin()
        outer = traces.add(None, SERVER, "shop", "GET /", 0, 100)
        for i in range(4):
            traces.call(outer, "shard", "query", 10, 90 - i)
    own, shard = derive(traces.spans).objectives
    assert (shard.calls, shard.share, shard.threshold_ms) == (4.0, pytest.approx(0.8), pytest.approx(80))
    assert shard.target == pytest.approx(1 - 0.01 * 0.8 / 4)
    assert own.share == pytest.approx(0.2)


def test_the_budget_of_a_level_is_never_more_than_there_is() -> None:
    """Own time and the calls at one depth add up to the request: thresholds to D, allowances to 1 − T."""
    found = derive(shop(300, carts=(1, 2, 5)))
    own, *rest = found.objectives
    level = [own, *(d for d in rest if d.depth == 1)]
    assert sum(d.share for d in level) == pytest.approx(1)
    assert sum((1 - d.target) * d.calls for d in level) == pytest.approx(0.01, rel=0.01)
    requests = found.requests
    for depth in (1, 2):
        at = requests.depth == depth
        waited = np.bincount(requests.request[at], weights=requests.critical_ns[at], minlength=len(requests.own_ns))
        assert np.all(waited <= requests.duration_ns)
        if depth == 1:
            assert np.array_equal(waited + requests.own_ns, requests.duration_ns)


def test_the_answer_does_not_hang_on_order_or_copies_but_is_seeded() -> None:
    spans = shop(2_050, carts=(1,))
    shuffled = [*spans, *spans[:50]]
    random.Random(2).shuffle(shuffled)
    found = derive(spans)
    assert derive(shuffled).objectives == found.objectives
    assert len(found.requests.duration_ns) == 2_000
    assert check_derivation(found, seed=3) == check_derivation(derive(shuffled), seed=3)
    assert derive(spans, seed=1).objectives != found.objectives


def test_derived_objectives_that_hold_make_the_outer_one_hold() -> None:
    for depth, check in enumerate(check_derivation(derive(shop(800), replace(OUTER, threshold_ms=90))), 1):
        assert check.holds, check.message
        assert check.share_low <= check.share_high
        assert f"depth {depth}" in check.message


@settings(max_examples=10)
@given(
    share=st.floats(0.1, 0.9),
    target=st.sampled_from([0.9, 0.99]),
    threshold=st.floats(20, 500),
    calls=st.integers(1, 5),
    seed=st.integers(0, 1_000),
)
def test_they_do_whatever_the_durations_when_requests_are_alike(
    share: float, target: float, threshold: float, calls: int, seed: int
) -> None:
    """Boole's inequality: with as many calls in each request, the outer objective holds but for the draw's noise."""
    rng = np.random.default_rng(seed)
    size = 500
    inner = rng.lognormal(3, 0.8, (size, calls)) * share
    own = rng.lognormal(3, 0.8, size) * (1 - share)
    requests = Requests(
        names=(("in", "op"),),
        duration_ns=np.round((inner.sum(axis=1) + own) * MS).astype(np.int64),
        near=np.arange(size) < 60,
        own_ns=np.round(own * MS).astype(np.int64),
        request=np.repeat(np.arange(size), calls),
        operation=np.zeros(size * calls, dtype=np.int64),
        depth=np.ones(size * calls, dtype=np.int64),
        critical_ns=np.round(inner.ravel() * MS).astype(np.int64),
        call_ns=np.round(inner.ravel() * MS).astype(np.int64),
        seen=size,
    )
    (check,) = check_derivation(derive_from(requests, replace(OUTER, target=target, threshold_ms=threshold)))
    assert (check.share_low + check.share_high) / 2 >= target - 0.01


def test_requests_that_make_far_more_calls_than_others_are_found_out() -> None:
    """Nine in ten make one call and one in ten forty: near a p50, a call is given too much."""
    spans = shop(600, carts=(1,) * 9 + (40,), spread=0.05)
    outer = replace(OUTER, target=0.95, threshold_ms=36)
    requests = derive(spans, outer)
    assert not check_derivation(requests)[0].holds


def test_a_request_inside_a_request_is_a_part_of_it() -> None:
    """The shop calls itself; only the outermost call is a request."""
    traces = Traces()
    for _ in range(25):
        traces.begin()
        outer = traces.add(None, SERVER, "shop", "GET /", 0, 100)
        inner = traces.call(outer, "shop", "GET /", 10, 60)
        traces.call(inner, "cart", "GET /cart", 20, 50)
    found = derive(traces.spans)
    assert set(found.requests.duration_ns.tolist()) == {100 * MS}
    rows = [(d.service, d.depth, round(d.share, 3)) for d in found.objectives]
    assert rows == [("shop", 0, 0.7), ("cart", 1, 0.3)]


def test_too_few_requests_and_none_derive_nothing_and_say_so() -> None:
    for spans, says in ((shop(5), "only 5 requests, and 20 are needed"), ([], "only 0 requests")):
        found = derive(spans)
        assert found.objectives == ()
        (check,) = check_derivation(found)
        assert (check.holds, check.resamples) == (False, 0)
        assert says in check.message


def test_a_service_that_calls_nobody_has_its_own_time_alone() -> None:
    traces = Traces()
    for i in range(30):
        traces.begin()
        traces.add(None, SERVER, "shop", "GET /", 0, 50 + i)
    found = derive(traces.spans)
    assert [(d.own, d.share, d.threshold_ms) for d in found.objectives] == [(True, 1.0, 100.0)]
    assert "no inner calls" in check_derivation(found)[0].message


def test_only_latency_can_be_divided() -> None:
    with pytest.raises(ValueError, match="only a latency objective"):
        derive(shop(1), replace(OUTER, threshold_ms=None))


def test_a_deep_trace_and_a_wide_one() -> None:
    """Depth 10,000 (5,000 services calling the next), and 20,000 calls below one span; no recursion, no minutes."""
    traces = Traces()
    traces.begin()
    at = traces.add(None, SERVER, "shop", "GET /", 0, 9_000)
    for i in range(5_000):
        at = traces.call(at, f"s{i % 7}", f"op{i % 3}", 0.5 + i * 1e-3, 8_999 - i * 1e-3)
    traces.begin()
    wide = traces.add(None, SERVER, "shop", "GET /", 0, 9_000)
    for i in range(10_000):
        traces.call(wide, "leaf", "op", i * 0.5, i * 0.5 + 0.4)
    with engine_of(traces.spans) as engine:
        requests = draw_requests(engine, OUTER, seed=0)
    assert sorted(requests.duration_ns.tolist()) == [9_000 * MS, 9_000 * MS]
    assert int(requests.depth.max()) == 5_000
    assert len(requests.depth) == 15_000


def test_spans_without_kinds_count_where_they_enter_another_service() -> None:
    traces = Traces()
    for _ in range(25):
        traces.begin()
        outer = traces.add(None, SERVER, "shop", "GET /", 0, 100)
        inside = traces.add(outer, INTERNAL, "shop", "work", 0, 60)
        traces.add(inside, INTERNAL, "cart", "load", 10, 40)
    assert [(d.service, d.operation, round(d.share, 3)) for d in derive(traces.spans).objectives] == [
        ("shop", "GET /", 0.7),
        ("cart", "load", 0.3),
    ]


def test_a_clock_that_is_ahead_does_not_take_the_calls_out_of_the_request() -> None:
    """cart's host is 10 s ahead: its spans lie outside of their callers, and count as if they did not."""
    traces = Traces()
    for _ in range(40):
        traces.begin()
        outer = traces.add(None, SERVER, "shop", "GET /", 0, 100, host="a")
        client = traces.add(outer, CLIENT, "shop", "call", 20, 81, host="a")
        traces.add(client, SERVER, "cart", "GET /cart", 10_020.5, 10_080.5, host="b")
    rows = [(d.service, round(d.share, 3)) for d in derive(traces.spans).objectives]
    assert rows == [("shop", 0.4), ("cart", 0.6)]


def test_the_check_draws_calls_that_just_keep_their_objective_and_no_better() -> None:
    """All time is one call's: it takes at most 50 ms now, may take 100 ms in 90 %, and is drawn above in 10 %."""
    size = 1_000
    taken = np.full(size, 50 * MS, dtype=np.int64)
    requests = Requests(
        names=(("in", "op"),),
        duration_ns=taken,
        near=np.ones(size, dtype=np.bool_),
        own_ns=np.zeros(size, dtype=np.int64),
        request=np.arange(size),
        operation=np.zeros(size, dtype=np.int64),
        depth=np.ones(size, dtype=np.int64),
        critical_ns=taken,
        call_ns=taken,
        seen=size,
    )
    (check,) = check_derivation(derive_from(requests, replace(OUTER, target=0.9)))
    assert 0.87 < check.share_low < 0.9 < check.share_high < 0.93
    assert check.holds
