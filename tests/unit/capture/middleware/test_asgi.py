"""ASGI: what a real server and a real framework do is recorded, and nothing of it is changed, delayed or lost."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.unit.capture.middleware.serving import BULLET, WAIT_S, Taken, asgi_server, ask
from tracer_bullet.capture.asgi import CaptureMiddleware
from tracer_bullet.model.exchange import Lack


async def echo(request: Request) -> PlainTextResponse:
    body = await request.body()
    return PlainTextResponse(body, 201, headers={"x-seen": "1"})


async def unread(request: Request) -> JSONResponse:
    del request
    return JSONResponse({"ok": True})


async def broken(request: Request) -> JSONResponse:
    raise ValueError("the application's own")


def application(**more: Any) -> Starlette:
    return Starlette(
        routes=[
            Route("/echo/{rest:path}", echo, methods=["GET", "POST"]),
            Mount("/mounted", routes=[Route("/unread", unread, methods=["GET", "POST"])]),
            Route("/broken", broken),
            *(Route(path, endpoint) for path, endpoint in more.items()),
        ]
    )


def test_a_request_and_its_answer() -> None:
    taken = Taken()
    ticks = iter(range(100, 200))
    with asgi_server(CaptureMiddleware(application(), taken.capture, clock=lambda: next(ticks))) as where:
        assert ask(where, "POST", "/echo/a%2Fb?q=1&q=%20", b"hello", {"X-A": "1"}) == (201, b"hello")
        exchange = taken.next()
    request, answer = exchange.request, exchange.answer
    assert answer is not None
    assert (request.method, request.scheme, request.target, request.body) == (
        "POST",
        "http",
        "/echo/a%2Fb?q=1&q=%20",
        b"hello",
    )
    assert request.authority == f"{where[0]}:{where[1]}"
    assert request.values("x-a") == ["1"]
    assert (answer.status, answer.body, answer.values("x-seen")) == (201, b"hello", ["1"])
    assert (exchange.started_ns, exchange.first_byte_ns, exchange.ended_ns) == (100, 101, 102)
    assert exchange.lacks == frozenset()
    assert taken.capture.counts == {"taken": 1}


def test_under_a_mount_the_whole_target_is_recorded() -> None:
    taken = Taken()
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        assert ask(where, "GET", "/mounted/unread")[0] == 200
        exchange = taken.next()
    assert exchange.request.target == "/mounted/unread"
    assert exchange.request.body == b""
    assert exchange.lacks == frozenset()


def test_a_body_that_the_application_did_not_read_is_marked() -> None:
    taken = Taken()
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        assert ask(where, "POST", "/mounted/unread", b"x" * 10) == (200, b'{"ok":true}')
        exchange = taken.next()
    assert exchange.request.body is None
    assert exchange.lacks == {Lack.REQUEST_BODY}
    assert exchange.unreplayable == "write-without-body"


def test_bodies_over_the_limit_pass_whole_and_are_marked_as_cut() -> None:
    taken = Taken(body_limit=1000)
    big = bytes(range(256)) * 1000
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        assert ask(where, "POST", "/echo/x", iter([big[:100_000], big[100_000:]])) == (201, big)
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.request.body == exchange.answer.body == big[:1000]
    assert exchange.lacks == {Lack.REQUEST_BODY_CUT, Lack.ANSWER_BODY_CUT}


def test_a_stream_passes_at_once() -> None:
    """The application sends its second part only when the client has had the first."""
    taken, had = Taken(), threading.Event()

    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first\n"
            assert await asyncio.to_thread(had.wait, WAIT_S)
            yield b"second\n"

        return StreamingResponse(parts())

    with asgi_server(CaptureMiddleware(application(**{"/stream": stream}), taken.capture)) as where:
        with socket.create_connection(where, timeout=WAIT_S) as client:
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            seen = b""
            while b"first" not in seen:
                seen += client.recv(4096)
            had.set()
            while part := client.recv(4096):
                seen += part
        exchange = taken.next()
    assert b"second" in seen
    assert exchange.answer is not None
    assert exchange.answer.body == b"first\nsecond\n"
    assert exchange.lacks == frozenset()


def test_a_client_that_goes_away_leaves_a_cut_answer() -> None:
    taken, going = Taken(), threading.Event()

    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first\n"
            going.set()
            await asyncio.Event().wait()  # until the disconnect cancels it

        return StreamingResponse(parts())

    with asgi_server(CaptureMiddleware(application(**{"/stream": stream}), taken.capture)) as where:
        with socket.create_connection(where, timeout=WAIT_S) as client:
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(4096)
            assert going.wait(WAIT_S)
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.answer.body == b"first\n"
    assert Lack.ANSWER_BODY_CUT in exchange.lacks


def test_what_runs_after_the_answer_is_not_counted_to_it() -> None:
    taken, finish = Taken(), threading.Event()

    async def later(request: Request) -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(finish.wait, WAIT_S))

    with asgi_server(CaptureMiddleware(application(**{"/later": later}), taken.capture)) as where:
        assert ask(where, "GET", "/later")[0] == 200
        assert taken.next().ended_ns is not None, "while the task still runs"
        finish.set()


def test_exceptions_of_the_application_stay_its_own() -> None:
    taken = Taken()
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        assert ask(where, "GET", "/broken")[0] == 500
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.answer.status == 500

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("mine")

    async def never(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(CaptureMiddleware(raises, taken.capture)(scope, never, never))
    assert taken.next().lacks == {Lack.ANSWER}


def test_websockets_pass_unrecorded() -> None:
    taken = Taken()

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = CaptureMiddleware(Starlette(routes=[WebSocketRoute("/ws", talk)]), taken.capture)
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with asgi_server(app) as where, socket.create_connection(where, timeout=WAIT_S) as client:
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n".encode()
        )
        seen = b""
        while not seen.endswith(b"\r\n\r\n"):
            seen += client.recv(4096)
        assert seen.startswith(b"HTTP/1.1 101")
        client.sendall(b"\x81\x82\0\0\0\0hi")  # a text frame (RFC 6455, 5.2), masked with zeros
        while b"\x81\x02hi" not in seen:
            seen += client.recv(4096)
    assert taken.empty
    assert not taken.capture.counts


def test_bullets_and_excluded_paths_are_not_recorded() -> None:
    taken = Taken(exclude_paths=("/echo/health*",))
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        assert ask(where, "GET", "/echo/a", headers=BULLET)[0] == 201
        assert ask(where, "GET", "/echo/a", headers={"tracestate": "tb=t"})[0] == 201
        assert ask(where, "GET", "/echo/healthz")[0] == 201
        assert ask(where, "GET", "/echo/b", headers={"baggage": "user_id=7"})[0] == 201
        assert taken.next().request.target == "/echo/b"
    assert taken.empty
    assert taken.capture.counts == {"bullet": 2, "excluded": 1, "taken": 1}


def test_whole_sessions_are_sampled() -> None:
    taken = Taken(sample=0.5)
    with asgi_server(CaptureMiddleware(application(), taken.capture)) as where:
        for n in range(40):
            for _ in range(2):
                assert ask(where, "GET", f"/echo/{n}", headers={"cookie": f"a=1; sid=s{n}"})[0] == 201
    got: dict[str, int] = {}
    while not taken.empty:
        target = taken.next().request.target
        got[target] = got.get(target, 0) + 1
    assert 0 < len(got) < 40
    assert set(got.values()) == {2}


@pytest.mark.parametrize("where", ["take", "clock", "limit"])
def test_a_recording_that_fails_costs_no_request(where: str) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the disk is full")

    taken = Taken()
    if where == "take":
        taken.capture.take = fail
    if where == "limit":
        taken.capture.body_limit = None  # type: ignore[assignment]
    clock = fail if where == "clock" else (lambda: 1)
    with asgi_server(CaptureMiddleware(application(), taken.capture, clock=clock)) as server:
        for _ in range(2):
            assert ask(server, "POST", "/echo/a", b"hello") == (201, b"hello")
    if where != "limit":
        assert taken.capture.counts == {"failed": 2}
