"""Envoy's admin interface over HTTP/1.1 on loopback: questions, and the stream of taps. Does I/O.

A client of a few lines and not a library's: nothing may stand between that buffers, or keeps what is tapped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

from tracer_bullet.capture.proxy.envoy.documents import Dechunker, Malformed
from tracer_bullet.errors import UnreachableError

_READ_BYTES: Final = 1_048_576
_ANSWER_S: Final = 10.0


class Admin:
    """The admin interface at `address` (`host:port`)."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, path: str, *, method: str = "GET") -> bytes:
        """The body of an answer. Raises OSError or EOFError when there is none, UnreachableError when it is no 200."""
        async with asyncio.timeout(_ANSWER_S), self._open(method, path, b"") as (reader, status, chunked):
            body = await reader.read()
        body = Dechunker().feed(body) if chunked else body
        if status != 200:
            raise UnreachableError("TB943", f"Envoy answers {status} to {path}", where=self.address)
        return body

    async def json(self, path: str) -> Any:
        """An answer in JSON. Raises as `ask` does."""
        return json.loads(await self.ask(path))

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges by name. Raises as `ask` does."""
        found = (await self.json(f"/stats?format=json&filter={pattern}"))["stats"]
        return {row["name"]: int(row["value"]) for row in found if "name" in row}

    @contextlib.asynccontextmanager
    async def tap(self, request: dict[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Inside, Envoy is tapped; the pieces of its stream, until it ends. Raises as `ask` does."""
        body = json.dumps(request).encode()
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(_ANSWER_S):
                reader, status, _ = await stack.enter_async_context(self._open("POST", "/tap", body))
            if status != 200:
                raise UnreachableError(
                    "TB943",
                    f"Envoy refuses to be tapped ({status})",
                    where=self.address,
                    cure="it can be tapped by one only; is another program reading its /tap?",
                )
            yield _pieces(reader)

    @contextlib.asynccontextmanager
    async def _open(self, method: str, path: str, body: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, int, bool]]:
        reader, writer = await asyncio.open_connection(sock=await self._connected(), limit=_READ_BYTES)
        try:
            head = f"{method} {path} HTTP/1.1\r\nhost: {self.address}\r\nconnection: close\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            yield reader, int(answer.split(b" ", 2)[1]), b"transfer-encoding: chunked" in answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        found = socket.socket()
        try:
            found.settimeout(0)
            # One that the kernel tunes is shrunk when we take nothing, and then Envoy is slow to let go of us.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ_BYTES)
            await asyncio.get_running_loop().sock_connect(found, (host, int(port)))
        except BaseException:
            found.close()
            raise
        return found


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    dechunker = Dechunker()
    while not dechunker.ended:
        try:
            data = await reader.read(_READ_BYTES)
        except OSError:
            return
        if not data:
            return
        try:
            yield dechunker.feed(data)
        except Malformed:
            return
