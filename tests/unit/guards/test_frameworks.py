"""Claim: applications of Starlette, FastAPI and Flask are guarded from outside, with no line in them."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import a2wsgi
import fastapi
import flask
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context import current
from tracer_bullet.guards import frameworks

Message = dict[str, Any]


def run_id() -> dict[str, str | None]:
    context = current()
    return {"run": None if context is None else context.run_id}


def starlette_app() -> Starlette:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse(run_id())

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(run_id())
        await socket.close()

    return Starlette(routes=[Route("/", show), WebSocketRoute("/talk", talk)])


def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.get("/")(run_id)  # a plain function: FastAPI runs it in a thread
    return app


def flask_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", "show", run_id)
    return app


def flask_in_fastapi() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.mount("/", a2wsgi.WSGIMiddleware(flask_app()))  # type: ignore[arg-type]
    return app


@pytest.fixture
def installed() -> Iterator[None]:
    frameworks.install()
    yield
    frameworks.uninstall()


async def _get_async(app: Any, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.get("http://cart/", headers=headers)


def get(app: Any, headers: dict[str, str]) -> httpx.Response:
    if isinstance(app, flask.Flask):
        with httpx.Client(transport=httpx.WSGITransport(app)) as client:
            return client.get("http://cart/", headers=headers)
    return asyncio.run(_get_async(app, headers))


APPS = [starlette_app, fastapi_app, flask_app, flask_in_fastapi]


@pytest.mark.parametrize("make", APPS)
def test_a_bullet_is_served_in_one_scope(
    make: Callable[[], Any], installed: None, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    arm_service()
    answer = get(make(), flag_headers())
    assert (answer.status_code, answer.json()) == (200, {"run": "run-1"})
    assert len(telemetry.having("tb.sealed_spans")) == 1
    assert get(make(), {}).json() == {"run": None}
    assert len(telemetry.having("tb.sealed_spans")) == 1


@pytest.mark.parametrize("make", APPS)
def test_a_bullet_without_proof_is_refused(
    make: Callable[[], Any], installed: None, arm_service: Any, flag_headers: Any
) -> None:
    arm_service()
    answer = get(make(), {**flag_headers(), "x-tracer-bullet": "forged"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:ambiguous")


@pytest.mark.parametrize("make", APPS)
def test_without_arming_bullets_are_refused_and_customers_served(
    make: Callable[[], Any], installed: None, flag_headers: Any
) -> None:
    answer = get(make(), flag_headers())
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:unarmed")
    assert get(make(), {}).json() == {"run": None}


def talk(app: Any, headers: dict[str, str]) -> list[Message]:
    """One websocket connection; what the application sent."""
    sent: list[Message] = []
    received = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": "/talk",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": [],
    }
    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("bullet", [True, False])
def test_websockets_are_served(
    bullet: bool, installed: None, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    arm_service()
    sent = talk(starlette_app(), flag_headers() if bullet else {})
    assert [m["type"] for m in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[1]["text"] == ('{"run":"run-1"}' if bullet else '{"run":null}')
    assert len(telemetry.having("tb.sealed_spans")) == int(bullet)


def test_a_websocket_without_proof_is_refused(installed: None, arm_service: Any, flag_headers: Any) -> None:
    arm_service()
    sent = talk(starlette_app(), {**flag_headers(), "x-tracer-bullet": "forged"})
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "ambiguous"}]


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_servers_see_an_asgi_application_and_no_factory(make: Callable[[], Any], installed: None) -> None:
    """As uvicorn looks at it: a coroutine function that cannot be called without arguments."""
    app = make()
    assert inspect.iscoroutinefunction(app.__call__)
    with pytest.raises(TypeError):
        app()


def test_installing_twice_wraps_once_and_uninstalling_gives_back_the_originals() -> None:
    kinds = (Starlette, flask.Flask)
    before = [id(vars(kind)["__call__"]) for kind in kinds]  # a wrapper is equal to what it wraps
    frameworks.install()
    once = [id(vars(kind)["__call__"]) for kind in kinds]
    frameworks.install()
    assert [id(vars(kind)["__call__"]) for kind in kinds] == once
    assert not set(once) & set(before)
    frameworks.uninstall()
    assert [id(vars(kind)["__call__"]) for kind in kinds] == before


@pytest.mark.parametrize("uninstalled", [False, True])
def test_frameworks_imported_later_are_guarded_unless_uninstalled_by_then(uninstalled: bool) -> None:
    program = f"""
from tracer_bullet.guards import frameworks
frameworks.install()
if {uninstalled}:
    frameworks.uninstall()
import flask, starlette.applications
for application in (flask.Flask, starlette.applications.Starlette):
    print(hasattr(application.__call__, "__wrapped__"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not uninstalled)] * 2
