"""A service with the conformance endpoint: Starlette, SQLAlchemy and httpx under stock OpenTelemetry and our guards.

`python -m tests.servers.reference JWKS DATABASE` serves the right one and careless ones, each on a port of its own, and
prints their addresses as JSON. Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import sqlalchemy as sa
import uvicorn
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from tracer_bullet.context import current
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.token import Refusal, Verifier
from tracer_bullet.guards import Armed, arm
from tracer_bullet.guards.asgi import GuardMiddleware
from tracer_bullet.sim.careless import ForgetfulTransport

App = Callable[..., Awaitable[None]]
Pairs = list[tuple[bytes, bytes]]
SERVICE = "reference"
_START_TIMEOUT_S = 120.0
_OURS = (b"baggage", b"tracestate", b"x-tracer-bullet")


class Service:
    """The endpoint of docs/conformance.md. `drops`: headers that its own calls lose."""

    def __init__(self, database: Path, *, drops: frozenset[str] = frozenset(), mixes: bool = False) -> None:
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{database}", connect_args={"timeout": 120})
        self._client = httpx.AsyncClient(transport=ForgetfulTransport(drops, 5), timeout=120, trust_env=False)
        self._mixes = mixes
        self._last = ""
        self.write: Callable[[], Awaitable[None]] = self._insert
        provider = TracerProvider(shutdown_on_exit=False)
        HTTPXClientInstrumentor.instrument_client(self._client, tracer_provider=provider)
        routes = [Route("/tracer-bullet/conformance", self.serve, methods=["GET", "POST"])]
        self.app: App = OpenTelemetryMiddleware(Starlette(routes=routes), tracer_provider=provider)

    async def serve(self, request: Request) -> JSONResponse:
        if request.method == "GET":
            async with self._engine.connect() as connection:
                count = await connection.scalar(sa.text("SELECT count(*) FROM writes"))
            return JSONResponse({"written": count})
        wanted = await request.json()
        bullet = current()
        self._last = "STANDARD" if bullet is None else "TRACE"
        kind = self._last
        await self._client.get(wanted["forward_to"])
        if wanted["write"]:
            await self.write()
        answer = {"request_type": self._last if self._mixes else kind, "wrote": bullet is None}
        return JSONResponse(answer if bullet is None else {**answer, "run": bullet.run_id})

    async def close(self) -> None:
        await self._client.aclose()
        await self._engine.dispose()

    async def _insert(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(sa.text("INSERT INTO writes (what) VALUES ('x')"))


class OwnWorker:
    """Writes from a thread that was there before any request: the scope of a bullet does not reach it."""

    def __init__(self, database: Path) -> None:
        self._engine = sa.create_engine(f"sqlite:///{database}", connect_args={"timeout": 120})
        self._jobs: queue.Queue[asyncio.Future[None]] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    async def write(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.put(done)
        await done

    def _work(self) -> None:
        while True:
            done = self._jobs.get()
            with self._engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO writes (what) VALUES ('x')"))
            done.get_loop().call_soon_threadsafe(done.set_result, None)


class Edited:
    """An application whose requests' headers are edited first."""

    def __init__(self, app: App, edit: Callable[[Pairs], Pairs]) -> None:
        self._app, self._edit = app, edit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": self._edit(list(scope["headers"]))}
        await self._app(scope, receive, send)


def plain_text(app: App) -> App:
    """Refuses without saying why in the form of the protocol."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        async def edited(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 403:
                rest = [(n, v) for n, v in message["headers"] if n != b"content-type"]
                message = {**message, "headers": [*rest, (b"content-type", b"text/plain")]}
            await send(message)

        await app(scope, receive, edited)

    return serve


def refuses_by_substring(app: App) -> App:
    """Takes every mention for the flag."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            text = b",".join(v for n, v in scope["headers"] if n == b"baggage")
            if b"request_type" in text and b"tb-token" not in text:
                problem = {"type": "urn:tracer-bullet:no-token", "status": 403}
                await JSONResponse(problem, 403, media_type="application/problem+json")(scope, receive, send)
                return
        await app(scope, receive, send)

    return serve


def values(headers: Pairs, name: bytes) -> list[str]:
    return [v.decode("latin-1") for n, v in headers if n == name]


def without_flag(headers: Pairs) -> Pairs:
    return [(n, v) for n, v in headers if n not in _OURS]


def first_line(headers: Pairs) -> Pairs:
    found = [n for n, _ in headers]
    return [(n, v) for at, (n, v) in enumerate(headers) if n != b"baggage" or found.index(n) == at]


def no_vendor(headers: Pairs) -> Pairs:
    return [(n, v.replace(b",vendor=1", b"").replace(b"vendor=1,", b"")) for n, v in headers]


def new_trace(headers: Pairs) -> Pairs:
    other = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01".encode()
    return [(n, other if n == b"traceparent" else v) for n, v in headers]


def unless(verifier: Verifier, reason: str) -> Callable[[Pairs], Pairs]:
    """Serves as customers what should be refused for one reason."""

    def edit(headers: Pairs) -> Pairs:
        claim = read_claim(*(values(headers, name) for name in _OURS))
        if claim is None or claim.ambiguous:
            return headers
        if claim.token is None:
            found = "flag-lost" if claim.carriers == ("tracestate",) else "no-token"
        else:
            opened = verifier.verify(claim.token)
            found = opened.reason if isinstance(opened, Refusal) else ""
        return without_flag(headers) if found == reason else headers

    return edit


def variants(armed: Armed, jwks: str, database: Path, resources: AsyncExitStack) -> Mapping[str, App]:
    """The right service as `reference`, and careless ones by what they do."""

    def service(**settings: Any) -> Service:
        made = Service(database, **settings)
        resources.push_async_callback(made.close)
        return made

    def guarded(app: App) -> App:
        return GuardMiddleware(app, armed=armed)

    verifier = Verifier(jwks, SERVICE, clock_s=armed._verifier._clock_s)
    plain, own_worker = service(), service()
    own_worker.write = OwnWorker(database).write
    right = guarded(plain.app)
    return {
        "reference": right,
        "serves_no_token": Edited(right, unless(verifier, "no-token")),
        "serves_flag_lost": Edited(right, unless(verifier, "flag-lost")),
        "serves_expired": Edited(right, unless(verifier, "expired")),
        "serves_out_of_scope": Edited(right, unless(verifier, "out-of-scope")),
        "reads_first_line": Edited(right, first_line),
        "drops_vendor_state": Edited(right, no_vendor),
        "starts_new_trace": Edited(right, new_trace),
        "forwards_no_header": guarded(service(drops=frozenset({"x-tracer-bullet"})).app),
        "forwards_no_tracestate": guarded(service(drops=frozenset({"tracestate"})).app),
        "writes_for_bullets": guarded(own_worker.app),
        "mixes_requests": guarded(service(mixes=True).app),
        "answers_plain_text": plain_text(right),
        "refuses_by_substring": refuses_by_substring(right),
        "is_not_there": PlainTextResponse("not here", 404),
    }


async def _main(jwks: str, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS writes (id INTEGER PRIMARY KEY, what TEXT)")
    connection.close()
    armed = arm(service=SERVICE, keys=jwks, system_hosts=("127.0.0.1:*",))
    async with AsyncExitStack() as resources:
        places, servers = {}, []
        for name, app in variants(armed, jwks, database, resources).items():
            # With the protocol named: asyncio switches Nagle off only then.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            places[name] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_keep_alive=75))
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            servers.append((server, asyncio.ensure_future(server.serve(sockets=[listener]))))
        print(json.dumps(places), flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in servers))


class ReferenceServices:
    """All of them, in a process of their own. A context manager: inside, `urls` has an address for each."""

    def __init__(self, jwks: Path, folder: Path, **environment: str) -> None:
        self.urls: dict[str, str] = {}
        self._arguments = [str(jwks), str(folder / "reference.db")]
        self._log = folder / "reference.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TRACER_BULLET_"))}
        self._environment = kept | environment
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.reference", *self._arguments],
                cwd=root, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        deadline = threading.Timer(_START_TIMEOUT_S, self._process.kill)
        deadline.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        finally:
            deadline.cancel()
        if not line:
            self.stop()
            raise RuntimeError(f"the reference services did not start\n{self._log.read_text(errors='replace')}")
        self.urls = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process: asked first, then killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
