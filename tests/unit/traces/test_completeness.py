"""When a trace is complete: no gap in whole traces, a gap whenever any span of one is missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import Gap, Span, SpanKind, SpanStatus, System, Trace, attributes
from tracer_bullet.model.address import address_of
from tracer_bullet.traces import find_gaps

TRACE_ID = "ab" * 16
SYSTEM = System(forwarders=("edge",), third_parties=("api.pay.example", "*.mail.example:25"))


@dataclass
class Maker:
    """Builds a complete trace: every call arrives, every scope is sealed."""

    spans: list[Span] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def add(self, parent: Span | None, kind: SpanKind, service: str, name: str = "n", **values: str) -> Span:
        number = len(self.spans) + 1
        span = Span(
            trace_id=TRACE_ID,
            span_id=f"{number:016x}",
            parent_id=None if parent is None else parent.span_id,
            name=name,
            kind=kind,
            service=service,
            start_ns=number,
            end_ns=number + 10,
            attributes={k.replace("__", "."): v for k, v in values.items()},
        )
        self.spans.append(span)
        return span

    def step(self, root: Span) -> Span:
        step = self.add(root, SpanKind.CLIENT, attributes.HARNESS_SERVICE, "step", url__full="http://shop.example/")
        self.steps.append(step.span_id)
        return step

    def scoped(self, parent: Span, service: str) -> Scope:
        scope = Scope(self, service, f"scope-{len(self.spans)}")
        scope.server = scope.add(parent, SpanKind.SERVER)
        return scope

    def trace(self) -> Trace:
        return Trace.of(TRACE_ID, self.spans)


@dataclass
class Scope:
    maker: Maker
    service: str
    id: str
    count: int = 0
    server: Span = field(init=False)

    def add(self, parent: Span, kind: SpanKind, name: str = "n", **values: str) -> Span:
        self.count += 1
        return self.maker.add(parent, kind, self.service, name, **{attributes.SCOPE: self.id}, **values)

    def seal(self) -> Span:
        values = {attributes.SCOPE: self.id, attributes.SEALED_SPANS: str(self.count)}
        return self.maker.add(self.server, SpanKind.INTERNAL, self.service, attributes.SEAL_SPAN_NAME, **values)


LEAVES = ("internal", "database", "broker", "third", "third-old", "third-port", "stubbed", "denied", "suppressed")
LEAF_ATTRIBUTES: dict[str, dict[str, str]] = {
    "database": {"db__system": "sqlite"},
    "broker": {"messaging__system": "kafka"},
    "third": {"url__full": "https://API.pay.example/charges"},
    "third-old": {"net__peer__name": "api.pay.example"},
    "third-port": {"server__address": "smtp.mail.example", "server__port": "25"},
    "stubbed": {"tb__guard__decision": "stubbed"},
    "denied": {"tb__guard__decision": "denied"},
    "suppressed": {"tb__guard__decision": "suppressed"},
}


@st.composite
def complete_traces(draw: st.DrawFn) -> Maker:
    maker = Maker()
    root = maker.add(None, SpanKind.INTERNAL, attributes.HARNESS_SERVICE, "bullet")
    budget = [draw(st.integers(0, 12))]

    def serve(parent: Span) -> None:
        form = draw(st.sampled_from(["scope", "scope", "scope", "edge", "refused"]))
        if form == "refused":
            maker.add(parent, SpanKind.SERVER, "cart", tb__refused="expired")
            return
        if form == "edge":  # a forwarder has no guards: it leaves no seal
            server = maker.add(parent, SpanKind.SERVER, "edge")
            if budget[0] > 0:
                budget[0] -= 1
                serve(maker.add(server, SpanKind.CLIENT, "edge", server__address="cart"))
            return
        scope = maker.scoped(parent, draw(st.sampled_from(["shop", "cart", "stock"])))
        inside = [scope.server]
        while budget[0] > 0 and draw(st.booleans()):
            budget[0] -= 1
            parent = draw(st.sampled_from(inside))
            leaf = draw(st.sampled_from([*LEAVES, "call", "call", "wrapped call"]))
            if leaf == "internal":
                inside.append(scope.add(parent, SpanKind.INTERNAL))
            elif leaf in LEAF_ATTRIBUTES:
                scope.add(parent, SpanKind.CLIENT, **LEAF_ATTRIBUTES[leaf])
            else:
                if leaf == "wrapped call":
                    parent = scope.add(parent, SpanKind.CLIENT, rpc__system="grpc")
                serve(scope.add(parent, SpanKind.CLIENT, http__url="http://cart:8000/"))
        scope.seal()

    for _ in range(draw(st.integers(1, 3))):
        serve(maker.step(root))
    return maker


@given(complete_traces())
def test_a_complete_trace_has_no_gap(maker: Maker) -> None:
    assert find_gaps(maker.trace(), SYSTEM, maker.steps) == ()


@given(complete_traces(), st.data())
def test_any_missing_span_is_a_gap(maker: Maker, data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(maker.spans))
    rest = Trace.of(TRACE_ID, [s for s in maker.spans if s is not lost])
    assert find_gaps(rest, SYSTEM, maker.steps), f"nobody misses {lost}"


@given(complete_traces(), st.data())
def test_order_and_copies_do_not_matter(maker: Maker, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(maker.spans), unique_by=lambda s: s.span_id, min_size=1))
    again = data.draw(st.permutations([*some, *data.draw(st.lists(st.sampled_from(some), max_size=3))]))
    wanted = find_gaps(Trace.of(TRACE_ID, some), SYSTEM, maker.steps)
    assert find_gaps(Trace.of(TRACE_ID, again), SYSTEM, list(reversed(maker.steps))) == wanted


def whole() -> tuple[Maker, Scope]:
    """bullet → step → shop; shop writes to its database; sealed."""
    maker = Maker()
    root = maker.add(None, SpanKind.INTERNAL, attributes.HARNESS_SERVICE, "bullet")
    scope = maker.scoped(maker.step(root), "shop")
    scope.add(scope.server, SpanKind.CLIENT, "INSERT", db__system__name="postgresql")
    return maker, scope


def gaps(maker: Maker, system: System = SYSTEM) -> list[tuple[str, str]]:
    return [(g.rule, g.service) for g in find_gaps(maker.trace(), system, maker.steps)]


def test_no_spans_at_all() -> None:
    found = find_gaps(Trace.of(TRACE_ID, []), SYSTEM, ["1" * 16])
    assert [g.rule for g in found] == ["missing-step", "no-root"]
    assert found[0].span_id == "1" * 16


def test_children_of_one_lost_parent_are_one_gap() -> None:
    maker, scope = whole()
    lost = replace(scope.server, span_id="f" * 16)
    for _ in range(3):
        scope.add(lost, SpanKind.INTERNAL, "child")
    scope.seal()
    (gap,) = find_gaps(maker.trace(), SYSTEM, maker.steps)
    assert (gap.rule, gap.service) == ("missing-parent", "shop")
    assert "2 more" in gap.detail
    assert "f" * 16 in gap.detail


def test_a_request_under_the_flag_that_nobody_counts_is_a_gap() -> None:
    maker, scope = whole()
    scope.seal()
    call = maker.add(maker.spans[1], SpanKind.CLIENT, "edge", server__address="cart")
    maker.add(call, SpanKind.SERVER, "cart", "GET /carts", tb__request_type="TRACE")
    assert gaps(maker) == [("seal-missing", "cart")]
    maker.spans[-1] = replace(maker.spans[-1], service="edge")
    assert gaps(maker) == [], "a forwarder leaves no seal"


def test_several_roots() -> None:
    maker, scope = whole()
    scope.seal()
    maker.add(None, SpanKind.INTERNAL, "cron")
    assert gaps(maker) == [("several-roots", "cron")]


def test_a_circle_of_parents() -> None:
    maker, scope = whole()
    scope.seal()
    a = maker.add(None, SpanKind.INTERNAL, "odd")
    b = maker.add(a, SpanKind.INTERNAL, "odd")
    maker.spans[-2] = replace(a, parent_id=b.span_id)
    assert gaps(maker) == [("parent-cycle", "odd")]
    maker.spans[-2:] = [replace(a, parent_id=a.span_id)]
    assert gaps(maker) == [("parent-cycle", "odd")]


def test_a_step_that_nobody_answered_is_told_once() -> None:
    maker = Maker()
    maker.step(maker.add(None, SpanKind.INTERNAL, attributes.HARNESS_SERVICE))
    assert gaps(maker) == [("missing-step", attributes.HARNESS_SERVICE)]


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({"server__address": "cart", "server__port": "80"}, "cart:80"),
        ({"http__url": "http://cart:8000/x"}, "cart:8000"),
        ({"rpc__system": "grpc"}, "an unknown address"),
        ({"url__full": "https://api.pay.example.evil/"}, "api.pay.example.evil:443"),
        ({"server__address": "smtp.mail.example", "server__port": "587"}, "smtp.mail.example:587"),
        ({"server__address": "cart", "tb__guard__decision": "allowed"}, "cart"),
    ],
)
def test_a_call_that_did_not_arrive(values: dict[str, str], there: str) -> None:
    maker, scope = whole()
    call = scope.add(scope.server, SpanKind.CLIENT, "GET", **values)
    scope.seal()
    (gap,) = find_gaps(maker.trace(), SYSTEM, maker.steps)
    assert (gap.rule, gap.service, gap.span_id) == ("missing-server", "shop", call.span_id)
    assert f" {there}," in gap.detail
    assert "failed" not in gap.detail


def test_work_inside_a_call_is_no_arrival() -> None:
    maker, scope = whole()
    call = scope.add(scope.server, SpanKind.CLIENT, "GET", server__address="cart")
    scope.add(call, SpanKind.INTERNAL, "serialize")
    scope.seal()
    assert gaps(maker) == [("missing-server", "shop")]


def test_a_failed_call_says_that_it_may_never_have_arrived() -> None:
    maker, scope = whole()
    scope.add(scope.server, SpanKind.CLIENT, "GET", server__address="cart")
    maker.spans[-1] = replace(maker.spans[-1], status=SpanStatus.ERROR)
    scope.seal()
    (gap,) = find_gaps(maker.trace(), SYSTEM, maker.steps)
    assert "may never have arrived" in gap.detail


def test_a_scope_without_seal() -> None:
    maker, _ = whole()
    assert gaps(maker) == [("seal-missing", "shop")]


def test_a_seal_that_promises_more() -> None:
    maker, scope = whole()
    scope.count += 1
    scope.seal()
    (gap,) = find_gaps(maker.trace(), SYSTEM, maker.steps)
    assert gap.rule == "seal-short"
    assert "3 spans and 2 were received" in gap.detail


@pytest.mark.parametrize("count", ["", "many", "-1", "²"])
def test_a_seal_without_a_number_proves_nothing(count: str) -> None:
    maker, scope = whole()
    seal = scope.seal()
    maker.spans[-1] = replace(seal, attributes={**seal.attributes, attributes.SEALED_SPANS: count})
    assert gaps(maker) == [("seal-short", "shop")]


def test_a_seal_whose_spans_are_all_missing() -> None:
    maker, scope = whole()
    seal = scope.seal()
    maker.spans[-1] = replace(seal, attributes={**seal.attributes, attributes.SCOPE: "other"})
    assert gaps(maker) == [("seal-missing", "shop"), ("seal-short", "shop")]


def test_more_spans_than_sealed_are_fine() -> None:
    maker, scope = whole()
    scope.count -= 1
    scope.seal()
    assert gaps(maker) == []


def test_a_refused_request_needs_no_seal() -> None:
    maker = Maker()
    step = maker.step(maker.add(None, SpanKind.INTERNAL, attributes.HARNESS_SERVICE))
    maker.add(step, SpanKind.SERVER, "shop", tb__refused="expired", tb__scope="s")
    assert gaps(maker) == []


def test_deep_and_wide_traces_are_judged_without_recursion() -> None:
    maker = Maker()
    maker.add(None, SpanKind.SERVER, "deep")
    for _ in range(10_000):
        maker.add(maker.spans[-1], SpanKind.INTERNAL, "deep")
    for _ in range(90_000):
        maker.add(maker.spans[0], SpanKind.INTERNAL, "wide")
    maker.spans[10_000] = replace(maker.spans[10_000], attributes={"tb.scope": "s"})
    assert gaps(maker) == [("seal-missing", "deep")]


def test_gaps_are_plain_values() -> None:
    (gap,) = find_gaps(Trace.of(TRACE_ID, []), SYSTEM, [])
    assert gap == Gap(rule="no-root", service="", detail="no span without a parent was received")


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, ("", None)),
        ({"server.address": "a", "net.peer.name": "b"}, ("a", None)),
        ({"net.peer.name": "b", "net.peer.port": "99"}, ("b", 99)),
        ({"server.address": "a", "url.full": "https://a/x"}, ("a", 443)),
        ({"server.address": "proxy", "url.full": "https://a/x"}, ("proxy", None)),
        ({"http.url": "http://u:p@[::1]:8/x"}, ("::1", 8)),
        ({"http.url": "http://[bad"}, ("", None)),
        ({"http.url": "http://a:99999999/"}, ("", None)),
        ({"network.peer.address": "10.0.0.1", "server.port": "x"}, ("10.0.0.1", None)),
    ],
)
def test_where_a_client_span_went(values: dict[str, str], address: tuple[str, Any]) -> None:
    assert address_of(values) == address


def test_a_message_sent_under_the_flag_must_reach_somebody_who_knows_it() -> None:
    maker, scope = whole()
    told = {"messaging__system": "kafka", "tb__guard__decision": "forwarded", "tb__guard__operation": "PUBLISH orders"}
    message = scope.add(scope.server, SpanKind.PRODUCER, "orders send", **told)
    scope.seal()
    (gap,) = find_gaps(maker.trace(), SYSTEM, maker.steps)
    assert (gap.rule, gap.service, gap.span_id) == ("missing-consumer", "shop", message.span_id)
    assert "'PUBLISH orders'" in gap.detail
    consumer = maker.scoped(message, "stock")
    consumer.seal()
    assert gaps(maker) == []


def test_a_message_that_its_consumer_refused_has_arrived() -> None:
    maker, scope = whole()
    message = scope.add(scope.server, SpanKind.PRODUCER, messaging__system="kafka", tb__guard__decision="forwarded")
    scope.seal()
    maker.add(message, SpanKind.CONSUMER, "stock", tb__refused="expired")
    assert gaps(maker) == []
