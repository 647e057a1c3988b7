"""A real HTTP server for the sender's tests: uvicorn on a free loopback port, with a raw ASGI application."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


@dataclass
class Target:
    """Answers by path, and keeps what it saw. `arrived`: set by the first request; `release`: lets slow paths end."""

    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    elsewhere: str = ""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"]]
        self.seen.append(Seen(scope["method"], scope["path"], scope["query_string"].decode(), headers, body))
        self.arrived.set()
        answer = getattr(self, f"_{scope['path'].strip('/').replace('-', '_').split('/')[0]}", None)
        if answer is None:
            await self._reply(send, 404, b"nothing here", "text/plain")
        else:
            await answer(send, self.seen[-1])

    async def _reply(
        self, send: Send, status: int, body: bytes, kind: str = "application/json", *more: tuple[str, str]
    ) -> None:
        headers = [("content-type", kind), ("content-length", str(len(body))), *more]
        raw = [(k.encode(), v.encode()) for k, v in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _echo(self, send: Send, seen: Seen) -> None:
        said = {"method": seen.method, "path": seen.path, "query": seen.query, "body": seen.body.decode()}
        await self._reply(send, 200, json.dumps(said).encode())

    async def _order(self, send: Send, _: Seen) -> None:
        await self._reply(send, 201, b'{"order_id": "o 1", "total": 7}', "application/json", ("x-id", "h1"))

    async def _login(self, send: Send, _: Seen) -> None:
        await self._reply(send, 204, b"", "text/plain", ("set-cookie", f"who={len(self.seen)}; Path=/"))

    async def _status(self, send: Send, seen: Seen) -> None:
        await self._reply(send, int(seen.path.split("/")[2]), b"{}")

    async def _zipped(self, send: Send, _: Seen) -> None:
        await self._reply(send, 200, gzip.compress(b'{"a": 1}'), "application/json", ("content-encoding", "gzip"))

    async def _bad_zip(self, send: Send, _: Seen) -> None:
        await self._reply(send, 200, b"no gzip at all", "application/json", ("content-encoding", "gzip"))

    async def _huge(self, send: Send, _: Seen) -> None:
        await self._reply(send, 200, b"[" + b"1," * 1_500_000 + b"1]")

    async def _never(self, _: Send, __: Seen) -> None:
        await self.release.wait()

    async def _slow_body(self, send: Send, _: Seen) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"begin", "more_body": True})
        await self.release.wait()

    async def _trickle(self, send: Send, _: Seen) -> None:
        """Bytes that come often enough for any read time-out, and go on for too long."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _i in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(self.release.wait(), 0.03)
        await send({"type": "http.response.body", "body": b""})

    async def _cut(self, send: Send, _: Seen) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": False})

    async def _home(self, send: Send, _: Seen) -> None:
        await self._reply(send, 302, b"", "text/plain", ("location", "/echo/there"), ("set-cookie", "hop=1; Path=/"))

    async def _away(self, send: Send, _: Seen) -> None:
        await self._reply(send, 302, b"", "text/plain", ("location", f"{self.elsewhere}/echo"))

    async def _round(self, send: Send, _: Seen) -> None:
        await self._reply(send, 302, b"", "text/plain", ("location", "/round"))


@asynccontextmanager
async def serving() -> AsyncIterator[Target]:
    """A target that listens until the end of the block."""
    target = Target()
    config = uvicorn.Config(target, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    target.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield target
    finally:
        target.release.set()
        server.should_exit = True
        await task
        sock.close()
