"""Guard for HTTP calls made with httpx, sync and async.

It sits in httpcore's connection pool, below httpx's transports: so it is always inside of
OpenTelemetry's wrapper, whichever came first, and a stubbed call still has its client span.
Calls into the system keep or get the flag; third parties never see it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry import propagate, trace

from tracer_bullet.context.carriers import (
    BAGGAGE,
    HEADER,
    TRACESTATE,
    parse_baggage,
    strip_baggage,
    write_baggage,
    write_tracestate,
)
from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.evidence import current_client_span, span_parent, write_attributes
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.policy import EgressAction, WriteRefused, egress_action
from tracer_bullet.guards.registry import Armed, Guard

Headers = list[tuple[bytes, bytes]]
_patches: list[Patch] = []
_DEFAULT_PORTS = {b"http": 80, b"https": 443}


def _patch() -> None:
    import httpcore  # noqa: PLC0415  # only where the service uses it

    _patches.append(wrap(httpcore.ConnectionPool, "handle_request", _handle))
    _patches.append(wrap(httpcore.AsyncConnectionPool, "handle_async_request", _handle_async))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(name="httpx", module="httpcore", versions=">=1.0,<2", patch=_patch, unpatch=_unpatch)


def _handle(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    request = args[0] if args else kwargs["request"]
    with _guarded(scope, request) as answer:
        return wrapped(request) if answer is None else answer


async def _handle_async(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return await wrapped(*args, **kwargs)
    request = args[0] if args else kwargs["request"]
    with _guarded(scope, request) as answer:
        return await wrapped(request) if answer is None else answer


@contextlib.contextmanager
def _guarded(scope: Scope, request: Any) -> Iterator[Any]:
    """Judge a bullet's call: yields a ready answer, or None when the (rewritten) request is to be sent."""
    assert isinstance(scope.owner, Armed)  # noqa: S101  # scopes are made by armed guards alone
    host, port = request.url.host.decode("ascii"), request.url.port or _DEFAULT_PORTS.get(request.url.scheme)
    method = request.method.decode("ascii")
    path = request.url.target.partition(b"?")[0].decode("latin-1")
    url = f"{request.url.scheme.decode()}://{host}{'' if request.url.port is None else f':{port}'}{path}"
    action = egress_action(method, host, port, url, scope.owner.config)
    operation = f"{method} {host}{path}"
    evidence = write_attributes(action.decision, operation) if action.decision else {}
    about = {"http.request.method": method, "url.full": url, "server.address": host, "server.port": port or 0}
    with _client_span(scope, method, {**about, **evidence}, evidence):
        if action.refuse:
            raise WriteRefused(operation, action.refuse)
        if action.stub is not None:
            yield _answer(action)
            return
        if action.redirect_to:
            request.url = _redirected(request.url, action.redirect_to)
        request.headers = with_flag(request.headers, scope) if action.inside else without_flag(request.headers)
        yield None


def with_flag(headers: Headers, scope: Scope) -> Headers:
    """Headers with all three carriers and a trace context, whatever instrumentation did or did not write."""
    names = {name.lower() for name, _ in headers}
    if b"traceparent" not in names:
        fields: dict[str, str] = {}
        propagate.inject(fields)
        missing = [(k.encode(), v.encode()) for k, v in fields.items() if k.encode() not in names]
        headers = [*headers, *missing]
    kept = [(n, v) for n, v in headers if n.lower() not in (b"baggage", b"tracestate", b"x-tracer-bullet")]
    members = parse_baggage(_values(headers, BAGGAGE))
    return [
        *kept,
        (b"baggage", write_baggage(scope.context, members).encode("latin-1")),
        (b"tracestate", write_tracestate(_values(headers, TRACESTATE), flag=True).encode("latin-1")),
        (b"x-tracer-bullet", scope.context.token.encode()),
    ]


def without_flag(headers: Headers) -> Headers:
    """Headers without anything of ours: third parties never get it."""
    kept = [(n, v) for n, v in headers if n.lower() not in (b"baggage", b"tracestate", HEADER.encode())]
    baggage = strip_baggage(parse_baggage(_values(headers, BAGGAGE)))
    tracestate = write_tracestate(_values(headers, TRACESTATE), flag=False)
    rest = [(b"baggage", baggage), (b"tracestate", tracestate)]
    return [*kept, *((name, value.encode("latin-1")) for name, value in rest if value)]


def _values(headers: Headers, name: str) -> list[str]:
    return [v.decode("latin-1") for n, v in headers if n.lower() == name.encode()]


def _answer(action: EgressAction) -> Any:
    import httpcore  # noqa: PLC0415

    assert action.stub is not None  # noqa: S101
    content, kind = action.stub.content
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
    own = [(k.encode(), v.encode()) for k, v in action.stub.headers]
    kept = [h for h in headers if h[0] not in {k.lower() for k, _ in own}]
    return httpcore.Response(action.stub.status, headers=[*kept, *own], content=content)


def _redirected(url: Any, base: str) -> Any:
    import httpcore  # noqa: PLC0415

    to = httpcore.URL(base)
    target = to.target.rstrip(b"/") + url.target
    return httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=target)


@contextlib.contextmanager
def _client_span(scope: Scope, name: str, about: dict[str, Any], evidence: dict[str, Any]) -> Iterator[None]:
    """Put the evidence on the instrumentation's client span, or make one that stands for the call."""
    theirs = current_client_span()
    if theirs is not None:
        theirs.set_attributes(evidence)
        yield
        return
    assert isinstance(scope.owner, Armed)  # noqa: S101
    parent = span_parent(scope)
    with scope.owner.tracer.start_as_current_span(name, parent, trace.SpanKind.CLIENT, attributes=about):
        yield
