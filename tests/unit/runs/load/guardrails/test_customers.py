"""Claim: load that hurts customers is stopped by what their own traces say, and silence is not taken for health."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.servers.otlp import PROTOBUF, to_protobuf
from tests.unit.runs.load.guardrails.test_watch import until_it_stops
from tests.unit.traces.test_receiver import a_span, post
from tracer_bullet.errors import StoppedError
from tracer_bullet.model import Indicator, Objective, Span, SpanStatus
from tracer_bullet.model.distribution import Distribution
from tracer_bullet.runs.load.guardrails import Guardrails, Watched, watch_target
from tracer_bullet.runs.load.guardrails.customers import judge_burn, judge_standard
from tracer_bullet.runs.load.guardrails.patience import Sight
from tracer_bullet.traces import Receiver
from tracer_bullet.traces.standard import StandardWindow
from tracer_bullet.workspace.safety import ErrorBudgetSpec, LoadGuardrailsSpec, StandardSpec

MS = 1_000_000
FAST = Objective(name="fast", service="shop", indicator=Indicator.LATENCY, target=0.9, threshold_ms=100)


def window(calls: int, bad: int = 0, ms: int = 10) -> StandardWindow:
    return StandardWindow(calls=calls, bad=bad, durations=Distribution.of([ms * MS] * calls))


@pytest.mark.parametrize(
    ("spec", "seen", "sight", "text"),
    [
        ({"p99": "300ms"}, window(19), Sight.UNKNOWN, "19 calls of customers within 30 s (needed: 20)"),
        ({"p99": "300ms", "at_least": 1}, window(0), Sight.UNKNOWN, "0 calls of customers within 30 s (needed: 1)"),
        ({"p99": "300ms"}, window(20), Sight.WELL, "p99 10 ms"),
        ({"p99": "9ms"}, window(20), Sight.BAD, "p99 10 ms"),
        ({"p50": "1s", "p95": "9ms"}, window(20), Sight.BAD, "p50 10 ms, p95 10 ms"),
        ({"errors": "10 %"}, window(20, 2), Sight.WELL, "2 of 20 failed"),
        ({"errors": "10 %"}, window(20, 3), Sight.BAD, "3 of 20 failed"),
        ({"errors": 0}, window(20, 1), Sight.BAD, "1 of 20 failed"),
        ({"p99": "1s", "errors": "1 %"}, window(100, 2), Sight.BAD, "p99 10 ms, 2 of 100 failed"),
    ],
)
def test_latency_and_errors(spec: dict[str, Any], seen: StandardWindow, sight: Sight, text: str) -> None:
    look = judge_standard(StandardSpec.model_validate({"service": "shop", **spec}), seen)
    assert (look.sight, look.text) == (sight, text)


@pytest.mark.parametrize(
    ("seen", "sight"),
    [
        (window(20, 4), Sight.WELL),
        (window(20, 5), Sight.BAD),
        (window(19, 19), Sight.UNKNOWN),
        (window(20), Sight.WELL),
    ],
)
def test_a_burn_rate_is_bad_calls_over_those_allowed(seen: StandardWindow, sight: Sight) -> None:
    """4 of 20 are twice the tenth that the objective allows: the limit itself."""
    assert judge_burn(ErrorBudgetSpec(slo="fast", burn=2), FAST, seen).sight is sight


def spans(count: int, *, ms: int = 10, failed: bool = False, bullets: bool = False) -> list[Span]:
    """Of customers, or of bullets that a service without guards forwarded."""
    return [
        a_span(
            f"{n + 1:032x}",
            f"{n + 1:016x}",
            start_ns=1,
            end_ns=1 + ms * MS,
            status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
            trace_state="tb=t" if bullets else "",
        )
        for n in range(count)
    ]


@contextmanager
def customers(receiver: Receiver, sent: list[list[Span]]) -> Iterator[None]:
    """Send these spans again and again, as services do, until the end."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            for batch in list(sent):
                post(receiver, to_protobuf(batch), PROTOBUF)
            over.wait(0.02)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(spec: dict[str, Any], well: list[Span], then: list[Span]) -> tuple[str, Guardrails]:
    """The stop that comes when the spans become those of `then`."""
    sent = [well]

    async def main(receiver: Receiver) -> tuple[str, Guardrails]:
        watched = Watched(
            spec=LoadGuardrailsSpec.model_validate(spec), target_url="http://127.0.0.1:1", objectives=[FAST]
        )
        async with watch_target(watched, receiver, {}) as guardrails:
            assert guardrails.look() is None
            sent[:] = [then]
            return (await until_it_stops(guardrails)).detail, guardrails

    with Receiver() as receiver:
        receiver.keep_share(0.0)
        with customers(receiver, sent):
            return asyncio.run(main(receiver))


EAGER = {"service": "shop", "every": "20ms", "window": "2s", "unknown_for": "30s"}


def test_customers_that_wait() -> None:
    detail, guardrails = run({"standard": [{**EAGER, "p99": "100ms"}]}, spans(20), spans(20, ms=200))
    assert detail.startswith("customers of shop: p99 ")
    assert detail.endswith(" ms (allowed: p99 100 ms over 2 s)")
    (reading,) = guardrails.readings()
    assert reading.broken


def test_customers_that_see_errors() -> None:
    detail, _ = run({"standard": [{**EAGER, "errors": "30 %"}]}, spans(20), spans(20, failed=True))
    assert "failed (allowed: errors 30.000% over 2 s)" in detail


def test_a_budget_that_burns() -> None:
    budget = {"slo": "fast", "burn": 3, "window": "2s", "every": "20ms"}
    detail, _ = run({"error_budget": [budget]}, spans(20), spans(20, ms=200))
    assert detail.startswith("error budget of fast: burn rate ")
    assert detail.endswith("(allowed: burn rate 3 over 2 s)")


def test_customers_that_stay_away() -> None:
    """Bullets are not taken for them."""
    spec = {**EAGER, "p99": "100ms", "unknown_for": "2s"}
    detail, _ = run({"standard": [spec]}, spans(20), spans(40, bullets=True))
    assert "unknown for " in detail
    assert "calls of customers within 2 s (needed: 20)" in detail


def test_without_customers_there_is_no_load() -> None:
    with pytest.raises(StoppedError, match=r"TB1063(.|\n)*0 calls of customers within 2 s"):
        run({"standard": [{**EAGER, "p99": "1s", "unknown_for": "1s"}]}, spans(20, bullets=True), [])


def test_a_meter_is_closed_when_the_watch_ends() -> None:
    async def main(receiver: Receiver) -> None:
        spec = LoadGuardrailsSpec.model_validate({"standard": [{**EAGER, "p99": "1s", "at_least": 1}]})
        async with watch_target(Watched(spec=spec, target_url="http://127.0.0.1:1"), receiver, {}):
            assert receiver.standard.watched == {"shop"}

    with Receiver() as receiver:
        with customers(receiver, [spans(1)]):
            asyncio.run(main(receiver))
        assert receiver.standard.watched == set()
