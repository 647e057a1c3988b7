"""Inbound guard for WSGI applications (Flask, Django and every other)."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from http.client import responses
from typing import Any

from opentelemetry import context as otel_context

from tracer_bullet.context.carriers import BAGGAGE, HEADER, TRACESTATE, Claim, read_claim
from tracer_bullet.context.decide import Admission, decide
from tracer_bullet.context.scope import Scope, entered, inherited_scope
from tracer_bullet.guards.answer import AnswerMeter
from tracer_bullet.guards.inbound import (
    PROBLEM_TYPE,
    is_nested,
    open_scope,
    problem,
    record_refusal,
    untangled,
)
from tracer_bullet.guards.registry import Armed, default
from tracer_bullet.guards.testers import tester_scope
from tracer_bullet.model import FlagState

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
_TESTED = "tracer_bullet.tested"
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class GuardMiddleware:
    """Admits bullets into a request scope and refuses those without proof; put it outermost.

    `armed`: the service's guards; by default those that `arm()` armed for this process.
    """

    def __init__(self, app: WsgiApp, armed: Armed | None = None) -> None:
        self._app = app
        self._armed = armed

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI entry (PEP 3333)."""
        return serve(self._app, self._armed, environ, start_response)


def serve(app: WsgiApp, armed: Armed | None, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Run one WSGI request of `app` under the guard."""
    claim = read_wsgi_claim(environ)
    armed = armed or default()
    if claim is None:
        return _serve_standard(app, armed, environ, start_response)
    admission = armed.admit(claim) if armed is not None else decide(claim, None)
    traceparent = environ.get("HTTP_TRACEPARENT", "")
    if admission.state is not FlagState.VALID or armed is None:
        with untangled(traceparent):
            return _refuse(armed, admission, environ, start_response)
    if is_nested(armed, traceparent):
        return app(environ, start_response)
    with untangled(traceparent):
        scope, parent = open_scope(armed, admission, _headers(environ))
        for late in armed.late(scope.trace_id):
            late.closed.wait(armed.config.hold_s)
        return _Body(app, armed, scope, parent, environ, start_response)


def read_wsgi_claim(environ: Environ) -> Claim | None:
    """What the request's headers claim. WSGI servers join repeated headers with commas."""
    values = [environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in (BAGGAGE, TRACESTATE, HEADER)]
    if not any(v is not None for v in values):
        return None
    baggage, tracestate, header = ([v] if v is not None else [] for v in values)
    return read_claim(baggage, tracestate, header)


def _serve_standard(
    app: WsgiApp, armed: Armed | None, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    nested = _TESTED in environ
    if armed is not None and armed.config.testers and not nested:
        environ[_TESTED] = True  # applications mounted in this one need not look again
        tester = tester_scope(armed, [environ.get("HTTP_BAGGAGE", "")])
        if tester is not None:
            with untangled(environ.get("HTTP_TRACEPARENT", "")):
                return _Body(app, armed, tester, otel_context.get_current(), environ, start_response)
    if inherited_scope() is None or nested:
        return app(environ, start_response)
    with untangled(environ.get("HTTP_TRACEPARENT", "")):
        return app(environ, start_response)


class _Body:
    """A bullet's answer. The scope lasts until the server closes the body, since it may be generated."""

    def __init__(
        self,
        app: WsgiApp,
        armed: Armed,
        scope: Scope,
        parent: otel_context.Context,
        environ: Environ,
        start_response: StartResponse,
    ) -> None:
        self._armed, self._scope, self._parent = armed, scope, parent
        self._closed = False
        self._told = False
        self._meter = AnswerMeter(environ.get("REQUEST_METHOD", ""))
        self._start_response = start_response
        # The application, its generator and its close() share one context of their own: a server
        # may call them from different threads, and nothing may stay behind in the worker's.
        self._context = contextvars.copy_context()
        try:
            self._body = self._run(app, environ, self._start)
            self._chunks = self._run(iter, self._body)
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = bytes(self._run(next, self._chunks))
        except StopIteration:
            self._answered()
            raise
        if self._meter.body(len(chunk)):
            self._answered()
        return chunk

    def close(self) -> None:
        """End the request; a server calls it also when the client went away (PEP 3333)."""
        if self._closed:
            return
        try:
            if hasattr(self._body, "close"):
                self._run(self._body.close)
        finally:
            self._end()

    def _start(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self._meter.start(int(status.split(" ", 1)[0]), lengths[0] if lengths else "")
        return self._start_response(status, headers, *error)

    def _answered(self) -> None:
        if not self._told:
            self._told = True
            self._armed.answered(self._scope)

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        def scoped() -> Any:
            with entered(self._scope):
                return function(*args)

        return self._context.run(scoped)

    def _end(self) -> None:
        self._closed = True
        closers: list[Any] = []
        try:
            with self._armed.sealed(self._scope, self._parent) as closers:
                pass
        finally:
            try:
                for closer in closers:
                    closer.close()
            finally:
                self._armed.closed(self._scope)


def _refuse(
    armed: Armed | None, admission: Admission, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    record_refusal(armed, admission, _headers(environ), f"{environ.get('REQUEST_METHOD', 'GET')} refused")
    body = problem(admission, armed.config.service if armed is not None else "")
    status = f"{admission.status} {responses[admission.status]}"
    start_response(status, [("Content-Type", PROBLEM_TYPE), ("Content-Length", str(len(body)))])
    return [body]


def _headers(environ: Environ) -> dict[str, str]:
    return {
        key.removeprefix("HTTP_").replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
