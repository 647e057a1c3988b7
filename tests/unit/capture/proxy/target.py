"""What stands behind the proxy in tests: a server in one event loop that answers by path, and keeps what it got."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

GZIPPED = gzip.compress(b"compressed " * 200, mtime=0)


@dataclass
class Got:
    """A request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Target:
    """`go` lets the answers to /held go on."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Target]:
    target = Target()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while await _one(target, reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # cancelled by the end of the test: asyncio's streams complain of a callback that is
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, limit=1 << 20)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _one(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [(n, v.strip()) for n, _, v in (line.partition(":") for line in head[1:] if line)]
    named = {n.lower(): v for n, v in pairs}
    body = b""
    if named.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()) != b"\r\n":
            pass
    elif "content-length" in named:
        body = await reader.readexactly(int(named["content-length"]))
    target.got.append(Got(head[0], pairs, body))
    path = head[0].split(" ")[1].split("?")[0]
    answer = _ANSWERS.get(path)
    if answer is not None:
        return await answer(target, reader, writer)
    _send(writer, body, "X-Mixed-Case: kept")
    await writer.drain()
    return True


def _send(writer: asyncio.StreamWriter, body: bytes, *headers: str, status: str = "200 OK") -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)


async def _chunked(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nfirst\r\n")
    await writer.drain()
    writer.write(b"6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n")
    return True


async def _gzip(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    _send(writer, GZIPPED, "Content-Encoding: gzip")
    return True


async def _held(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    await writer.drain()
    await target.go.wait()
    writer.write(b"world")
    return True


async def _torn(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await target.go.wait()
    return False


async def _upgrade(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    await writer.drain()
    while data := await reader.read(4096):
        writer.write(b"echo " + data)
        await writer.drain()
    return False


_Answer = Callable[[Target, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, bool]]
_ANSWERS: dict[str, _Answer] = {
    "/chunked": _chunked,
    "/gzip": _gzip,
    "/held": _held,
    "/torn": _torn,
    "/socket": _upgrade,
}
