"""Inbound guard for consumers that are asked for messages: `async for`, a generator, `get()`.

There is no handler to wrap: a bullet's scope is entered in the caller's own context when a
message is handed out, and it ends with the next one, with the consumer, or with the task.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from tracer_bullet.context.scope import Scope, inherited_scope, live_scope, switch
from tracer_bullet.guards.messages.consume import Delivery, MessageHeaders
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.registry import Armed

HELD_AT_MOST_S: Final = 300.0
"""After this a message is over that was neither settled nor followed by another."""


class Puller:
    """One consumer's messages, one at a time. A guard calls, in this order:

    `ready(operation)` (async: `aready`) before the broker is asked: the message before is over, and
    a bullet that is not one of this consumer's own messages may not fetch a customer's;
    `hand_out(headers, ...)` for what came: False when it must be rejected and the next one asked for;
    `settled(tag)` where the caller acknowledges or rejects it and may not come back: the linger begins;
    `end()` (async: `aend`) when the consumer is closed.

    Not for several tasks that share one consumer: the message before is over as soon as anybody asks.
    """

    def __init__(self, armed: Armed | None = None) -> None:
        self._armed = armed
        self._held: _Held | None = None
        self.tag: object = None

    @property
    def scope(self) -> Scope | None:
        """Of the bullet whose message was handed out last; None when that was a customer's."""
        return None if self._held is None else self._held.delivery.scope

    def ready(self, operation: str) -> None:
        """Before the broker is asked. Raises WriteRefused inside a bullet that is no message of this consumer."""
        self.end()
        _refuse_foreign(operation)

    async def aready(self, operation: str) -> None:
        """The same on an event loop."""
        await self.aend()
        _refuse_foreign(operation)

    def hand_out(self, headers: MessageHeaders, *, name: str = "message", impossible: str = "") -> bool:
        """Make the running context the message's; False when the message must be rejected and not be handed out.

        `impossible`: why a bullet cannot be handed out here; see `lost_context`.
        """
        found = Delivery(headers, self._armed, name)
        found.admit(impossible)
        self.tag = None
        if found.refused:
            return False
        if found.scope is not None:
            self._held = _Held(found)
        elif inherited_scope() is not None:
            switch(None)  # what an ended message of ours left, or another context's bullet
            otel_context.attach(otel_context.Context())  # and its trace and baggage
        return True

    def settled(self, tag: object) -> None:
        """A message is acknowledged or rejected: if it is the one with our `tag`, its linger begins.

        Set `tag` after `hand_out` only where the caller may not come back for another message.
        """
        if self._held is not None and tag == self.tag:
            self._held.delivery.end()

    def end(self) -> None:
        """The message that was handed out last is over."""
        held, self._held = self._held, None
        if held is not None:
            held.leave()
            held.delivery.release()

    async def aend(self) -> None:
        """The same on an event loop; a cancelled caller still rolls back."""
        held, self._held = self._held, None
        if held is not None:
            held.leave()
            await asyncio.shield(asyncio.ensure_future(held.delivery.arelease()))


def lost_context(*methods: Any) -> str:
    """Why no bullet can be handed out from the running task, or nothing.

    A task that was made for one call, as `asyncio.wait_for` does it before Python 3.12, has a context
    of its own: what is set there is lost to the caller. `methods`: the coroutine functions that such
    a call may be of, the guard's and the library's.
    """
    task = asyncio.current_task()
    code = None if task is None else getattr(task.get_coro(), "cr_code", None)
    if code in [method.__code__ for method in methods]:
        return "it was asked for in a task of its own (such as asyncio.wait_for), whose context the caller does not see"
    return ""


def _refuse_foreign(operation: str) -> None:
    if live_scope() is not None:
        raise WriteRefused(operation, "a bullet that takes a message from a queue may take a customer's")


class _Held:
    """A bullet's message while its caller works on it."""

    def __init__(self, delivery: Delivery) -> None:
        assert delivery.scope is not None  # noqa: S101  # only a bullet's is held
        self.delivery = delivery
        self._scope: Scope = delivery.scope
        self._before = otel_context.get_current()
        switch(self._scope)
        self._traced: otel_context.Context | None = None
        if not trace.get_current_span().get_span_context().is_valid and self._scope.parent is not None:
            self._traced = self._scope.parent
            otel_context.attach(self._traced)
        self._loop = _running_loop()
        if self._loop is not None:
            self._timer: Any = self._loop.call_later(HELD_AT_MOST_S, self._expire, context=contextvars.Context())
            self._task = asyncio.current_task()
            if self._task is not None:
                self._task.add_done_callback(self._expire, context=contextvars.Context())
        else:
            self._task = None
            self._timer = threading.Timer(HELD_AT_MOST_S, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def leave(self) -> None:
        """Give the running context back, if it is the one that the message was handed out in."""
        self._timer.cancel()
        if self._task is not None:
            self._task.remove_done_callback(self._expire)
        if inherited_scope() is self._scope:
            switch(None)
        # attach() and no detach(): a token is good in one context only, and we may be in another.
        if self._traced is not None and otel_context.get_current() is self._traced:
            otel_context.attach(self._before)

    def _expire(self, *_done: Any) -> None:
        """The task is gone, or the time is up: end now, and release as can be done from here."""
        self.delivery.end()
        if self._loop is None:
            self.delivery.release()
        elif not self._loop.is_closed():
            _spawn(self._loop, self.delivery.arelease())


_releasing: set[asyncio.Task[None]] = set()


def _spawn(loop: asyncio.AbstractEventLoop, release: Coroutine[Any, Any, None]) -> None:
    task = loop.create_task(release)
    _releasing.add(task)  # the loop itself keeps no strong reference
    task.add_done_callback(_releasing.discard)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
