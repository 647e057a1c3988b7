"""An HTTP/2 server that notes what arrived and misbehaves as told; on the running loop, in plaintext, on 127.0.0.1.

What it does is the test's: `on_request` is called when a request is whole, `on_head` when only its headers are. Both
may answer by the `Conversation`, or write frames that no server should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, PingAckReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import H2Error
from hpack import Encoder

_CONFIG = H2Configuration(client_side=False, validate_outbound_headers=False, normalize_inbound_headers=False)
Fields = Sequence[tuple[str, str]]


class _PlainEncoder(Encoder):
    """hpack's Huffman coding takes seconds for a huge header."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman=False)


@dataclass
class Asked:
    """A request as it came. `connection` counts connections from 0."""

    connection: int
    stream: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False

    def get(self, name: str) -> str:
        return ", ".join(v.decode("latin-1") for n, v in self.fields if n == name.encode())

    @property
    def path(self) -> str:
        return self.get(":path")


@dataclass
class _Sending:
    data: bytes
    trailers: Fields


class Conversation(asyncio.Protocol):
    """One connection, seen from the server."""

    def __init__(self, peer: Http2Peer) -> None:
        self.peer = peer
        self.number = len(peer.conversations)
        peer.conversations.append(self)
        self.h2 = H2Connection(_CONFIG)
        self.h2.encoder = _PlainEncoder()
        self.open: dict[int, Asked] = {}
        self.most_open = 0
        self.resets: list[int] = []
        self.pings: list[bytes] = []
        self._sending: dict[int, _Sending] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        for key, value in self.peer.settings.items():
            self.h2.local_settings[key] = value
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.peer.lost.set()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except H2Error:
            self.transport.abort()
            return
        for event in events:
            self._event(event)
        self.flush()

    def _event(self, event: Any) -> None:
        if isinstance(event, RequestReceived):
            asked = Asked(self.number, event.stream_id, list(cast("Any", event.headers)))
            self.open[event.stream_id] = asked
            self.most_open = max(self.most_open, len(self.open))
            self.peer.seen.append(asked)
            if self.peer.on_head is not None:
                self.peer.on_head(self, asked)
        elif isinstance(event, DataReceived):
            if event.stream_id in self.open:
                self.open[event.stream_id].body += event.data
            if self.peer.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            if event.stream_id in self.open:  # not answered by its head alone
                self.open[event.stream_id].whole = True
                self.peer.on_request(self, self.open[event.stream_id])
        elif isinstance(event, StreamReset):
            self.resets.append(event.stream_id)
            self.open.pop(event.stream_id, None)
            self.peer.reset.set()
        elif isinstance(event, WindowUpdated):
            for stream in list(self._sending):
                self._pump(stream)
        elif isinstance(event, PingAckReceived):
            self.pings.append(event.ping_data)

    def answer(
        self, asked: Asked, status: int = 200, body: bytes = b"", fields: Fields = (), trailers: Fields = ()
    ) -> None:
        """A whole answer, as the client's windows allow."""
        self.h2.send_headers(asked.stream, [(":status", str(status)), *fields], end_stream=not body and not trailers)
        if body or trailers:
            self._sending[asked.stream] = _Sending(body, trailers)
            self._pump(asked.stream)
        else:
            self.open.pop(asked.stream, None)
        self.flush()

    def _pump(self, stream: int) -> None:
        sending = self._sending[stream]
        while sending.data:
            length = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(sending.data))
            if length <= 0:
                return
            last = length == len(sending.data) and not sending.trailers
            self.h2.send_data(stream, sending.data[:length], end_stream=last)
            sending.data = sending.data[length:]
        if sending.trailers:
            self.h2.send_headers(stream, sending.trailers, end_stream=True)
        del self._sending[stream]
        self.open.pop(stream, None)
        self.flush()

    def raw(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame as told, whatever h2 thinks of it."""
        self.flush()
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self.transport.write(head + payload)

    def goaway(self, last_stream: int, code: int = 0) -> None:
        self.raw(0x7, 0, 0, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + b"as told")

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)


def ok(conversation: Conversation, asked: Asked) -> None:
    """The usual answer."""
    conversation.answer(asked, body=b"ok")


@dataclass
class Http2Peer:
    """The server. `settings` are those it begins with; with `reads` False it gives no credit for bodies."""

    on_request: Callable[[Conversation, Asked], None] = ok
    on_head: Callable[[Conversation, Asked], None] | None = None
    settings: dict[int, int] = field(default_factory=dict)
    reads: bool = True
    seen: list[Asked] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        self.lost, self.reset = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Conversation(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for conversation in self.conversations:
            conversation.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)
