"""Guard for what a service receives from Kafka with aiokafka: `async for`, `getone`, `getmany`.

A bullet's message is handed out alone, and its scope is in the caller's context until the
caller asks for the next one; so is a tester's. A batch holds customers' messages or one of
those, never both. Positions belong to the consumer group and not to a message: the bullet's
handler commits like any other; what is skipped or refused is passed over for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from wrapt import FunctionWrapper

from tracer_bullet.context.scope import Scope, entered, live_scope
from tracer_bullet.guards.messages.consume import is_plain, stands_alone
from tracer_bullet.guards.messages.publishing import TAKES, changing
from tracer_bullet.guards.messages.pulling import Puller, lost_context
from tracer_bullet.guards.patching import Patch, wrap

_CHANGES: Final = (
    "commit",
    "seek",
    "seek_to_beginning",
    "seek_to_end",
    "seek_to_committed",
    "subscribe",
    "unsubscribe",
    "assign",
    "pause",
    "resume",
)
_CONSUMERS = object()  # key in a scope's state: the consumers whose messages the scope is of
_PULLERS: Final = "_tracer_bullet_pullers"
_MADE_IN: Final = "_tracer_bullet_made_in"
_THEIR_METHODS: Final = ("_traced_getone", "_traced_getmany")  # OpenTelemetry's, around ours
_FOREIGN: Final = "it belongs to a consumer that is not this bullet's"


def consumer_patches(consumer: Any) -> list[Patch]:
    """Guard the class AIOKafkaConsumer."""
    return [
        wrap_innermost(consumer, "getone", _getone),
        wrap_innermost(consumer, "getmany", _getmany),
        wrap(consumer, "__init__", _init),
        wrap(consumer, "start", _start),
        wrap(consumer, "stop", _stop),
        *(wrap(consumer, name, _change) for name in _CHANGES),
    ]


def wrap_innermost(owner: Any, name: str, wrapper: Callable[..., Any]) -> Patch:
    """`patching.wrap`, but below the wrappers that are there already, where our spans and scopes must be."""
    outer: Any = vars(owner)[name]
    if not isinstance(outer, FunctionWrapper):
        return wrap(owner, name, wrapper)
    while isinstance(outer.__wrapped__, FunctionWrapper):
        outer = outer.__wrapped__
    outer.__wrapped__ = FunctionWrapper(outer.__wrapped__, wrapper)
    return Patch(owner, name, outer.__wrapped__, inherited=False)


def owns_group(scope: Scope, group: str) -> bool:
    """Whether a scope is that of a message which a consumer of this group handed out."""
    return any(consumer._group_id == group for consumer in scope.state.get(_CONSUMERS, ()))


async def _getone(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    if not await _ready(consumer):
        return await wrapped(*args, **kwargs)
    while True:
        record = await wrapped(*args, **kwargs)
        if is_plain(record.headers) or _hand_out(consumer, record):
            return record


async def _getmany(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    if not await _ready(consumer):
        return await wrapped(*args, **kwargs)
    records = await wrapped(*args, **kwargs)
    if all(is_plain(record.headers) for batch in records.values() for record in batch):
        return records
    return _split(consumer, records)


def _split(consumer: Any, records: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    """One message that needs a scope, or what each partition has before its first one.

    The others are put back by their offsets, so that positions, and what a commit says, are those
    of what the caller got; they come again with the next call.
    """
    left = {partition: list(batch) for partition, batch in records.items() if batch}
    for partition, batch in left.items():
        while batch and stands_alone(batch[0].headers):
            record = batch.pop(0)
            if _hand_out(consumer, record):
                for other, rest in left.items():
                    if rest:
                        consumer.seek(other, rest[0].offset)
                return {partition: [record]}
    found = {}
    for partition, batch in left.items():
        plain = next((i for i, r in enumerate(batch) if stands_alone(r.headers)), len(batch))
        if plain < len(batch):
            consumer.seek(partition, batch[plain].offset)
        if plain:
            found[partition] = batch[:plain]
            _hand_out(consumer, batch[0])  # a customer's: ends what another message left in the context
    return found


async def _ready(consumer: Any) -> bool:
    """Before the broker is asked: the message before is over. False where a bullet reads on its own account.

    Raises WriteRefused, with its span, inside a bullet that would take from what customers are waiting for.
    """
    pullers = vars(consumer).get(_PULLERS)
    if pullers is not None:
        held = pullers.get(asyncio.current_task())
        if held is not None:
            await held.aend()
    scope = live_scope()
    if scope is None:
        return True
    if not _is_private(consumer, scope):
        with changing(scope, f"RECEIVE {_name(consumer)}", refuse=TAKES, system="kafka"):
            pass
    return False


def _hand_out(consumer: Any, record: Any) -> bool:
    """Make the running context the message's; False when it must be passed over."""
    pullers = vars(consumer).setdefault(_PULLERS, WeakKeyDictionary())
    task = asyncio.current_task()
    # One for each task: a message is over when the task that has it asks for the next one.
    puller = pullers.get(task)
    if puller is None:
        puller = pullers[task] = Puller()
    if not puller.hand_out(record.headers, name=f"{record.topic} receive", impossible=_lost_context(consumer)):
        return False
    scope = live_scope()
    if scope is not None:
        scope.state.setdefault(_CONSUMERS, []).append(consumer)
    return True


def _lost_context(consumer: Any) -> str:
    task: Any = asyncio.current_task()
    name = getattr(getattr(task.get_coro(), "cr_code", None), "co_name", "")
    if name in _THEIR_METHODS:
        return "it was asked for in a task of its own (such as asyncio.wait_for), whose context the caller does not see"
    return lost_context(_getone, _getmany, type(consumer).__anext__)


def _is_private(consumer: Any, scope: Scope) -> bool:
    """Whether a bullet made this consumer, for reading alone: without a group nobody else notices."""
    return getattr(consumer, _MADE_IN, None) is scope and consumer._group_id is None


def _is_own(consumer: Any, scope: Scope) -> bool:
    return _is_private(consumer, scope) or any(found is consumer for found in scope.state.get(_CONSUMERS, ()))


def _name(consumer: Any) -> str:
    """What a consumer takes from, or its group."""
    return ",".join(sorted(consumer._subscription.topics or ())) or consumer._group_id or "kafka"


def _init(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> None:
    scope = live_scope()
    if scope is not None:
        setattr(consumer, _MADE_IN, scope)
    wrapped(*args, **kwargs)


def _change(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None or _is_own(consumer, scope):
        return wrapped(*args, **kwargs)
    return _refused(scope, wrapped, consumer, args, kwargs)


def _refused(scope: Scope, wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    """Refuse, unless a rule allows it."""
    operation = f"{wrapped.__name__.replace('_', ' ').upper()} {_name(consumer)}"
    with changing(scope, operation, refuse=_FOREIGN, system="kafka"):
        return wrapped(*args, **kwargs)


def _start(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    if _is_own(consumer, scope):
        return _apart(wrapped, args, kwargs)
    return _refused(scope, wrapped, consumer, args, kwargs)


async def _apart(wrapped: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """The tasks that a consumer starts outlive the request."""
    with entered(None):
        await wrapped(*args, **kwargs)


def _stop(wrapped: Callable[..., Any], consumer: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is not None and not _is_own(consumer, scope):
        return _refused(scope, wrapped, consumer, args, kwargs)
    pullers = vars(consumer).get(_PULLERS)
    return wrapped(*args, **kwargs) if pullers is None else _end(wrapped, pullers, args, kwargs)


async def _end(wrapped: Callable[..., Any], pullers: Any, args: Any, kwargs: Any) -> None:
    try:
        for puller in list(pullers.values()):
            await puller.aend()
    finally:
        await wrapped(*args, **kwargs)
