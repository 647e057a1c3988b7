"""A raw HTTP/1.1 server that logs what arrives, and misbehaves as the request's path asks: `/reset-before/7`.

It parses nothing that it need not, so that what a client wrote is seen byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Seen:
    """One request that arrived. `connection` counts from 0; `begun_ns` when its head was there."""

    connection: int
    nth: int
    head: bytes
    body: bytes = b""
    begun_ns: int = 0

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def word(self) -> str:
        """The behaviour that was asked for."""
        return self.target.split("/")[1].split("?")[0]

    def values(self, name: str) -> list[str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = [line.partition(":") for line in lines if line]
        return [value.strip() for key, _, value in pairs if key.lower() == name]

    @property
    def length(self) -> int:
        return int((self.values("content-length") or ["0"])[0])


@dataclass
class Peer:
    """A connection, as a behaviour has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Peer, Seen, "Recording"], Awaitable[bool]]
"""Answers one request whose body was not read yet; whether the connection goes on."""
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    BEHAVIOURS[function.__name__.strip("_").replace("_", "-")] = function  # type: ignore[attr-defined]
    return function


@dataclass
class Recording:
    """What arrived. `extra` holds answers that tests add: the path's first word → bytes to say."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    extra: dict[str, bytes] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, count: int, word: str) -> None:
        """Wait until so many requests of the word have begun."""
        while len(self.of(word)) < count:
            self.news.clear()
            await self.news.wait()

    def of(self, word: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.word == word]

    @contextlib.asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Recording]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            number = self.connections
            self.connections += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(Peer(reader, writer), number)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, peer: Peer, number: int) -> None:
        for nth in range(1_000_000):
            head = await peer.reader.readuntil(b"\r\n\r\n")
            seen = Seen(number, nth, head, begun_ns=time.time_ns())
            self.seen.append(seen)
            self.news.set()
            if seen.word in BEHAVIOURS:
                if not await BEHAVIOURS[seen.word](peer, seen, self):
                    return
                continue
            seen.body = await peer.reader.readexactly(seen.length)
            await peer.say(self.extra.get(seen.word, HELLO))


async def take_body(peer: Peer, seen: Seen) -> None:
    seen.body = await peer.reader.readexactly(seen.length)


@behaviour
async def reset_before(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    peer.reset()
    return False


@behaviour
async def reset_in_head(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-")
    await asyncio.sleep(0.05)  # RST throws away what the peer's system has not handed over yet
    peer.reset()
    return False


@behaviour
async def reset_in_body(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    peer.reset()
    return False


@behaviour
async def end_in_body(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    return False


@behaviour
async def end_in_chunk(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf")
    return False


@behaviour
async def end_before(peer: Peer, seen: Seen, _: Recording) -> bool:
    """Closes without a word, as a server does with a connection that lay idle for too long."""
    await take_body(peer, seen)
    return False


@behaviour
async def answer_then_close(peer: Peer, seen: Seen, _: Recording) -> bool:
    """Does not say that it closes."""
    await take_body(peer, seen)
    await peer.say(HELLO)
    return False


@behaviour
async def close_said(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    await peer.reader.read()  # until the client closes
    return False


@behaviour
async def half_close(peer: Peer, seen: Seen, _: Recording) -> bool:
    """Ends its own direction after the answer, and goes on to read."""
    await take_body(peer, seen)
    await peer.say(HELLO)
    peer.writer.write_eof()
    await peer.reader.read()
    return False


@behaviour
async def no_length(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    for part in (b"until ", b"the ", b"end"):
        await asyncio.sleep(0.01)
        await peer.say(part)
    return False


@behaviour
async def http10(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.0 200 OK\r\n\r\nold")
    return False


@behaviour
async def chunked(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
    wire += b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n"
    for at in range(0, len(wire), 7):
        await peer.say(wire[at : at + 7])
        await asyncio.sleep(0)
    return True


@behaviour
async def gzip(peer: Peer, seen: Seen, _: Recording) -> bool:
    await take_body(peer, seen)
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"id": "packed"}') + packer.flush()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return True


@behaviour
async def head(peer: Peer, seen: Seen, _: Recording) -> bool:
    """To HEAD: the length of what a GET would have had."""
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nX-Is: head\r\n\r\n")
    return True


@behaviour
async def interim(peer: Peer, seen: Seen, _: Recording) -> bool:
    """100 before the body is read, 103 twice, then the answer."""
    await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    await take_body(peer, seen)
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    await peer.say(hint)
    await asyncio.sleep(0.02)
    final = hint if seen.method == "HEAD" else hint + HELLO
    await peer.say(final if seen.method != "HEAD" else hint + HELLO[:-5])
    return True


@behaviour
async def bodiless(peer: Peer, seen: Seen, _: Recording) -> bool:
    """`/bodiless/204` and `/bodiless/304`, the latter with the length of what it does not send."""
    await take_body(peer, seen)
    status = seen.target.split("/")[2].split("?")[0]
    await peer.say(f"HTTP/1.1 {status} X\r\n{'Content-Length: 99' if status == '304' else 'X-A: b'}\r\n\r\n".encode())
    return True


@behaviour
async def early(peer: Peer, seen: Seen, recording: Recording) -> bool:
    """Refuses, and reads nothing of the body until the gate opens."""
    await peer.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
    await recording.gate.wait()
    seen.body = await peer.reader.read()
    return False


@behaviour
async def early_close(peer: Peer, seen: Seen, _: Recording) -> bool:
    """Refuses before it has read the body, and closes at once: the client gets an RST for what it still sends."""
    await peer.say(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
    return False


@behaviour
async def slow_reader(peer: Peer, seen: Seen, recording: Recording) -> bool:
    """Reads nothing of the body until the gate opens."""
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await recording.gate.wait()
    peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
    await take_body(peer, seen)
    await peer.say(HELLO)
    return True


@behaviour
async def never(peer: Peer, seen: Seen, _: Recording) -> bool:
    """No answer; until the client closes."""
    await take_body(peer, seen)
    await peer.reader.read()
    return False


@behaviour
async def stalls(peer: Peer, seen: Seen, _: Recording) -> bool:
    """Half of an answer; until the client closes."""
    await take_body(peer, seen)
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await peer.reader.read()
    return False


@behaviour
async def gated(peer: Peer, seen: Seen, recording: Recording) -> bool:
    """Answers once the gate is open."""
    await take_body(peer, seen)
    await recording.gate.wait()
    await peer.say(HELLO)
    return True


@behaviour
async def huge_head(peer: Peer, seen: Seen, _: Recording) -> bool:
    """`/huge-head/300000`: so many bytes of headers."""
    await take_body(peer, seen)
    size = int(seen.target.split("/")[2])
    lines = b"".join(b"X-%06d: %s\r\n" % (n, b"v" * 90) for n in range(size // 102))
    await peer.say(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 5\r\n\r\nhello")
    return True


@behaviour
async def long(peer: Peer, seen: Seen, _: Recording) -> bool:
    """`/long/3000000`: a body of so many bytes, `0123456789…`."""
    await take_body(peer, seen)
    size = int(seen.target.split("/")[2])
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + (b"0123456789" * (size // 10 + 1))[:size])
    return True


@behaviour
async def one_by_one(peer: Peer, seen: Seen, _: Recording) -> bool:
    """The answer in single bytes."""
    await take_body(peer, seen)
    for at in range(len(HELLO)):
        await peer.say(HELLO[at : at + 1])
        await asyncio.sleep(0)
    return True


@behaviour
async def session(peer: Peer, seen: Seen, _: Recording) -> bool:
    """`/session/7/3?delay=20`: answers after so many milliseconds, with a cookie and an id that say what was asked."""
    await take_body(peer, seen)
    name, _, delay = seen.target.partition("?delay=")
    await asyncio.sleep(float(delay or 0) / 1000)
    body = f'{{"id": "id{name.replace("/", "-")}", "n": 1.50, "deep": [{{"t": "ü€"}}]}}'.encode()
    cookie = f"Set-Cookie: sid=c{name.replace('/', '-')}; Path=/; HttpOnly\r\n".encode()
    await peer.say(b"HTTP/1.1 200 OK\r\nX-Token: tok\r\n%bContent-Length: %d\r\n\r\n%b" % (cookie, len(body), body))
    return True
