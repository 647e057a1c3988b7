"""Claim: a bullet is served as a bullet or refused with 403; never as a customer, and customers see nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import flask
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context import current
from tracer_bullet.context.keys import SigningKey
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.context.token import mint
from tracer_bullet.guards import Armed, WriteRefused, asgi, wsgi
from tracer_bullet.model import Context

Send = Callable[[dict[str, str]], httpx.Response]
calls: list[str | None] = []


def _seen() -> dict[str, str | None]:
    context = current()
    calls.append(context.run_id if context else None)
    return {"run": context.run_id if context else None, "user": context.user_id if context else None}


def _asgi_app() -> Starlette:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse(_seen())

    async def stream(request: Request) -> StreamingResponse:
        async def body() -> Any:
            yield json.dumps(_seen()).encode()

        return StreamingResponse(body())

    return Starlette(routes=[Route("/", show), Route("/stream", stream)])


def _wsgi_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", "show", _seen)

    @app.route("/stream")
    def stream() -> flask.Response:
        return flask.Response(json.dumps(_seen()) for _ in range(1))

    return app


@pytest.fixture(params=["asgi", "wsgi"])
def service(request: pytest.FixtureRequest) -> Callable[[Armed | None], Callable[..., httpx.Response]]:
    """Sends a request to a guarded application of either kind."""

    def make(armed: Armed | None) -> Callable[..., httpx.Response]:
        def send(headers: dict[str, str], path: str = "/") -> httpx.Response:
            calls.clear()
            if request.param == "wsgi":
                with httpx.Client(transport=httpx.WSGITransport(wsgi.GuardMiddleware(_wsgi_app(), armed))) as client:  # type: ignore[arg-type]
                    return client.get(f"http://cart{path}", headers=headers)
            return _send_asgi(asgi.GuardMiddleware(_asgi_app(), armed), path, headers)

        return send

    return make


def _send_asgi(app: Any, path: str, headers: dict[str, str]) -> httpx.Response:
    import asyncio

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.get(f"http://cart{path}", headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_a_bullet_is_served_in_its_scope(service, arm_service, flag_headers, telemetry: Telemetry, path: str) -> None:
    answer = service(arm_service())(flag_headers(), path)
    assert (answer.status_code, answer.json()) == (200, {"run": "run-1", "user": "tester-1"})
    (seal,) = telemetry.having("tb.sealed_spans")
    assert seal.attributes["tb.carriers"] == "baggage,tracestate,header"
    assert f"{seal.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert current() is None


def test_a_customer_is_served_as_ever(service, arm_service, telemetry: Telemetry) -> None:
    headers = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "baggage": "user_id=7", "tracestate": "x=y"}
    answer = service(arm_service())(headers)
    assert (answer.status_code, answer.json()) == (200, {"run": None, "user": None})
    assert telemetry.spans == []


FORGERIES = ["forged", "expired", "wrong-key", "out-of-scope", "tampered", "tokenless", "tracestate-only", "disabled"]


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_bullet_without_proof_is_refused(
    kind: str, service, arm_service, flag_headers, signing_key, telemetry: Telemetry, monkeypatch
) -> None:
    headers, reason = _forge(kind, flag_headers, signing_key)
    if kind == "disabled":
        monkeypatch.setenv("TRACER_BULLET_DISABLED", "1")
    answer = service(arm_service())(headers)
    assert answer.status_code == (503 if kind == "disabled" else 403)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:tracer-bullet:{reason}"
    assert calls == [], "the application was not reached"
    (span,) = telemetry.having("tb.refused")
    assert span.attributes["tb.refused"] == reason
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def _forge(kind: str, flag_headers: Callable[..., dict[str, str]], key: SigningKey) -> tuple[dict[str, str], str]:
    headers = flag_headers()
    token = headers["x-tracer-bullet"]
    if kind == "forged":
        head, _, signature = token.split(".")
        claims = {"iss": "x", "iat": 1, "nbf": 1, "exp": 9**11, "run": "run-1", "scope": ["*"], "ops": ["trace"]}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return _with_token(headers, f"{head}.{payload}.{signature}"), "bad-signature"
    if kind == "expired":
        return flag_headers(now_s=int(time.time()) - 7200), "expired"
    if kind == "wrong-key":
        stranger = SigningKey("stranger", Ed25519PrivateKey.generate())
        return _with_token(headers, _minted(stranger)), "unknown-key"
    if kind == "out-of-scope":
        return flag_headers(scope=("payment",)), "out-of-scope"
    if kind == "tampered":
        return {**headers, "x-tracer-bullet": token[:-1]}, "ambiguous"
    if kind == "tokenless":
        return {"traceparent": headers["traceparent"], "baggage": "request_type=TRACE"}, "no-token"
    if kind == "tracestate-only":
        return {"traceparent": headers["traceparent"], "tracestate": "tb=t"}, "flag-lost"
    return headers, "disabled"


def _minted(key: SigningKey) -> str:
    return mint(key, issuer="x", run_id="run-1", scope=["*"], now_s=int(time.time()), lifetime_s=60)


def _with_token(headers: dict[str, str], token: str) -> dict[str, str]:
    old = headers["x-tracer-bullet"]
    return {k: v.replace(old, token) for k, v in headers.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_of_a_bullet_is_served(data: st.DataObject, service, arm_service, flag_headers) -> None:
    """Random edits of any carrier: the application is reached as a bullet with the true token, or not at all."""
    headers = flag_headers()
    token = headers["x-tracer-bullet"]
    for name in data.draw(
        st.lists(st.sampled_from(["baggage", "tracestate", "x-tracer-bullet"]), min_size=1, max_size=3)
    ):
        text = headers[name]
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        char = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
        edit = data.draw(
            st.sampled_from(
                [text[:at] + char + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + char + text[at:]]
            )
        )
        headers[name] = edit
    answer = service(arm_service())(headers)
    if answer.status_code == 200:
        # A customer only when no carrier still says bullet; a bullet only on the untouched token.
        assert calls in (["run-1"], [None])
        if calls == ["run-1"]:
            assert token in (headers["x-tracer-bullet"].strip(), *headers["baggage"].replace("=", ",").split(","))
        else:
            assert "request_type=TRACE" not in headers["baggage"].split(",")
            assert not headers["x-tracer-bullet"]
    else:
        assert answer.status_code == 403
        assert calls == []


def test_an_unarmed_service_refuses(service, flag_headers, telemetry: Telemetry) -> None:
    answer = service(None)(flag_headers())
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:unarmed")
    assert service(None)({}).status_code == 200


def test_a_guard_that_did_not_hold_ends_the_service_taking_bullets(service, arm_service, flag_headers) -> None:
    armed = arm_service()
    armed.trip("a test says so")
    answer = service(armed)(flag_headers())
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:unarmed")
    assert service(armed)({}).status_code == 200


def test_an_application_mounted_in_another_is_one_scope(arm_service, flag_headers, telemetry: Telemetry) -> None:
    armed = arm_service()
    app = asgi.GuardMiddleware(asgi.GuardMiddleware(_asgi_app(), armed), armed)
    assert _send_asgi(app, "/", flag_headers()).status_code == 200
    assert len(telemetry.having("tb.sealed_spans")) == 1


def test_spans_in_the_scope_are_marked_and_counted(arm_service, flag_headers, telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        tracer = telemetry.provider.get_tracer("t")
        with tracer.start_as_current_span("one"), tracer.start_as_current_span("two"):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    assert _send_asgi(asgi.GuardMiddleware(app, arm_service()), "/", flag_headers()).status_code == 204
    (seal,) = telemetry.having("tb.sealed_spans")
    inside = telemetry.having("tb.scope", seal.attributes["tb.scope"])
    assert seal.attributes["tb.sealed_spans"] == 2
    assert {s.name for s in inside} == {"one", "two", "tracer-bullet seal"}
    assert all(s.attributes["tb.request_type"] == "TRACE" and s.attributes["tb.run"] == "run-1" for s in inside)


def test_a_connection_that_served_a_bullet_serves_the_next_customer_as_a_customer(
    arm_service, flag_headers, telemetry: Telemetry
) -> None:
    """uvicorn pauses reading during a large body and resumes inside the bullet: asyncio then runs all later
    requests of that connection under the bullet's context."""
    import asyncio
    import socket
    import threading

    import uvicorn
    from opentelemetry import baggage

    inherited: list[bool] = []

    async def show(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse({**_seen(), "baggage": sorted(baggage.get_all())})

    armed = arm_service()
    guarded = asgi.GuardMiddleware(Starlette(routes=[Route("/", show, methods=["POST"])]), armed)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from tracer_bullet.context.scope import inherited_scope

        if scope["type"] == "http":
            inherited.append(inherited_scope() is not None)
        await guarded(scope, receive, send)

    config = uvicorn.Config(app, loop="asyncio", http="httptools", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            big = b"x" * 3_000_000
            first = client.post("/", content=big, headers=flag_headers())
            assert first.json() == {"run": "run-1", "user": "tester-1", "baggage": first.json()["baggage"]}
            customer = client.post("/", content=b"small")
            assert customer.json() == {"run": None, "user": None, "baggage": []}
            again = client.post("/", content=b"small", headers=flag_headers(trace_id="c" * 32))
            assert again.json()["run"] == "run-1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    assert inherited == [False, True, True], "the trap is there: without it this test shows nothing"
    seals = telemetry.having("tb.sealed_spans")
    assert [f"{s.context.trace_id:032x}" for s in seals] == ["0af7651916cd43dd8448eb211c80319c", "c" * 32]
    assert len({s.attributes["tb.scope"] for s in seals}) == 2


@pytest.mark.parametrize(
    ("policies", "pushed"), [({"messages": "forward"}, "refused"), ({}, "dropped"), ({"messages": "allow"}, "sent")]
)
def test_a_bullet_pushes_nothing_to_a_customers_websocket(
    policies: dict[str, str], pushed: str, arm_service, telemetry: Telemetry
) -> None:
    armed = arm_service(**policies)
    sends: list[Any] = []
    sent: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        sends.append(send)
        await receive()

    async def main() -> None:
        over = asyncio.Event()
        served = asyncio.Event()

        async def receive() -> Any:
            served.set()
            await over.wait()
            return {"type": "websocket.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("text", ""))

        connection = {"type": "websocket", "path": "/", "headers": []}
        customer = asyncio.create_task(asgi.GuardMiddleware(app, armed)(connection, receive, send))
        await served.wait()
        with entered(Scope(Context(run_id="run-1", token="t"), armed)), contextlib.suppress(WriteRefused):
            await sends[0]({"type": "websocket.send", "text": "bullet"})
        await sends[0]({"type": "websocket.send", "text": "customer"})
        over.set()
        await customer

    asyncio.run(main())
    assert sent == (["", "bullet", "customer"] if pushed == "sent" else ["", "customer"])
    decision = {"refused": "denied", "dropped": "suppressed", "sent": "allowed"}[pushed]
    assert telemetry.decisions == [(decision, "PUSH websocket")]
