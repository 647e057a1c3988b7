"""Claim: what a bullet does through pika stays harmless, with the blocking connection and the adapters below it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pika
import pika.exceptions
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.pika import PikaInstrumentor
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel

from tests.unit.guards.amqp import Broker
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tracer_bullet.context import current
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Sink, WriteRefused
from tracer_bullet.guards.messages.consume import read_message_claim
from tracer_bullet.model import Context

WAIT_S = 60.0


class Pika:
    """A queue behind the default exchange, from a blocking connection with confirmations."""

    name = "pika"
    sink = Sink.MESSAGES
    policies = (Policy.NOOP, Policy.SHADOW, Policy.FORWARD, Policy.DENY, Policy.ALLOW)
    patched = ((BlockingChannel, "basic_publish"), (Channel, "basic_publish"), (BlockingChannel, "basic_get"))
    instrumentor = PikaInstrumentor()

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.settings: dict[str, Any] = {}
        self.queue = broker.queue()
        self.operation = f"PUBLISH {self.queue}"

    def write(self, value: str) -> Any:
        with pika.BlockingConnection(pika.URLParameters(self._broker.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            return channel.basic_publish("", self.queue, value.encode(), mandatory=True)

    def read(self) -> Any:
        with pika.BlockingConnection(pika.URLParameters(self._broker.url)) as connection:
            return connection.channel().queue_declare(self.queue, passive=True).method.message_count

    def check(self, answer: Any) -> None:
        assert answer is None

    def stored(self) -> list[str]:
        return self._broker.bodies(self.queue)

    def shadowed(self) -> list[str]:
        return self._broker.bodies(f"shadow_{self.queue}")


class TestContract(GuardContract):
    @pytest.fixture
    def subject(self, broker: Broker) -> Pika:
        return Pika(broker)


def bullet(armed: Armed, token: str = "t") -> AbstractContextManager[None]:
    return entered(Scope(Context(run_id="run-1", token=token), armed, linger_s=0.0, trace_id="a" * 32))


def run_id() -> str | None:
    found = current()
    return None if found is None else found.run_id


@contextlib.contextmanager
def channel_of(broker: Broker) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


@pytest.mark.parametrize("confirmed", [True, False])
def test_forward_sends_it_flagged(confirmed: bool, broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", queue)
    properties = pika.BasicProperties(headers={"x-count": 3, "baggage": "theirs=1"})
    with channel_of(broker) as channel:
        if confirmed:
            channel.confirm_delivery()
        with bullet(arm_service(messages="forward")):
            channel.basic_publish(exchange, "order.created", b"1", properties)
    assert properties.headers == {"x-count": 3, "baggage": "theirs=1"}
    ((_, headers),) = broker.peek(queue)
    assert (read_message_claim(headers).token, headers["x-count"]) == ("t", 3)
    assert headers["baggage"].endswith(",theirs=1")
    assert telemetry.decisions == [("forwarded", f"PUBLISH {exchange}/order.created")]


@pytest.mark.parametrize(("policy", "flagged"), [("forward", True), ("allow", False)])
def test_every_span_of_opentelemetrys_says_what_became_of_it(
    policy: str, flagged: bool, broker: Broker, arm_service: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    armed = arm_service(messages=policy)
    PikaInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with channel_of(broker) as channel, bullet(armed):
            channel.basic_publish("", queue, b"1")
    finally:
        PikaInstrumentor().uninstrument()
    ((_, headers),) = broker.peek(queue)
    assert (read_message_claim(headers) is not None) is flagged
    producers = [s for s in telemetry.spans if s.kind is trace.SpanKind.PRODUCER]
    assert producers
    assert all("tb.guard.decision" in s.attributes for s in producers)


def test_unroutable_is_not_asked_of_the_broker(broker: Broker, arm_service: Any) -> None:
    armed = arm_service()
    with channel_of(broker) as channel:
        channel.confirm_delivery()
        with bullet(armed):
            channel.basic_publish("", "nowhere", b"1", mandatory=True)
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere", b"1", mandatory=True)


def test_topology(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue, missing = broker.queue(), broker.name()
    exchange = broker.exchange("order", broker.queue())
    broker.send(queue, "kept")
    armed = arm_service()
    with channel_of(broker) as channel:
        with bullet(armed):
            assert channel.queue_declare(queue).method.message_count == 1
            assert channel.queue_declare(queue, passive=True).method.message_count == 1
            channel.exchange_declare(exchange, "topic")
            for refused in (
                lambda: channel.queue_declare(missing),
                lambda: channel.exchange_declare(missing, "topic"),
                lambda: channel.queue_bind(queue, exchange, "a.*"),
            ):
                with pytest.raises(WriteRefused):
                    refused()
            assert isinstance(channel.queue_purge(queue).method, pika.spec.Queue.PurgeOk)
            assert channel.queue_delete(queue).method.message_count == 0
            assert isinstance(channel.exchange_delete(exchange).method, pika.spec.Exchange.DeleteOk)
            own = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_purge(own)
            assert channel.basic_get(own) == (None, None, None)
        channel.queue_bind(queue, exchange, "a.*")
        with bullet(armed):
            channel.queue_bind(queue, exchange, "a.*")
            assert isinstance(channel.queue_unbind(queue, exchange, "a.*").method, pika.spec.Queue.UnbindOk)
        channel.basic_publish(exchange, "a.b", b"still bound")
    assert broker.bodies(queue) == ["kept", "still bound"]
    assert not broker.exists(missing)
    assert [d for d, _ in telemetry.decisions] == ["denied"] * 3 + ["suppressed"] * 4


def test_a_bullet_takes_no_message_of_customers(broker: Broker, arm_service: Any) -> None:
    queue = broker.queue()
    broker.send(queue, "customer's")
    armed = arm_service()
    with channel_of(broker) as channel:
        method, _, _ = channel.basic_get(queue)
        with bullet(armed):
            for refused in (
                lambda: channel.basic_get(queue),
                lambda: channel.basic_consume(queue, lambda *_: None),
                lambda: next(channel.consume(queue)),
                lambda: channel.basic_ack(method.delivery_tag),
                lambda: channel.basic_nack(method.delivery_tag),
                lambda: channel.basic_reject(method.delivery_tag),
                channel.basic_recover,
            ):
                with pytest.raises(WriteRefused):
                    refused()
    assert broker.bodies(queue) == ["customer's"]


@pytest.mark.parametrize("style", ["callback", "generator", "get"])
def test_every_way_to_consume(
    style: str, broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    sent = [("c1", None), ("b1", flag_headers()), ("x1", {"tracestate": "tb=t"}), ("c2", {}), ("b2", flag_headers())]
    for body, headers in sent:
        broker.send(queue, body, headers)
    arm_service()
    seen: list[tuple[str, str | None]] = []
    bodies = ["c1", "b1", "c2", "b2"]

    def handle(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        seen.append((body.decode(), run_id()))
        channel.basic_ack(method.delivery_tag)
        if len(seen) == len(bodies) and style == "callback":
            channel.stop_consuming()

    with channel_of(broker) as channel:
        if style == "callback":
            channel.basic_consume(queue, handle)
            channel.start_consuming()
        elif style == "generator":
            for item in channel.consume(queue):
                handle(channel, *item)
                if len(seen) == len(bodies):
                    break
            channel.cancel()
        else:
            while len(seen) < len(bodies):
                handle(channel, *channel.basic_get(queue))
            assert channel.basic_get(queue) == (None, None, None)
        assert run_id() is None
    assert seen == [(body, "run-1" if body.startswith("b") else None) for body in bodies]
    assert broker.peek(queue) == []
    assert len(telemetry.having("tb.sealed_spans")) == 2
    assert [s.attributes["tb.refused"] for s in telemetry.having("tb.refused")] == ["flag-lost"]


@pytest.mark.parametrize("first", ["guard", "instrumentor"])
def test_consumers_with_opentelemetrys_instrumentation(
    first: str, broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    queue = broker.queue()
    broker.send(queue, "b", flag_headers())
    broker.send(queue, "c", {})
    steps: list[Callable[[], Any]] = [
        arm_service,
        lambda: PikaInstrumentor().instrument(tracer_provider=telemetry.provider),
    ]
    for step in steps if first == "guard" else steps[::-1]:
        step()
    seen: list[str | None] = []

    def handle(channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        seen.append(run_id())
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 2:
            channel.stop_consuming()

    try:
        with channel_of(broker) as channel:
            channel.basic_consume(queue, handle)
            channel.start_consuming()
    finally:
        PikaInstrumentor().uninstrument()
    assert seen == ["run-1", None]
    marked, plain = [s for s in telemetry.spans if s.kind is trace.SpanKind.CONSUMER]
    assert "tb.run" not in plain.attributes
    (seal,) = telemetry.having("tb.sealed_spans")
    assert (seal.attributes["tb.sealed_spans"], marked.attributes["tb.scope"]) == (1, seal.attributes["tb.scope"])


def test_a_reply_is_the_bullets_own(broker: Broker, arm_service: Any, flag_headers: Any, telemetry: Telemetry) -> None:
    queue, replies = broker.queue(), broker.queue("replies")
    broker.send(queue, "ask", flag_headers(), reply_to=replies)
    arm_service()

    def handle(channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        channel.basic_publish("", properties.reply_to, b"answer")
        channel.basic_ack(method.delivery_tag)
        channel.stop_consuming()

    with channel_of(broker) as channel:
        channel.basic_consume(queue, handle)
        channel.start_consuming()
    ((body, headers),) = broker.peek(replies)
    assert (body, read_message_claim(headers) is not None) == ("answer", True)
    assert telemetry.decisions == [("forwarded", "PUBLISH reply")]


class Asynchronous:
    """A program on pika's own loop: opens a channel, runs `body(channel, stop)`."""

    def __init__(self, broker: Broker, body: Callable[[Any, Callable[[], None]], None]) -> None:
        self._error: BaseException | None = None
        self._body = body
        self._connection = pika.SelectConnection(
            pika.URLParameters(broker.url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._run),
            on_close_callback=lambda connection, _reason: connection.ioloop.stop(),
        )

    def run(self) -> None:
        try:
            self._connection.ioloop.start()
        finally:
            self._connection.ioloop.close()
        if self._error is not None:
            raise self._error

    def _run(self, channel: Any) -> None:
        try:
            self._body(channel, self._connection.close)
        except BaseException as error:  # noqa: BLE001  # raised again by run()
            self._error = error
            self._connection.close()


def test_the_adapters_below(broker: Broker, arm_service: Any, telemetry: Telemetry) -> None:
    queue = broker.queue()
    armed = arm_service()

    def body(channel: Any, stop: Callable[[], None]) -> None:
        with bullet(armed):
            channel.basic_publish("", queue, b"bullet")
            for refused in (
                lambda: channel.queue_declare("new"),
                lambda: channel.queue_purge(queue),
                lambda: channel.basic_get(queue, lambda *_: None),
                lambda: channel.basic_consume(queue, lambda *_: None),
                lambda: channel.basic_ack(1),
            ):
                with pytest.raises(WriteRefused):
                    refused()
            channel.queue_declare(queue, passive=True)
        channel.confirm_delivery(lambda _: None)
        with bullet(armed), pytest.raises(WriteRefused, match="counts"):
            channel.basic_publish("", queue, b"bullet")
        channel.basic_publish("", queue, b"customer")
        stop()

    Asynchronous(broker, body).run()
    assert broker.bodies(queue) == ["customer"]
    assert telemetry.decisions[0] == ("suppressed", f"PUBLISH {queue}")


def test_a_consumer_of_the_adapters_below(broker: Broker, arm_service: Any, flag_headers: Any) -> None:
    queue = broker.queue()
    broker.send(queue, "x", {"tracestate": "tb=t"})
    broker.send(queue, "b", flag_headers())
    broker.send(queue, "c")
    arm_service()
    seen: list[tuple[str, str | None]] = []

    def body(channel: Any, stop: Callable[[], None]) -> None:
        def handle(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
            seen.append((body.decode(), run_id()))
            channel.basic_ack(method.delivery_tag)
            if len(seen) == 2:
                stop()

        channel.basic_consume(queue, handle)

    Asynchronous(broker, body).run()
    assert seen == [("b", "run-1"), ("c", None)]
    assert broker.peek(queue) == []
