"""A Redis connection that has something else to tell its client than what the server says.

Only while replies are pending are two methods of the connection object replaced; classes, and so
customers' reads, are never touched. What was pending on a connection that broke is void.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from tracer_bullet.guards.cache.shadow import Shadow
from tracer_bullet.guards.cache.wire import Step, Wire
from tracer_bullet.guards.policy import WriteRefused

_READ: Final = "read_response"
_CONNECT: Final = "connect"  # every pool calls it before it lends a connection
_TRANSACTION: Final = "_tracer_bullet_transaction"

OnRefusal = Callable[[WriteRefused], None]


def socket_of(connection: Any) -> Any:
    """What tells one connecting of a connection from the next; None when it is not connected."""
    return getattr(connection, "_sock", None) or getattr(connection, "_reader", None)


def open_transaction(connection: Any) -> list[Step] | None:
    """The steps since a MULTI that no EXEC has ended yet."""
    socket, steps = vars(connection).get(_TRANSACTION, (None, None))
    return steps if socket is not None and socket is socket_of(connection) else None


def track_transaction(connection: Any, steps: list[Step] | None) -> None:
    """Keep them for the next commands; None when no transaction is open."""
    if steps is None:
        vars(connection).pop(_TRANSACTION, None)
    else:
        vars(connection)[_TRANSACTION] = (socket_of(connection), steps)


class Pending(ABC):
    """What both kinds of connections share."""

    def __init__(self, connection: Any, on_refusal: OnRefusal) -> None:
        self.connection = connection
        self.on_refusal = on_refusal
        self.steps: deque[Step] = deque()
        self.socket = socket_of(connection)

    @classmethod
    def expect(cls, connection: Any, steps: Iterable[Step], on_refusal: OnRefusal) -> None:
        """Have the connection answer by these steps, after those that it has not been asked for yet."""
        pending = cls.of(connection)
        if pending is None:
            pending = cls(connection, on_refusal)
            vars(connection)[_READ] = pending.read
            vars(connection)[_CONNECT] = pending.connect
        pending.steps.extend(steps)

    @classmethod
    def of(cls, connection: Any) -> Pending | None:
        """What is pending on a connection."""
        owner = getattr(vars(connection).get(_READ), "__self__", None)
        return owner if isinstance(owner, Pending) and owner.holds else None

    @property
    def holds(self) -> bool:
        """Whether there is something to tell, on the connection as it is."""
        return bool(self.steps) and self.socket is socket_of(self.connection)

    def end(self) -> None:
        """Give the connection its own methods back."""
        self.steps.clear()
        for name in (_READ, _CONNECT):
            if getattr(vars(self.connection).get(name), "__self__", None) is self:
                del vars(self.connection)[name]

    def wire(self, args: Any, kwargs: Any) -> Wire:
        """How this reply is to look."""
        raw = args[0] if args else kwargs.get("disable_decoding", False)
        decode = (lambda value: value) if raw else self.connection.encoder.decode
        return Wire(decode, str(getattr(self.connection, "protocol", 2)) == "3")

    @abstractmethod
    def read(self, *args: Any, **kwargs: Any) -> Any:
        """In the place of `read_response`."""

    @abstractmethod
    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """In the place of `connect`: replies that nobody read must not be the next borrower's."""


class SyncPending(Pending):
    """On a connection of `redis.connection`."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        if not self.holds:
            self.end()
            return getattr(self.connection, _READ)(*args, **kwargs)
        step = self.steps[0]
        try:
            replies = [read_reply(self.connection, *args, **kwargs) for _ in step.sends]
        except BaseException:
            self.end()
            raise
        self.steps.popleft()
        reply = step.reply(replies, self.wire(args, kwargs))
        if not self.steps:
            self.end()
        if isinstance(reply, WriteRefused):
            self.end()
            self.connection.disconnect()  # replies that nobody will read must not be a customer's
            self.on_refusal(reply)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        unread = self.holds
        self.end()
        if unread:
            self.connection.disconnect()
        return self.connection.connect(*args, **kwargs)


class AsyncPending(Pending):
    """On a connection of `redis.asyncio.connection`."""

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        if not self.holds:
            self.end()
            return await getattr(self.connection, _READ)(*args, **kwargs)
        step = self.steps[0]
        try:
            replies = [await read_reply_async(self.connection, *args, **kwargs) for _ in step.sends]
        except BaseException:
            self.end()
            raise
        self.steps.popleft()
        reply = step.reply(replies, self.wire(args, kwargs))
        if not self.steps:
            self.end()
        if isinstance(reply, WriteRefused):
            self.end()
            await self.connection.disconnect(nowait=True)
            self.on_refusal(reply)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        unread = self.holds
        self.end()
        if unread:
            await self.connection.disconnect()
        return await self.connection.connect(*args, **kwargs)


def read_reply(connection: Any, *args: Any, **kwargs: Any) -> Any:
    """The server's next reply; an error is returned, since others may come after it."""
    from redis.exceptions import ResponseError  # noqa: PLC0415  # only where the service uses it

    try:
        return type(connection).read_response(connection, *args, **kwargs)
    except ResponseError as error:
        return error


async def read_reply_async(connection: Any, *args: Any, **kwargs: Any) -> Any:
    """The same for the other kind."""
    from redis.exceptions import ResponseError  # noqa: PLC0415

    try:
        return await type(connection).read_response(connection, *args, **kwargs)
    except ResponseError as error:
        return error


def subscribe(connection: Any, shadow: Shadow, *, is_async: bool) -> None:
    """Have the connection name channels as its client does, as long as it is connected."""
    socket = socket_of(connection)

    def renamed(reply: Any) -> Any:
        if isinstance(reply, list) and len(reply) > 2 and socket is socket_of(connection):
            return [reply[0], *(shadow.real(word) if _is_text(word) else word for word in reply[1:-1]), reply[-1]]
        return reply

    def read(*args: Any, **kwargs: Any) -> Any:
        return renamed(type(connection).read_response(connection, *args, **kwargs))

    async def read_async(*args: Any, **kwargs: Any) -> Any:
        return renamed(await type(connection).read_response(connection, *args, **kwargs))

    vars(connection)[_READ] = read_async if is_async else read


def _is_text(word: Any) -> bool:
    return isinstance(word, (bytes, str))
