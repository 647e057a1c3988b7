"""Micro costs of guards on STANDARD requests: nanoseconds a call, in this process, without a server."""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracer_bullet.context.propagator import TracerBulletPropagator
from tracer_bullet.context.scope import live_scope
from tracer_bullet.guards import arm
from tracer_bullet.guards.asgi import GuardMiddleware

CALLS = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over batches of CALLS calls, and the 99th percentile of the batches with guards."""

    name: str
    without_ns: float
    with_ns: float
    p99_ns: float

    @property
    def added_ns(self) -> float:
        return self.with_ns - self.without_ns


def micro_costs(batches: int) -> list[Cost]:
    """Every micro cost. Arms guards in this process, and disarms them in the end."""
    costs = [_compare("live_scope(), the check in every guard", batches, _nothing, live_scope)]
    costs.append(_middleware(batches))
    costs.extend(_sqlalchemy(batches))
    costs.append(_propagation(batches))
    return costs


def _nothing() -> None:
    return None


def _compare(name: str, batches: int, without: Callable[[], Any], with_guard: Callable[[], Any]) -> Cost:
    timings: tuple[list[float], list[float]] = ([], [])
    for _ in range(batches):
        for call, found in zip((without, with_guard), timings, strict=True):
            start_ns = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            found.append((time.perf_counter_ns() - start_ns) / CALLS)
    return _cost(name, *timings)


def _cost(name: str, without: Sequence[float], with_guard: Sequence[float]) -> Cost:
    p99 = statistics.quantiles(with_guard, n=100)[98]
    return Cost(name, statistics.median(without), statistics.median(with_guard), p99)


def service_keys() -> str:
    """A key set as a service has it."""
    x = base64.urlsafe_b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).rstrip(b"=").decode()
    return json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]})


def _middleware(batches: int) -> Cost:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        return None

    async def receive() -> Any:
        return {}

    async def send(_message: Any) -> None:
        return None

    armed = arm(service="orders", keys=service_keys())
    guarded = GuardMiddleware(app, armed)
    names = ("host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "x-request-id")
    headers = [(name.encode(), b"value") for name in names]
    headers += [(b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}

    def caller(target: Any) -> Callable[[], None]:
        def call() -> None:
            one: Coroutine[Any, Any, None] = target(scope, receive, send)
            with suppress(StopIteration):
                one.send(None)  # neither waits for anything, so no event loop is needed

        return call

    try:
        return _compare("GuardMiddleware, 8 headers, no flag", batches, caller(app), caller(guarded))
    finally:
        armed.disarm()


def _sqlalchemy(batches: int) -> list[Cost]:
    """Checkout and statement on an engine before and after arming, on a memory database."""
    engine, alternations = sa.create_engine("sqlite://"), 25
    each = max(batches // alternations, 1)
    statement = sa.text("SELECT 1")

    def checkout() -> None:
        engine.raw_connection().close()

    def measure() -> tuple[list[float], list[float]]:
        with engine.connect() as connection:
            executes = _batches(each, lambda: connection.execute(statement).close())
        return _batches(each, checkout), executes

    without: tuple[list[float], list[float]] = ([], [])
    with_guard: tuple[list[float], list[float]] = ([], [])
    for _ in range(alternations):  # interleaved, since arming is for the whole process
        for into in (without, with_guard):
            armed = arm(service="orders", keys=service_keys()) if into is with_guard else None
            for kept, found in zip(into, measure(), strict=True):
                kept.extend(found)
            if armed is not None:
                armed.disarm()
    names = ("Engine.raw_connection() and close", "Connection.execute of SELECT 1")
    return [_cost(*row) for row in zip(names, without, with_guard, strict=True)]


def _batches(count: int, call: Callable[[], Any]) -> list[float]:
    found = []
    for _ in range(count):
        start_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        found.append((time.perf_counter_ns() - start_ns) / CALLS)
    return found


def _propagation(batches: int) -> Cost:
    """Extracting from a customer's headers, by OpenTelemetry's defaults and with ours behind them."""
    stock = [TraceContextTextMapPropagator(), W3CBaggagePropagator()]
    plain, ours = CompositePropagator(stock), CompositePropagator([*stock, TracerBulletPropagator()])
    carrier = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    return _compare("extract of a traceparent", batches, lambda: plain.extract(carrier), lambda: ours.extract(carrier))
