"""What a broker holds, by py-amqp, which no guard looks at: for tests of the guards of other AMQP libraries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import amqp

from tests.servers.rabbitmq import RabbitServer


class Broker:
    """Queues of a test's own, seen by a stranger."""

    def __init__(self, server: RabbitServer) -> None:
        self.url = server.url
        self._server = server
        self._connection = amqp.Connection(f"127.0.0.1:{server.port}")
        self._connection.connect()
        self._channel = self._connection.channel()

    def close(self) -> None:
        self._connection.close()

    def name(self, base: str = "orders") -> str:
        """A name that nobody has."""
        return self._server.new_name(base)

    def queue(self, base: str = "orders", **settings: Any) -> str:
        """A new queue; its name."""
        name = self.name(base)
        self._channel.queue_declare(name, auto_delete=False, **settings)
        return name

    def exchange(self, base: str, queue: str, kind: str = "topic", routing_key: str = "#") -> str:
        """A new exchange with a queue bound to it; its name."""
        name = self.name(base)
        self._channel.exchange_declare(name, kind, auto_delete=False)
        self._channel.queue_bind(queue, name, routing_key)
        return name

    def exists(self, queue: str) -> bool:
        with self._probe() as probe:
            try:
                probe.queue_declare(queue, passive=True)
            except amqp.exceptions.NotFound:
                return False
            return True

    def send(self, queue: str, body: str, headers: dict[str, Any] | None = None, **properties: Any) -> None:
        message = amqp.Message(body, application_headers=headers or {}, **properties)
        self._channel.basic_publish_confirm(message, "", queue)

    def peek(self, queue: str) -> list[tuple[str, dict[str, Any]]]:
        """Bodies and headers of what is ready in a queue, in order; it stays there. No such queue: nothing."""
        with self._probe() as probe:
            found = []
            try:
                while (message := probe.basic_get(queue)) is not None:
                    body = message.body.decode() if isinstance(message.body, bytes) else message.body
                    found.append((body, dict(message.headers or {})))
            except amqp.exceptions.NotFound:
                return []
            return found  # closing the channel puts them back

    def bodies(self, queue: str) -> list[str]:
        return sorted(body for body, _ in self.peek(queue))

    @contextlib.contextmanager
    def _probe(self) -> Iterator[Any]:
        channel = self._connection.channel()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()
