"""The worker's end of Locust's ZeroMQ link: a DEALER whose identity is the node's id."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import zmq
import zmq.asyncio

from tracer_bullet.engine.locust_worker.messages import Message, pack, unpack
from tracer_bullet.errors import UnreachableError

# How long closing waits for what was said last (`quit`, the last figures) to leave.
_LINGER_MS: Final = 1000


# How often a full queue is looked at.
_FULL_S: Final = 0.01
# After so long without a word it is tried again to open anew.
_UNHEARD_S: Final = 1.0
BEAT: Final = "heartbeat"


class Link:
    """A socket that can be opened anew under the same identity, as the master may ask for.

    When the network is cut, ZeroMQ connects again by itself, and sends what waited; what had left is lost.

    A master ignores a second connection of an identity for as long as it knows the first one, and nobody is told. So
    after opening anew only a heartbeat is said, and all else waits until a word of the master's shows that it hears us.
    """

    def __init__(self, host: str, port: int, node_id: str) -> None:
        self._host = host
        self._port = port
        self._node_id = node_id
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._ipv6 = False
        self._held: list[bytes] | None = None
        self._beat = b""
        self._in_turn = asyncio.Lock()
        self._closed = False
        self.unsent = 0

    async def open(self) -> None:
        """Connect, in the background. Raises UnreachableError (TB960) when the host's name is unknown."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._context.term()
            raise UnreachableError(
                "TB960",
                "there is no Locust master at this address",
                where=f"{self._host}:{self._port}",
                why=str(error),
                cure="give the host and port that `locust --master` listens on (5557 unless said otherwise)",
            ) from None
        except asyncio.CancelledError:  # nobody closes what was never open
            self._context.term()
            raise
        # ZeroMQ tries one family only, and a master may listen on IPv4 alone.
        self._ipv6 = all(family == socket.AF_INET6 for family, *_ in found)
        self._connect()

    async def reopen(self) -> None:
        """Connect again. What waits has a second to leave by the old connection; what is said meanwhile waits."""
        again = self._held is not None
        self._held = self._held or []
        old, self._context = self._context, zmq.asyncio.Context()
        self._drop(linger_ms=0 if again else _LINGER_MS)
        await asyncio.to_thread(old.term)
        self._connect()
        if self._beat:
            await self._say(self._beat)

    async def send(self, kind: str, data: Any = None) -> None:
        """Say something; never waits. `unsent` counts what a full queue did not take."""
        packed = pack(Message(kind, data, self._node_id))
        if kind == BEAT:
            self._beat = packed
        elif self._held is not None:
            self._held.append(packed)
            return
        if self._socket is not None and not await self._say(packed):
            self.unsent += 1

    async def send_surely(self, kind: str, data: Any, until: Callable[[], bool]) -> bool:
        """Say something, in the order of these calls, and wait while the queue is full; False when it is not said since
        `until` was true first, or the link closed."""
        packed = pack(Message(kind, data, self._node_id))
        async with self._in_turn:
            while self._held is not None or not await self._say(packed):
                if until() or self._closed:
                    return False
                await asyncio.sleep(_FULL_S)
            return True

    async def receive(self) -> Message | None:
        """The next message; None for one that cannot be read."""
        while self._socket is not None:
            if self._held is None:
                return unpack(await self._socket.recv())
            try:
                raw = await asyncio.wait_for(self._socket.recv(), _UNHEARD_S)
            except TimeoutError:
                await self.reopen()
                continue
            held, self._held = self._held, None
            for packed in held:
                self.unsent += not await self._say(packed)
            return unpack(raw)
        raise ConnectionError("the link to the Locust master is closed")

    async def close(self, *, heard: bool) -> None:
        """Close; when anybody has `heard` us, what was said last has a second to leave."""
        self._closed = True
        for packed in self._held or ():
            await self._say(packed)
        self._drop(linger_ms=_LINGER_MS if heard else 0)
        # Waits for the lingering, which the event loop must not.
        await asyncio.to_thread(self._context.term)

    async def _say(self, packed: bytes) -> bool:
        """Whether the queue takes it."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(packed, zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        return True

    def _connect(self) -> None:
        link = self._context.socket(zmq.DEALER)
        link.setsockopt(zmq.IDENTITY, self._node_id.encode())
        link.setsockopt(zmq.TCP_KEEPALIVE, 1)
        link.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        link.setsockopt(zmq.IPV6, self._ipv6)
        host = f"[{self._host}]" if ":" in self._host else self._host
        link.connect(f"tcp://{host}:{self._port}")
        self._socket = link

    def _drop(self, *, linger_ms: int) -> None:
        if self._socket is not None:
            self._socket.close(linger=linger_ms)
            self._socket = None
