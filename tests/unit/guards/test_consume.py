"""Claim: a message is handled as the bullet's with proof or not at all, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate, trace

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context import current
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.scope import Scope, entered, inherited_scope, live_scope, stale_contexts
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.guards.messages.consume import (
    delivery,
    flag_message,
    flag_pairs,
    is_plain,
    read_message_claim,
    serving,
    strip_message,
    strip_pairs,
)
from tracer_bullet.guards.messages.pulling import Puller, lost_context
from tracer_bullet.model import Context, FlagState

SHAPES: dict[str, Callable[[dict[str, str]], Any]] = {
    "texts": lambda h: h,
    "bytes": lambda h: {k: v.encode() for k, v in h.items()},
    "all bytes": lambda h: {k.encode(): v.encode() for k, v in h.items()},
    "pairs": lambda h: [(k, v.encode()) for k, v in h.items()],
    "upper case": lambda h: {k.upper(): v for k, v in h.items()},
    "lists": lambda h: {k: [v] for k, v in h.items()},
    "among others": lambda h: {"x-count": 3, "x-none": None, **h, "x-list": [1, {"a": 2}]},
}


@pytest.fixture(params=SHAPES)
def shaped(request: pytest.FixtureRequest) -> Callable[[dict[str, str]], Any]:
    return SHAPES[request.param]


@dataclass
class Closing:
    """A closer that says how it was released."""

    how: list[str] = field(default_factory=list)

    def close(self) -> None:
        self.how.append("close")

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.how.append("aclose")

    def answered(self) -> bool:
        return True


def run_id() -> str | None:
    found = current()
    return None if found is None else found.run_id


def test_a_bullets_message_is_the_bullets(
    shaped: Any, flag_headers: Any, arm_service: Any, telemetry: Telemetry
) -> None:
    arm_service()
    closing = Closing()
    with delivery(shaped(flag_headers()), name="orders receive") as found:
        assert (found.state, found.refused, run_id()) == (FlagState.VALID, False, "run-1")
        assert trace.format_trace_id(trace.get_current_span().get_span_context().trace_id).startswith("0af765")
        found.scope.on_end(closing)
    assert run_id() is None
    assert not trace.get_current_span().get_span_context().is_valid
    assert closing.how == ["close"]
    assert found.scope.closed.is_set()
    (seal,) = telemetry.having("tb.sealed_spans")
    assert seal.attributes["tb.carriers"] == "baggage,tracestate,header"
    assert f"{seal.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_the_same_on_an_event_loop(flag_headers: Any, arm_service: Any) -> None:
    arm_service()
    closing = Closing()

    async def main() -> None:
        async with delivery(flag_headers()) as found:
            assert run_id() == "run-1"
            found.scope.on_end(closing)
        assert run_id() is None

    asyncio.run(main())
    assert closing.how == ["aclose"]


def test_a_cancelled_handler_still_rolls_back(flag_headers: Any, arm_service: Any) -> None:
    arm_service()
    closing = Closing()

    async def handle(started: asyncio.Event) -> None:
        async with delivery(flag_headers()) as found:
            found.scope.on_end(closing)
            started.set()
            await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(handle(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closing.how == ["aclose"]


def test_a_failing_handler_does_too(flag_headers: Any, arm_service: Any) -> None:
    arm_service()
    closing = Closing()

    def handle() -> None:
        with delivery(flag_headers()) as found:
            found.scope.on_end(closing)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle()
    assert closing.how == ["close"]


@pytest.mark.parametrize("lost", ["baggage and header", "forged", "no armed service"])
def test_without_proof_it_is_refused(lost: str, flag_headers: Any, arm_service: Any, telemetry: Telemetry) -> None:
    headers = flag_headers()
    armed = arm_service()
    state, reason = FlagState.REFUSED, ""
    if lost == "baggage and header":
        del headers["baggage"], headers["x-tracer-bullet"]
        state, reason = FlagState.LOST, "flag-lost"
    elif lost == "forged":
        headers["x-tracer-bullet"] = headers["x-tracer-bullet"][:-4] + "AAAA"
        reason = "ambiguous"
    else:
        arm_service(service="another")  # two in one process: whose is it?
        reason = "unarmed"
        armed = None
    with delivery(headers, armed, name="orders receive") as found:
        assert (found.state, found.refused, found.reason, found.scope) == (state, True, reason, None)
        assert run_id() is None
    if armed is not None:
        (span,) = telemetry.having("tb.refused", reason)
        assert (span.name, span.kind) == ("orders receive refused", trace.SpanKind.CONSUMER)
        assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_the_refusal_is_on_the_instrumentations_span(flag_headers: Any, arm_service: Any, telemetry: Telemetry) -> None:
    armed = arm_service()
    headers = {**flag_headers(), "x-tracer-bullet": "other"}
    context = propagate.extract(headers)
    theirs = armed.tracer.start_as_current_span("theirs", context=context, kind=trace.SpanKind.CONSUMER)
    with theirs, delivery(headers) as found:
        assert found.refused
    (span,) = telemetry.spans
    assert (span.name, span.attributes["tb.refused"]) == ("theirs", "ambiguous")


def test_a_customers_message_costs_a_look(arm_service: Any, telemetry: Telemetry) -> None:
    arm_service()
    for headers in (None, {}, [], {"baggage": "theirs=1", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}):
        assert is_plain(headers)
        with delivery(headers) as found:
            assert (found.state, found.scope, inherited_scope()) == (FlagState.ABSENT, None, None)
    assert telemetry.spans == []


def test_a_customers_message_is_not_handled_under_what_a_bullet_left(flag_headers: Any, arm_service: Any) -> None:
    armed = arm_service()
    with entered(Scope(Context(run_id="left", token="t"), armed)):
        assert not is_plain({})
        with delivery({}):
            assert inherited_scope() is None
        with delivery(flag_headers()):
            assert run_id() == "run-1"
        assert run_id() == "left"


def test_delivered_twice_is_one_request(flag_headers: Any, arm_service: Any, telemetry: Telemetry) -> None:
    arm_service()
    with delivery(flag_headers()) as outer:
        with delivery(flag_headers()) as inner:
            assert inner.scope is outer.scope
        assert not outer.scope.ended
    assert len(telemetry.having("tb.sealed_spans")) == 1


def test_several_services_in_one_process(flag_headers: Any, arm_service: Any) -> None:
    first, second = arm_service(service="first"), arm_service(service="second")
    for armed in (first, second):
        with serving(armed), delivery(flag_headers()) as found:
            assert found.scope.owner is armed


def test_a_testers_message_without_the_flag_may_not_write(arm_service: Any, telemetry: Telemetry) -> None:
    arm_service(testers=("tester-*",))
    assert not is_plain({})
    with delivery({"baggage": "user_id=somebody"}) as found:
        assert found.scope is None
    with delivery({"baggage": "user_id=tester-7"}) as found:
        assert (found.state, live_scope()) == (FlagState.ABSENT, found.scope)
        assert run_id() is None or run_id() == ""
    assert telemetry.having("tb.sealed_spans") == []


@given(
    st.dictionaries(st.text() | st.binary(), st.none() | st.integers() | st.text() | st.binary() | st.lists(st.text()))
)
def test_whatever_the_headers_are_they_are_read(headers: dict[Any, Any]) -> None:
    read_message_claim(headers)
    read_message_claim(list(headers.items()))
    with delivery(headers) as found:
        assert not found.refused or read_message_claim(headers) is not None


def test_a_token_that_is_no_text_claims_and_is_refused(arm_service: Any) -> None:
    arm_service()
    for value in (7, None, [], b"\xff"):
        with delivery({"x-tracer-bullet": value}) as found:
            assert found.refused


def test_what_goes_out_is_flagged_and_stripped(arm_service: Any) -> None:
    scope = Scope(Context(run_id="run-1", token="a.b.c", user_id="u1"), arm_service())
    before = {"x-count": 3, "baggage": "theirs=1", "Tracestate": "other=1"}
    sent = flag_message(before, scope)
    assert sent["x-count"] == 3
    assert before == {"x-count": 3, "baggage": "theirs=1", "Tracestate": "other=1"}
    claim = read_claim([sent["baggage"]], [sent["tracestate"]], [sent["x-tracer-bullet"]])
    assert (claim.token, claim.carriers) == ("a.b.c", ("baggage", "tracestate", "header"))
    assert sent["tracestate"] == "tb=t,other=1"
    assert strip_message(sent) == {"x-count": 3, "baggage": "theirs=1", "tracestate": "other=1"}
    pairs = flag_pairs([("x-count", b"3"), ("x-count", b"4")], scope)
    assert pairs[:2] == [("x-count", b"3"), ("x-count", b"4")]
    assert read_message_claim(pairs).token == "a.b.c"
    assert strip_pairs(pairs) == [("x-count", b"3"), ("x-count", b"4")]


@pytest.fixture
def puller(arm_service: Any) -> Iterator[Puller]:
    arm_service()
    found = Puller()
    yield found
    found.end()


def test_a_message_is_its_callers_until_the_next(puller: Puller, flag_headers: Any, telemetry: Telemetry) -> None:
    closing = Closing()
    puller.ready("GET orders")
    assert puller.hand_out(flag_headers())
    assert run_id() == "run-1"
    puller.scope.on_end(closing)
    puller.ready("GET orders")
    assert (run_id(), inherited_scope(), closing.how) == (None, None, ["close"])
    assert not trace.get_current_span().get_span_context().is_valid
    assert puller.hand_out({})
    assert (run_id(), puller.scope) == (None, None)
    assert len(telemetry.having("tb.sealed_spans")) == 1


def test_a_message_that_is_settled_has_its_linger(puller: Puller, flag_headers: Any) -> None:
    assert puller.hand_out(flag_headers())
    puller.tag = 3
    puller.settled(2)
    assert run_id() == "run-1"
    puller.settled(3)
    before = stale_contexts()
    while run_id() is not None:  # linger_s is 0 here: as soon as the clock moves
        pass
    assert stale_contexts() == before + 1


def test_what_cannot_be_handed_out_is_not(puller: Puller, flag_headers: Any, telemetry: Telemetry) -> None:
    assert not puller.hand_out({**flag_headers(), "x-tracer-bullet": "forged"})
    assert not puller.hand_out(flag_headers(), impossible="nobody would see it")
    assert run_id() is None
    assert [s.attributes["tb.refused"] for s in telemetry.having("tb.refused")] == ["ambiguous", "no-scope"]


def test_a_bullet_may_not_fetch_a_customers_message(puller: Puller, arm_service: Callable[..., Armed]) -> None:
    with entered(Scope(Context(run_id="run-1", token="t"), arm_service())), pytest.raises(WriteRefused, match="GET"):
        puller.ready("GET orders")


def test_on_an_event_loop_a_task_that_ends_ends_its_message(flag_headers: Any, arm_service: Any) -> None:
    arm_service()
    closing = Closing()
    puller = Puller()

    async def consume() -> None:
        await puller.aready("CONSUME orders")
        assert puller.hand_out(flag_headers())
        puller.scope.on_end(closing)
        assert run_id() == "run-1"

    async def main() -> None:
        await asyncio.create_task(consume())
        while not closing.how:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)
        assert run_id() is None

    asyncio.run(main())
    assert closing.how == ["aclose"]


def test_a_message_nobody_comes_back_for_is_over_in_time(
    flag_headers: Any, arm_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer_bullet.guards.messages.pulling.HELD_AT_MOST_S", 0.01)
    arm_service()
    puller = Puller()
    # In a context of its own: what is attached there stays, since nobody comes back.
    assert contextvars.copy_context().run(puller.hand_out, flag_headers())
    scope = puller.scope
    assert scope.closed.wait(60)
    assert scope.ended

    async def main() -> None:
        other = Puller()
        assert other.hand_out(flag_headers())
        scope = other.scope
        while not scope.closed.is_set():  # noqa: ASYNC110  # a threading.Event
            await asyncio.sleep(0.01)

    asyncio.run(main())
    gc.collect()


def test_a_task_of_its_own_is_noticed() -> None:
    async def fetch() -> str:
        return lost_context(fetch)

    async def main() -> None:
        assert await fetch() == ""
        assert "task of its own" in await asyncio.create_task(fetch())

    asyncio.run(main())


@pytest.mark.parametrize("module", ["aio_pika", "pika", "celery", "kombu"])
def test_a_library_that_is_imported_after_arming_is_guarded(module: str, jwks: str) -> None:
    code = (
        "import importlib, sys; from tracer_bullet.guards import arm, census\n"
        f"armed = arm(service='cart', keys={jwks!r})\n"
        f"assert {module!r} not in sys.modules\n"
        f"assert {{g.name: g.state for g in census()}}[{module!r}] == 'waiting'\n"
        f"importlib.import_module({module!r})\n"
        f"print({{g.name: (g.state, g.detail) for g in census()}}[{module!r}])\n"
        "armed.disarm()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "('armed', '')"
