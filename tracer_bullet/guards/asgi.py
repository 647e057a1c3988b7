"""Inbound guard for ASGI applications (Starlette, FastAPI and every other).

Put it outermost: `app = GuardMiddleware(app)`. A request without the flag passes at the
cost of one look at its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from opentelemetry.trace import SpanKind

from tracer_bullet.context.carriers import BAGGAGE, HEADER, TRACESTATE, Claim, asgi_may_claim, read_claim
from tracer_bullet.context.decide import Admission, decide
from tracer_bullet.context.scope import Closer, Scope, entered, inherited_scope, live_scope
from tracer_bullet.guards.answer import AnswerMeter
from tracer_bullet.guards.config import Policy, Sink
from tracer_bullet.guards.inbound import (
    PROBLEM_TYPE,
    first,
    is_nested,
    open_scope,
    problem,
    record_refusal,
    untangled,
)
from tracer_bullet.guards.policy import Ruling
from tracer_bullet.guards.registry import Armed, default
from tracer_bullet.guards.rulings import rule_on, write_span
from tracer_bullet.guards.testers import is_tester, tester_scope
from tracer_bullet.model import FlagState

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

_TESTED = "tracer_bullet.tested"
_PUSH = "PUSH websocket"
_NAMES = {name.encode(): name for name in (BAGGAGE, TRACESTATE, HEADER)}


class GuardMiddleware:
    """Admits bullets into a request scope and refuses those without proof.

    `armed`: the service's guards; by default those that `arm()` armed for this process.
    """

    def __init__(self, app: AsgiApp, armed: Armed | None = None) -> None:
        self._app = app
        self._armed = armed

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        await serve(self._app, self._armed, scope, receive, send)


async def serve(app: AsgiApp, armed: Armed | None, scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Run one ASGI connection of `app` under the guard."""
    if scope["type"] not in ("http", "websocket"):
        await app(scope, receive, send)
        return
    claim = read_asgi_claim(scope["headers"])
    armed = armed or default()
    if claim is None and armed is not None and scope["type"] == "websocket":
        send = _own(send, None)
    if claim is None:
        if armed is not None and armed.config.testers and _TESTED not in scope:
            await _serve_tester(app, armed, scope, receive, send)
        elif inherited_scope() is None or _TESTED in scope:  # every customer's request, but for what asyncio did
            await app(scope, receive, send)
        else:
            with untangled(first(_headers(scope), "traceparent")):
                await app(scope, receive, send)
        return
    admission = armed.admit(claim) if armed is not None else decide(claim, None)
    traceparent = first(_headers(scope), "traceparent")
    if admission.state is not FlagState.VALID or armed is None:
        with untangled(traceparent):
            await _refuse(armed, admission, scope, receive, send)
    elif is_nested(armed, traceparent):
        await app(scope, receive, send)
    else:
        with untangled(traceparent):
            await _serve_bullet(app, armed, admission, scope, receive, send)


async def _serve_tester(app: AsgiApp, armed: Armed, scope: AsgiScope, receive: Receive, send: Send) -> None:
    """A request without the flag, in a service that has tester accounts: anybody's, or a tester's."""
    scope[_TESTED] = True  # applications mounted in this one need not look again
    headers = _headers(scope)
    tester = tester_scope(armed, headers.get(BAGGAGE, ()))
    closers: Sequence[Closer] = ()
    try:
        with untangled(first(headers, "traceparent")), entered(tester):
            await app(scope, receive, send)
    finally:
        if tester is not None:
            closers = tester.end()
            await asyncio.shield(asyncio.ensure_future(_release(armed, tester, closers)))


def read_asgi_claim(headers: Iterable[tuple[bytes, bytes]]) -> Claim | None:
    """What the request's headers claim; None, and cheap, when they do not mention a bullet."""
    if not asgi_may_claim(headers):
        return None
    found: dict[str, list[str]] = {}
    for name, value in headers:
        known = _NAMES.get(name.lower())
        if known is not None:
            found.setdefault(known, []).append(value.decode("latin-1"))
    return read_claim(found.get(BAGGAGE, ()), found.get(TRACESTATE, ()), found.get(HEADER, ()))


async def _serve_bullet(
    app: AsgiApp, armed: Armed, admission: Admission, scope: AsgiScope, receive: Receive, send: Send
) -> None:
    request, parent = open_scope(armed, admission, _headers(scope))
    for late in armed.late(request.trace_id):
        await asyncio.to_thread(late.closed.wait, armed.config.hold_s)
    if armed.config.hold_s > 0:
        send = _Answer(armed, request, scope.get("method", ""), send)
    if scope["type"] == "websocket":
        send = _own(send, request)
    closers: Sequence[Closer] = ()
    try:
        with entered(request), armed.sealed(request, parent) as closers:
            await app(scope, receive, send)
    finally:
        # A cancelled request must still roll back.
        await asyncio.shield(asyncio.ensure_future(_release(armed, request, closers)))


def _own(send: Send, request: Scope | None) -> Send:
    """The `send` of a websocket, by which a bullet of another request pushes nothing to whoever listens."""

    async def push(message: MutableMapping[str, Any]) -> None:
        scope = live_scope()
        if scope is None or scope is request or is_tester(scope):
            await send(message)
            return
        ruling = rule_on(scope, Sink.MESSAGES, _PUSH)
        if ruling.policy not in (Policy.ALLOW, Policy.NOOP):
            ruling = Ruling(ruling.policy, ruling.refuse or "the websocket is another request's")
        with write_span(scope, _PUSH, ruling, {"network.protocol.name": "websocket"}, kind=SpanKind.PRODUCER):
            if ruling.policy is Policy.ALLOW:
                await send(message)

    return push


async def _release(armed: Armed, request: Scope, closers: Sequence[Closer]) -> None:
    try:
        for closer in closers:
            await closer.aclose()
    finally:
        armed.closed(request)


class _Answer:
    """Passes an answer on, and tells the guards before its last byte goes out."""

    def __init__(self, armed: Armed, request: Scope, method: str, send: Send) -> None:
        self._armed, self._request, self._send = armed, request, send
        self._meter = AnswerMeter(method)
        self._told = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if not self._told and self._completes(message):
            self._told = True
            self._armed.answered(self._request)
        await self._send(message)

    def _completes(self, message: MutableMapping[str, Any]) -> bool:
        if message["type"] == "http.response.start":
            lengths = [v.decode("latin-1") for n, v in message.get("headers", ()) if n.lower() == b"content-length"]
            return self._meter.start(message["status"], lengths[0] if lengths else "")
        if message["type"] == "http.response.body":
            return self._meter.body(len(message.get("body", b""))) or not message.get("more_body", False)
        return bool(message["type"] == "http.response.pathsend")


async def _refuse(armed: Armed | None, admission: Admission, scope: AsgiScope, receive: Receive, send: Send) -> None:
    name = f"{scope.get('method', 'WEBSOCKET')} refused"
    record_refusal(armed, admission, _headers(scope), name)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": admission.reason})
        return
    body = problem(admission, armed.config.service if armed is not None else "")
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": admission.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _headers(scope: AsgiScope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
