"""Inbound guard for gRPC servers, sync (`grpc.server`) and asyncio (`grpc.aio.server`), all four kinds of call.

Metadata carries the flag under the names that HTTP headers have. A call without it goes to
its handler untouched. A bullet's scope lasts until its (streamed) response is over; the
handler of a call that the client has given up keeps it for as long as it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

from opentelemetry import context as otel_context

from tracer_bullet.context.carriers import BAGGAGE, CARRIER_NAMES, HEADER, TRACESTATE, Claim, read_claim
from tracer_bullet.context.decide import Admission, decide
from tracer_bullet.context.scope import Closer, Scope, entered, inherited_scope, switch
from tracer_bullet.guards.inbound import first, is_nested, open_scope, problem, record_refusal, untangled
from tracer_bullet.guards.registry import Armed, default
from tracer_bullet.guards.testers import tester_scope
from tracer_bullet.model import FlagState

PROBLEM_KEY: Final = "x-tracer-bullet-problem"
"""Trailing metadata of a refusal: the problem document (RFC 9457), as JSON in ASCII."""

_NAMES = frozenset(CARRIER_NAMES)
_Headers = dict[str, list[str]]


def server_interceptor(armed: Armed | None = None) -> Any:
    """An interceptor for `grpc.server(…, interceptors=[…])`; put it first.

    `armed`: the service's guards; by default those that `arm()` armed for this process.
    """
    return _interceptors()[0](armed)


def aio_server_interceptor(armed: Armed | None = None) -> Any:
    """The same for `grpc.aio.server`."""
    return _interceptors()[1](armed)


@cache
def _interceptors() -> tuple[Any, Any]:
    """The two classes, made when first asked for, so that only users of gRPC import it."""
    import grpc  # noqa: PLC0415

    class ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
        def __init__(self, armed: Armed | None) -> None:
            self._armed = armed

        def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
            handler = continuation(details)
            plain = _is_plain(handler, details, self._armed)
            return handler if plain else _guarded(handler, details, self._armed, aio=False)

    class AioServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        def __init__(self, armed: Armed | None) -> None:
            self._armed = armed

        async def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
            handler = await continuation(details)
            plain = _is_plain(handler, details, self._armed)
            return handler if plain else _guarded(handler, details, self._armed, aio=True)

    return ServerInterceptor, AioServerInterceptor


def read_metadata_claim(metadata: Iterable[tuple[str, str | bytes]] | None) -> Claim | None:
    """What a call's metadata claims; None, and cheap, when it does not mention a bullet."""
    found: _Headers = {}
    for name, value in metadata or ():
        if name in _NAMES:
            found.setdefault(name, []).append(value.decode("latin-1") if isinstance(value, bytes) else value)
    return read_claim(found.get(BAGGAGE, ()), found.get(TRACESTATE, ()), found.get(HEADER, ())) if found else None


def _is_plain(handler: Any, details: Any, armed: Armed | None) -> bool:
    """Whether this is a customer's call, served as if there were no guard: all but what a context left behind, and
    all in a service that has tester accounts."""
    if handler is None:  # no such method: the server says so
        return True
    if inherited_scope() is not None or read_metadata_claim(details.invocation_metadata) is not None:
        return False
    armed = armed or default()
    return armed is None or not armed.config.testers


_FACTORIES = (
    ("unary_unary", "unary_unary_rpc_method_handler"),
    ("unary_stream", "unary_stream_rpc_method_handler"),
    ("stream_unary", "stream_unary_rpc_method_handler"),
    ("stream_stream", "stream_stream_rpc_method_handler"),
)


def _guarded(handler: Any, details: Any, armed: Armed | None, *, aio: bool) -> Any:
    """A handler of the same kind that serves one call under the guard."""
    import grpc  # noqa: PLC0415

    call = _Call(details, armed)
    name, factory = _FACTORIES[2 * bool(handler.request_streaming) + bool(handler.response_streaming)]
    behavior = getattr(handler, name)
    return getattr(grpc, factory)(
        _wrapper(behavior, call, streamed=handler.response_streaming, aio=aio),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _wrapper(behavior: Callable[..., Any], call: _Call, *, streamed: bool, aio: bool) -> Callable[..., Any]:
    """The server tells handlers apart by what kind of function they are, and so that is kept."""
    if aio and inspect.isasyncgenfunction(behavior):

        async def generate(request: Any, context: Any) -> AsyncGenerator[Any]:
            async with contextlib.aclosing(_Stream(behavior, call).messages(request, context)) as messages:
                async for message in messages:
                    yield message

        return generate
    if aio and inspect.iscoroutinefunction(behavior):

        async def answer(request: Any, context: Any) -> Any:
            async with call.served(context):
                return await behavior(request, context)

        return answer
    if streamed:
        return lambda request, context: _Messages(behavior, call, request, context)

    def respond(request: Any, context: Any) -> Any:
        return _Run(call, context).only(behavior, request, context)

    return respond


class _Call:
    """One RPC: what it claims, and what becomes of it."""

    def __init__(self, details: Any, armed: Armed | None) -> None:
        self._method = details.method
        self.headers: _Headers = {}
        for name, value in details.invocation_metadata or ():
            if not name.endswith("-bin"):
                self.headers.setdefault(name, []).append(_text(value))
        self.claim = read_metadata_claim(details.invocation_metadata)
        self.traceparent = first(self.headers, "traceparent")
        self.armed = armed or default()

    def admit(self) -> Admission:
        """The decision on this call."""
        if self.claim is None or self.armed is None:
            return decide(self.claim, None)
        return self.armed.admit(self.claim)

    def tester(self) -> Scope | None:
        """The scope of a call without the flag that names a tester's account."""
        if self.armed is None or not self.armed.config.testers:
            return None
        return tester_scope(self.armed, self.headers.get(BAGGAGE, ()))

    def is_nested(self) -> bool:
        """Whether an interceptor outside of this one serves it already."""
        return self.claim is not None and self.armed is not None and is_nested(self.armed, self.traceparent)

    def refusal(self, admission: Admission) -> tuple[Any, str, tuple[tuple[str, str], ...]]:
        """Leave it on the trace; status code, details and trailing metadata of the answer."""
        import grpc  # noqa: PLC0415

        record_refusal(self.armed, admission, self.headers, f"{self._method} refused")
        code = grpc.StatusCode.UNAVAILABLE if admission.reason == "disabled" else grpc.StatusCode.PERMISSION_DENIED
        document = problem(admission, self.armed.config.service if self.armed is not None else "").decode("ascii")
        return code, admission.reason, ((PROBLEM_KEY, document),)

    @contextlib.asynccontextmanager
    async def served(self, context: Any) -> AsyncIterator[None]:
        """Run the block as this call, in an asyncio handler; a refusal raises what `abort` raises."""
        if self.is_nested():
            yield
            return
        with untangled(self.traceparent):
            scope = await self.open(context)
            if scope is None:
                yield
                return
            try:
                with entered(scope):
                    yield
            finally:  # a call that was cancelled must still roll back
                await asyncio.shield(asyncio.ensure_future(self.close(scope)))

    async def open(self, context: Any) -> Scope | None:
        """The scope of a bullet or a tester; None for a customer. A refusal raises what `abort` raises."""
        admission = self.admit()
        if admission.state is FlagState.ABSENT:
            return self.tester()
        if admission.state is not FlagState.VALID or self.armed is None:
            code, details, trailing = self.refusal(admission)
            await context.abort(code, details, trailing)
            raise AssertionError("abort() raises")
        scope, _ = open_scope(self.armed, admission, self.headers)
        for late in self.armed.late(scope.trace_id):
            await asyncio.to_thread(late.closed.wait, self.armed.config.hold_s)
        return scope

    async def close(self, scope: Scope) -> None:
        """End a scope and release what it had open; a second call does nothing."""
        if scope.ended:
            return
        try:
            for closer in self.sealed(scope):
                await closer.aclose()
        finally:
            self.owner.closed(scope)

    def sealed(self, scope: Scope) -> list[Closer]:
        """End a scope; what it had open."""
        with self.owner.sealed(scope, scope.parent) as closers:
            pass
        return closers

    @property
    def owner(self) -> Armed:
        """The service that admitted the bullet."""
        assert self.armed is not None  # noqa: S101  # no scope without it
        return self.armed


class _Stream:
    """A streamed response of an asyncio handler, and its end, which comes once, from whichever side.

    Nothing here is undone by a token: a stream that the server drops is closed by the event loop, in
    another context, where no token would be good. An RPC's task has a context of its own.
    """

    def __init__(self, behavior: Callable[..., Any], call: _Call) -> None:
        self._behavior = behavior
        self._call = call
        self._scope: Scope | None = None
        self._messages: Any = None
        self._finishing: asyncio.Future[None] | None = None

    async def messages(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        """What the handler yields."""
        call = self._call
        if not call.is_nested():
            otel_context.attach(_untangled_context(call.traceparent))
            switch(None)
            self._scope = await call.open(context)
            switch(self._scope)
            # Where the server drops the stream without closing it, the call's end is the scope's.
            context.add_done_callback(lambda _context: self._finish())
        self._messages = self._behavior(request, context)
        try:
            async for message in self._messages:
                yield message
        finally:
            await asyncio.shield(self._finish())
            if self._scope is not None and inherited_scope() is self._scope:
                switch(None)

    def _finish(self) -> asyncio.Future[None]:
        if self._finishing is None:
            self._finishing = asyncio.ensure_future(self._end())
        return self._finishing

    async def _end(self) -> None:
        try:
            if self._messages is not None:
                with entered(self._scope or inherited_scope()):
                    await self._messages.aclose()
        finally:
            if self._scope is not None:
                await self._call.close(self._scope)


def _untangled_context(traceparent: str) -> otel_context.Context:
    """The trace context that a request is to run under, without what another request left in this one."""
    with untangled(traceparent):
        return otel_context.get_current()


class _Run:
    """One call of a handler in a pool thread. It has a context of its own: the thread must not keep the scope."""

    def __init__(self, call: _Call, context: Any) -> None:
        self._call = call
        self._scope: Scope | None = None
        self._nested = call.is_nested()
        self._context = contextvars.copy_context()
        if not self._nested:
            self._context.run(self._open, context)

    def only(self, behavior: Callable[..., Any], *args: Any) -> Any:
        """The whole call: a single response."""
        try:
            return self.step(behavior, *args)
        finally:
            self.end()

    def step(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a part of the handler."""
        return function(*args) if self._nested else self._context.run(function, *args)

    def end(self) -> None:
        """The call is over; a second call does nothing."""
        if self._scope is None or self._scope.ended:
            return
        try:
            for closer in self._call.sealed(self._scope):
                closer.close()
        finally:
            self._call.owner.closed(self._scope)

    def _open(self, context: Any) -> None:
        # No token undoes this: the context is thrown away with the call.
        otel_context.attach(_untangled_context(self._call.traceparent))
        switch(None)
        admission = self._call.admit()
        if admission.state is FlagState.ABSENT:
            self._scope = self._call.tester()
            switch(self._scope)
            return
        if admission.state is not FlagState.VALID or self._call.armed is None:
            code, details, trailing = self._call.refusal(admission)
            context.set_trailing_metadata(trailing)
            context.abort(code, details)
            raise AssertionError("abort() raises")
        armed = self._call.armed
        scope, _ = open_scope(armed, admission, self._call.headers)
        for late in armed.late(scope.trace_id):
            late.closed.wait(armed.config.hold_s)
        self._scope = scope
        switch(scope)


class _Messages:
    """A streamed response of a handler in a pool thread; the scope opens with the first message asked for.

    The server runs it to its end, or drops it when the client is gone; then nobody holds it any
    more, and it closes itself. Until then the handler may still write, and is the bullet's.
    """

    def __init__(self, behavior: Callable[..., Any], call: _Call, request: Any, context: Any) -> None:
        self._start = (behavior, call, request, context)
        self._run: _Run | None = None
        self._messages: Any = None
        self._over = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            if self._run is None:
                behavior, call, request, context = self._start
                self._run = _Run(call, context)
                self._messages = iter(self._run.step(behavior, request, context))
            return self._run.step(next, self._messages)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the call; a second call does nothing."""
        if self._over:
            return
        self._over = True
        if self._run is not None:
            try:
                if hasattr(self._messages, "close"):
                    self._run.step(self._messages.close)
            finally:
                self._run.end()

    def __del__(self) -> None:
        self.close()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
