"""Claim: a bullet's AMQP messages are not sent unless a policy says so, and its own messages are handled as its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import aio_pika
import aio_pika.abc
import aiormq
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aio_pika import AioPikaInstrumentor

from tests.unit.guards.amqp import Broker
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tracer_bullet.context import current
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused
from tracer_bullet.guards.messages.consume import read_message_claim
from tracer_bullet.model import Context

WAIT_S = 60.0


class AioPika:
    """A queue behind the default exchange."""

    name = "aio_pika"
    sink = Sink.MESSAGES
    policies = (Policy.NOOP, Policy.SHADOW, Policy.FORWARD, Policy.DENY, Policy.ALLOW)
    instrumentor = AioPikaInstrumentor()

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.settings: dict[str, Any] = {}
        self.queue = broker.queue()
        self.operation = f"PUBLISH {self.queue}"
        self.patched = ((aiormq.Channel, "basic_publish"), (aiormq.Channel, "queue_declare"))

    def write(self, value: str) -> Any:
        async def main() -> Any:
            async with await aio_pika.connect(self._broker.url) as connection:
                channel = await connection.channel()
                return await channel.default_exchange.publish(aio_pika.Message(value.encode()), self.queue)

        return asyncio.run(main())

    def read(self) -> Any:
        async def main() -> Any:
            async with await aio_pika.connect(self._broker.url) as connection:
                channel = await connection.channel()
                return (await channel.declare_queue(self.queue, passive=True)).declaration_result.message_count

        return asyncio.run(main())

    def check(self, answer: Any) -> None:
        assert isinstance(answer, aiormq.spec.Basic.Ack)

    def stored(self) -> list[str]:
        return self._broker.bodies(self.queue)

    def shadowed(self) -> list[str]:
        return self._broker.bodies(f"shadow_{self.queue}")


class TestContract(GuardContract):
    @pytest.fixture
    def subject(self, broker: Broker) -> AioPika:
        return AioPika(broker)


def bullet(armed: Armed, token: str = "t") -> AbstractContextManager[None]:
    return entered(Scope(Context(run_id="run-1", token=token), armed, linger_s=0.0, trace_id="a" * 32))


def run_id() -> str | None:
    found = current()
    return None if found is None else found.run_id


@contextlib.asynccontextmanager
async def channel_of(broker: Broker, *, robust: bool = False) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connect = aio_pika.connect_robust if robust else aio_pika.connect
    async with await connect(broker.url) as connection:
        yield await connection.channel()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():  # noqa: ASYNC110  # what is awaited happens in another process
            await asyncio.sleep(0.01)


def message(text: str = "1", **properties: Any) -> aio_pika.Message:
    return aio_pika.Message(text.encode(), **properties)


def test_forward_sends_it_flagged(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", queue)
    armed = arm_service(messages="forward")

    async def main() -> None:
        async with channel_of(broker) as channel:
            to = await channel.get_exchange(exchange)
            with bullet(armed):
                await to.publish(message(headers={"x-count": 3, "baggage": "theirs=1"}), "order.created")

    asyncio.run(main())
    ((_, headers),) = broker.peek(queue)
    assert (read_message_claim(headers).token, headers["x-count"]) == ("t", 3)
    assert headers["baggage"].endswith(",theirs=1")
    assert telemetry.decisions == [("forwarded", f"PUBLISH {exchange}/order.created")]
    (span,) = telemetry.having("tb.guard.decision")
    assert span.kind is trace.SpanKind.PRODUCER
    assert headers["traceparent"][3:35] == f"{span.context.trace_id:032x}"


def test_allow_sends_it_without_anything_of_ours(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    armed = arm_service(messages="allow")
    AioPikaInstrumentor().instrument()  # which injects what is in the context
    try:

        async def main() -> None:
            async with channel_of(broker) as channel:
                with bullet(armed):
                    await channel.default_exchange.publish(message(), queue)

        asyncio.run(main())
    finally:
        AioPikaInstrumentor().uninstrument()
    ((_, headers),) = broker.peek(queue)
    assert read_message_claim(headers) is None


def test_shadow_queue_keeps_where_it_would_have_gone(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", queue)
    armed = arm_service(messages="shadow", shadow_prefix="tb_")

    async def main() -> None:
        async with channel_of(broker) as channel:
            to = await channel.get_exchange(exchange)
            with bullet(armed):
                await to.publish(message("1"), "order.created")
                await to.publish(message("2"), "order.paid")

    asyncio.run(main())
    assert broker.peek(queue) == []
    found = broker.peek(f"tb_{exchange}")
    assert [(body, h["tb-exchange"], h["tb-routing-key"]) for body, h in found] == [
        ("1", exchange, "order.created"),
        ("2", exchange, "order.paid"),
    ]
    assert all(read_message_claim(headers) is not None for _, headers in found), "whoever reads it there is no customer"


def test_without_confirmations_nothing_is_answered(broker: Broker, arm_service: Any) -> None:
    armed = arm_service()

    async def main() -> None:
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            with bullet(armed):
                assert await channel.default_exchange.publish(message(), broker.queue()) is None

    asyncio.run(main())


def test_a_customers_confirmations_are_not_confused(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    armed = arm_service()

    async def main() -> None:
        async with channel_of(broker) as channel:

            async def send(i: int) -> None:
                with bullet(armed) if i % 2 else contextlib.nullcontext():
                    answer = await channel.default_exchange.publish(message(str(i)), queue)
                    assert isinstance(answer, aiormq.spec.Basic.Ack)

            await asyncio.gather(*(send(i) for i in range(40)))

    asyncio.run(main())
    assert broker.bodies(queue) == sorted(str(i) for i in range(0, 40, 2))


def test_in_a_transaction(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    armed = arm_service()

    async def main() -> None:
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            with bullet(armed):
                async with channel.transaction():
                    await channel.default_exchange.publish(message("bullet"), queue)
            async with channel.transaction():
                await channel.default_exchange.publish(message("customer"), queue)

    asyncio.run(main())
    assert broker.bodies(queue) == ["customer"]


@pytest.mark.parametrize("robust", [False, True])
def test_what_is_there_can_be_declared_and_what_is_not_cannot(
    robust: bool, broker: Broker, arm_service: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", queue)
    missing = broker.name()
    armed = arm_service()

    async def main() -> None:
        async with channel_of(broker, robust=robust) as channel:
            with bullet(armed):
                found = await channel.declare_queue(queue)
                assert (found.name, found.declaration_result.message_count) == (queue, 0)
                assert (await channel.declare_exchange(exchange, "topic")).name == exchange
                for declare in (channel.declare_queue(missing), channel.declare_exchange(missing, "topic")):
                    with pytest.raises(WriteRefused, match="does not exist"):
                        await declare
                own = await channel.declare_queue(exclusive=True)
                await own.purge()
            # What a bullet was refused, a customer's request is not taken to have.
            await channel.declare_queue(missing, auto_delete=True)
            assert broker.exists(missing)

    asyncio.run(main())
    assert telemetry.decisions == [("denied", f"DECLARE {missing}")] * 2


def test_a_binding_that_is_known_may_be_repeated(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", broker.queue())
    armed = arm_service()

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            with bullet(armed), pytest.raises(WriteRefused):
                await found.bind(exchange, "a.*")
            await found.bind(exchange, "a.*")
            with bullet(armed):
                await found.bind(exchange, "a.*")
                assert isinstance(await found.unbind(exchange, "a.*"), aiormq.spec.Queue.UnbindOk)
            to = await channel.get_exchange(exchange)
            await to.publish(message("still bound"), "a.b")

    asyncio.run(main())
    assert broker.bodies(queue) == ["still bound"]
    assert [decision for decision, _ in telemetry.decisions] == ["denied", "suppressed"]


def test_queues_are_neither_purged_nor_deleted(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    broker.send(queue, "kept")
    armed = arm_service()

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            with bullet(armed):
                assert (await found.purge()).message_count == 0
                assert (await found.delete(if_empty=False)).message_count == 0

    asyncio.run(main())
    assert broker.bodies(queue) == ["kept"]
    assert telemetry.decisions == [("suppressed", f"PURGE {queue}"), ("suppressed", f"DELETE {queue}")]


def test_a_bullet_takes_no_message_of_customers(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    broker.send(queue, "customer's")
    armed = arm_service()

    async def handle(_incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
        raise AssertionError

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            held = await found.get()
            with bullet(armed):
                with pytest.raises(WriteRefused, match="GET"):
                    await found.get()
                with pytest.raises(WriteRefused, match="CONSUME"):
                    await found.consume(handle)
                with pytest.raises(WriteRefused, match="CONSUME"):
                    async with found.iterator() as messages:
                        await anext(messages)
                for settle in (held.ack, held.nack, held.reject):
                    with pytest.raises(WriteRefused):
                        await settle()

    asyncio.run(main())
    assert broker.bodies(queue) == ["customer's"]


Handler = Callable[[aio_pika.abc.AbstractIncomingMessage], Awaitable[None]]


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("style", ["callback", "iterator", "async for", "get", "get in a task"])
def test_every_way_to_consume(
    style: str, robust: bool, broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    sent = [("c1", None), ("b1", flag_headers()), ("x1", {"tracestate": "tb=t"}), ("c2", {}), ("b2", flag_headers())]
    if style == "get in a task":  # whose context the caller does not see: a bullet cannot be handed out
        sent = [sent[0], sent[2], sent[3]]
    arm_service()
    seen: list[tuple[str, str | None]] = []
    bodies = [body for body, _ in sent if not body.startswith("x")]

    async def handle(incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
        async with incoming.process():
            seen.append((incoming.body.decode(), run_id()))

    async def main() -> None:
        async with channel_of(broker, robust=robust) as channel:
            found = await channel.get_queue(queue)
            for body, headers in sent:
                broker.send(queue, body, headers)
            if style == "callback":
                tag = await found.consume(handle)
                await until(lambda: len(seen) == len(bodies))
                await found.cancel(tag)
            elif style == "iterator":
                async with found.iterator() as incoming:
                    async for one in incoming:
                        await handle(one)
                        if len(seen) == len(bodies):
                            break
            elif style == "async for":
                async for one in found:
                    await handle(one)
                    if len(seen) == len(bodies):
                        break
            else:
                while len(seen) < len(bodies):
                    one = await (asyncio.create_task(found.get()) if "task" in style else found.get())
                    await handle(one)

    asyncio.run(main())
    assert seen == [(body, "run-1" if body.startswith("b") else None) for body in bodies]
    assert broker.peek(queue) == [], "what was refused is not delivered again"
    assert len(telemetry.having("tb.sealed_spans")) == sum(body.startswith("b") for body in bodies)
    assert [s.attributes["tb.refused"] for s in telemetry.having("tb.refused")] == ["flag-lost"]


def test_a_bullet_is_not_handed_out_where_its_flag_would_be_lost(
    broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    broker.send(queue, "bullet", flag_headers())
    arm_service()

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            with pytest.raises(aio_pika.exceptions.QueueEmpty):
                await asyncio.create_task(found.get())

    asyncio.run(main())
    assert len(telemetry.having("tb.refused", "no-scope")) == 1


@pytest.mark.parametrize("style", ["iterator", "get"])
def test_after_a_bullets_message_the_task_is_a_customers(
    style: str, broker: Broker, arm_service: Any, flag_headers: Any
) -> None:
    queue, log = broker.queue(), broker.queue("log")
    broker.send(queue, "bullet", flag_headers())
    arm_service()

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            if style == "iterator":
                async with found.iterator() as incoming:
                    one = await anext(incoming)
                    await one.ack()
                    await channel.default_exchange.publish(message("in"), log)
            else:
                await (await found.get()).ack()
                await until(lambda: run_id() is None)  # the linger, 0 s here
            await channel.default_exchange.publish(message("after"), log)

    asyncio.run(main())
    assert broker.bodies(log) == ["after"]


@pytest.mark.parametrize("first", ["guard", "instrumentor"])
def test_consumers_with_opentelemetrys_instrumentation(
    first: str, broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    steps: list[Callable[[], Any]] = [
        arm_service,
        lambda: AioPikaInstrumentor().instrument(tracer_provider=telemetry.provider),
    ]
    for step in steps if first == "guard" else steps[::-1]:
        step()
    seen: list[str | None] = []

    async def handle(incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
        async with incoming.process():
            seen.append(run_id())

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            broker.send(queue, "b", flag_headers())
            broker.send(queue, "c", {})
            await found.consume(handle)
            await until(lambda: len(seen) == 2)

    try:
        asyncio.run(main())
    finally:
        AioPikaInstrumentor().uninstrument()
    assert sorted(seen, key=str) == [None, "run-1"]
    marked, plain = sorted(
        (s for s in telemetry.spans if s.kind is trace.SpanKind.CONSUMER), key=lambda s: "tb.run" not in s.attributes
    )
    assert "tb.run" not in plain.attributes
    assert f"{marked.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    (seal,) = telemetry.having("tb.sealed_spans")
    assert (seal.attributes["tb.sealed_spans"], marked.attributes["tb.scope"]) == (1, seal.attributes["tb.scope"])


def test_a_reply_is_the_bullets_own(broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry) -> None:
    queue, replies = broker.queue(), broker.queue("replies")
    broker.send(queue, "ask", flag_headers(), reply_to=replies, correlation_id="7")
    arm_service()
    done = asyncio.Event()

    async def main() -> None:
        async with channel_of(broker) as channel:

            async def handle(incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
                async with incoming.process():
                    await channel.default_exchange.publish(message("answer"), incoming.reply_to)
                    await channel.default_exchange.publish(message("elsewhere"), queue)
                done.set()

            found = await channel.get_queue(queue)
            await found.consume(handle)
            await asyncio.wait_for(done.wait(), WAIT_S)

    asyncio.run(main())
    ((body, headers),) = broker.peek(replies)
    assert body == "answer"
    assert read_message_claim(headers) is not None
    assert broker.peek(queue) == []
    assert telemetry.decisions == [("forwarded", "PUBLISH reply"), ("suppressed", f"PUBLISH {queue}")]


def test_acknowledging_many_acknowledges_its_own(broker: Broker, arm_service: Any, flag_headers: Any) -> None:
    queue = broker.queue()
    broker.send(queue, "customer")
    broker.send(queue, "bullet", flag_headers())
    arm_service()
    done = asyncio.Event()

    async def handle(incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
        if run_id() is not None:
            await incoming.ack(multiple=True)
            done.set()

    async def main() -> None:
        async with channel_of(broker) as channel:
            await (await channel.get_queue(queue)).consume(handle)
            await asyncio.wait_for(done.wait(), WAIT_S)

    asyncio.run(main())
    assert broker.bodies(queue) == ["customer"], "it was never acknowledged"


def test_a_connection_that_a_bullet_opened_is_everybodys(broker: Broker, arm_service: Any, flag_headers: Any) -> None:
    queue = broker.queue()
    armed = arm_service()
    seen: list[str | None] = []

    async def main() -> None:
        with bullet(armed):
            connection = await aio_pika.connect_robust(broker.url)
            channel = await connection.channel()

        async def handle(incoming: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with incoming.process():
                seen.append(run_id())
                await channel.default_exchange.publish(message("1"), log)

        async with connection:
            await (await channel.get_queue(queue)).consume(handle)
            broker.send(queue, "customer")
            await until(lambda: len(seen) == 1)

    log = broker.queue("log")
    asyncio.run(main())
    assert (seen, broker.bodies(log)) == ([None], ["1"])


def test_rules_by_operation(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    armed = arm_service(rules=(Rule(sink="messages", operation=f"purge {queue}", policy="allow"),))
    broker.send(queue, "1")

    async def main() -> None:
        async with channel_of(broker) as channel:
            found = await channel.get_queue(queue)
            with bullet(armed):
                assert (await found.purge()).message_count == 1

    asyncio.run(main())
    assert telemetry.decisions == [("allowed", f"PURGE {queue}")]
