"""What the outbound guards of AMQP brokers share: the ruling on a message and on a change of the broker's topology.

A bullet's message is not sent (`noop`), goes to a queue of its own (`shadow`), is sent with the
flag (`forward`), is refused (`deny`) or is sent for real, without the flag (`allow`). What
belongs to a message that was delivered as the bullet's (its settlement, the reply it asks for)
is the bullet's own, and never withheld.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.config import Policy, Sink
from tracer_bullet.guards.messages.consume import flag_message, strip_message
from tracer_bullet.guards.policy import Ruling
from tracer_bullet.guards.rulings import owner, rule_on, write_span

SHADOW_EXPIRES_MS: Final = 24 * 3600 * 1000
"""A shadow queue that a guard declared is gone after this long without use."""
SHADOW_EXCHANGE: Final = "tb-exchange"
SHADOW_ROUTING_KEY: Final = "tb-routing-key"
DIRECT_REPLY: Final = "amq.rabbitmq.reply-to"

_TAGS = object()
_REPLIES = object()


def operation_of(exchange: str, routing_key: str, name: str = "") -> str:
    """What the trace says of a message; `name` where it is not exchange and routing key."""
    return f"PUBLISH {name or '/'.join(part for part in (exchange, routing_key) if part)}"


@contextmanager
def publishing(
    scope: Scope, exchange: str, routing_key: str, *, name: str = "", own: bool = False, system: str = "rabbitmq"
) -> Iterator[Policy]:
    """Run the block under the span that stands for a message; yields what is to become of it: NOOP, SHADOW, FORWARD
    or ALLOW. Raises WriteRefused, recorded on that span, when it must not be sent.

    `name`: what the trace calls it, where it is not exchange and routing key. `own`: it belongs to
    the bullet's own message, such as a reply, and is sent on with the flag unless a rule denies it.
    """
    operation = operation_of(exchange, routing_key, name)
    ruling = rule_on(scope, Sink.MESSAGES, operation)
    if own and ruling.policy in (Policy.NOOP, Policy.SHADOW):
        ruling = Ruling(Policy.FORWARD)
    about = {
        "messaging.system": system,
        "messaging.operation.type": "send",
        "messaging.destination.name": exchange or routing_key,
    }
    with write_span(scope, operation, ruling, about, kind=trace.SpanKind.PRODUCER):
        yield ruling.policy


@contextmanager
def changing(scope: Scope, operation: str, *, refuse: str = "", system: str = "rabbitmq") -> Iterator[bool]:
    """Run the block under the span that stands for a change of queues or exchanges, or for taking from one.

    Yields whether it is to be made: only where the policy is ALLOW; else it is suppressed, or
    refused with `refuse` where no answer could stand for it. `operation`: `BIND orders`.
    """
    ruling = rule_on(scope, Sink.MESSAGES, operation)
    if not ruling.refuse and ruling.policy is not Policy.ALLOW:
        ruling = Ruling(Policy.NOOP, refuse)
    with write_span(scope, operation, ruling, {"messaging.system": system}):
        yield ruling.policy is Policy.ALLOW


def outgoing_headers(scope: Scope, policy: Policy, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """A message's headers as they go out under a policy: with the flag, or without it where it is sent for real."""
    return strip_message(headers) if policy is Policy.ALLOW else flag_message(headers, scope)


def shadow_queue(scope: Scope, exchange: str, routing_key: str) -> str:
    """Where a shadowed message goes, through the default exchange: the prefix, and the name of its exchange, or of
    its queue where it has none."""
    return f"{owner(scope).config.shadow_prefix}{exchange or routing_key}"


def shadow_headers(headers: dict[str, Any], exchange: str, routing_key: str) -> dict[str, Any]:
    """Headers of a shadowed message, which also say where it would have gone."""
    return {**headers, SHADOW_EXCHANGE: exchange, SHADOW_ROUTING_KEY: routing_key}


def delivered(scope: Scope, channel: object, tag: int | None, reply_to: str | None) -> None:
    """Note that a message came in as this bullet's: it may be settled, and answered."""
    if tag is not None:
        scope.state.setdefault(_TAGS, set()).add((id(channel), tag))
    if reply_to:
        scope.state.setdefault(_REPLIES, set()).add(reply_to)


def may_settle(scope: Scope, channel: object, tag: int) -> bool:
    """Whether a delivery tag is that of the bullet's own message."""
    return (id(channel), tag) in scope.state.get(_TAGS, ())


def is_reply(scope: Scope, exchange: str, routing_key: str) -> bool:
    """Whether a message answers the bullet's own."""
    return not exchange and routing_key in scope.state.get(_REPLIES, ())


def arguments(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by name; raises TypeError as the call itself would."""
    bound = inspect.signature(wrapped).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


class Bindings:
    """The bindings that customers' requests, or start-up code, made in this process.

    To bind again what is bound changes nothing, and a broker does not tell whether it is. So
    that is what a bullet may do: code that binds at every request goes on working, and code
    that binds once must not believe, because of a bullet, that it has.
    """

    def __init__(self) -> None:
        self._made: set[tuple[str, ...]] = set()

    def made(self, *key: object) -> None:
        """A binding was asked for."""
        self._made.add(tuple(map(str, key)))

    def gone(self, *key: object) -> None:
        """It was taken back."""
        self._made.discard(tuple(map(str, key)))

    def known(self, *key: object) -> bool:
        """Whether it is there, as far as this process knows."""
        return tuple(map(str, key)) in self._made


UNKNOWN_BINDING: Final = "no customer's request has made this binding in this process, so that a bullet's would be new"
MISSING: Final = "it does not exist, and code that keeps in mind that it was declared would mislead customers"
TAKES: Final = "a bullet that takes messages from a queue may take customers'"
NOT_OWN: Final = "it is not a message of this bullet"
