"""Claim: the flag crosses a process on all three carriers, and never sticks to a customer's request."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracer_bullet.context.carriers import read_claim, write_baggage
from tracer_bullet.context.propagator import TracerBulletPropagator
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.model import Context

CONTEXT = Context(run_id="run-1", token="a.b.c", user_id="u1")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STOCK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator(), TracerBulletPropagator()])


def _hop(headers: dict[str, str | list[str]], scope: Scope | None) -> dict[str, str]:
    """What a service that got `headers` sends on, under the SDK's own spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    token = otel_context.attach(STOCK.extract(headers))
    out: dict[str, str] = {}
    try:
        with entered(scope), use_span(tracer.start_span("server")):
            STOCK.inject(out)
    finally:
        otel_context.detach(token)
    return out


def test_it_is_an_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_propagator", name="tracer_bullet")
    assert found.load() is TracerBulletPropagator


def test_a_bullets_call_carries_all_three() -> None:
    out = _hop({"traceparent": TRACEPARENT, "tracestate": "congo=1"}, Scope(CONTEXT, None))
    assert out["traceparent"].endswith("-01")
    assert out["tracestate"] == "tb=t,congo=1"
    assert out["x-tracer-bullet"] == "a.b.c"
    assert out["baggage"] == "request_type=TRACE,tb-run=run-1,tb-token=a.b.c,user_id=u1"


@pytest.mark.parametrize("others", [["z=1", "big=" + "v" * 9000, "y=2"], [",".join(f"k{i}=v" for i in range(300))]])
def test_other_peoples_baggage_does_not_hide_the_flag(others: list[str]) -> None:
    out = _hop({"traceparent": TRACEPARENT, "baggage": [*others, write_baggage(CONTEXT)]}, Scope(CONTEXT, None))
    assert out["baggage"].startswith("request_type=TRACE,tb-run=run-1,tb-token=a.b.c,user_id=u1,")
    assert len(out["baggage"]) <= 8192
    assert len(out["baggage"].split(",")) <= 64


def test_other_peoples_members_pass_unchanged() -> None:
    theirs = "theirs=a+b/c%3D%3D;ttl=5"
    lines = ["first=1", theirs, write_baggage(CONTEXT)]
    out = _hop({"traceparent": TRACEPARENT, "baggage": lines}, Scope(CONTEXT, None))
    assert theirs in out["baggage"].split(",")


def test_a_customers_context_is_left_as_the_stock_propagators_made_it() -> None:
    headers = {"baggage": "user_id=7,account_id=a;p=1", "tracestate": "vendor=x", "traceparent": TRACEPARENT}
    before = W3CBaggagePropagator().extract(headers)
    assert TracerBulletPropagator().extract(headers, before) is before


@pytest.mark.parametrize("name", ["baggage", "tracestate", "x-tracer-bullet"])
def test_each_carrier_is_found_in_an_asgi_scope(name: str) -> None:
    headers = {"baggage": write_baggage(CONTEXT), "tracestate": "tb=t", "x-tracer-bullet": "a.b.c"}
    scope = {"asgi": {"version": "3.0"}, "type": "http", "headers": [(name.encode(), headers[name].encode())]}
    found = TracerBulletPropagator().extract(scope, otel_context.Context(), asgi_getter)
    assert bool(found) is (name != "tracestate"), "a lone tracestate has no token to forward"
    scope["headers"] = [(b"baggage", b"user_id=7")]
    assert TracerBulletPropagator().extract(scope, otel_context.Context(), asgi_getter) == {}


def test_a_standard_request_gets_nothing() -> None:
    assert set(_hop({"traceparent": TRACEPARENT, "tracestate": "congo=1"}, None)) == {"traceparent", "tracestate"}


def test_a_process_without_guards_forwards_what_came() -> None:
    headers: dict[str, str | list[str]] = {
        "traceparent": TRACEPARENT,
        "baggage": write_baggage(CONTEXT),
        "tracestate": "tb=t",
        "x-tracer-bullet": "a.b.c",
    }
    out = _hop(headers, None)
    assert {k: out[k] for k in headers if k != "traceparent"} == {
        k: v for k, v in headers.items() if k != "traceparent"
    }


def test_a_stale_bullet_is_wiped_from_what_the_stock_propagators_write() -> None:
    """A worker that kept a bullet's OpenTelemetry context serves a customer later."""
    scope = Scope(CONTEXT, None, linger_s=0, clock_s=iter([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).__next__)
    scope.end()
    headers: dict[str, str | list[str]] = {
        "traceparent": TRACEPARENT,
        "baggage": write_baggage(CONTEXT) + ",theirs=1",
        "tracestate": "tb=t,congo=1",
    }
    out = _hop(headers, scope)
    assert read_claim([out["baggage"]], [out["tracestate"]], []) is None
    assert (out["baggage"], out["tracestate"]) == ("theirs=1", "congo=1")
    assert "x-tracer-bullet" not in out
