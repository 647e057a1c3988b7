"""How a service is careless, done at its edges: in its HTTP client, its exporter, its worker threads.

None of it is a mock: the careless service is a real service that really loses something.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

import httpcore
import httpx
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from tracer_bullet.context.carriers import BAGGAGE, HEADER, TRACESTATE
from tracer_bullet.workspace.topology import Careless

T = TypeVar("T")

_DROPPED_HEADERS = {
    Careless.DROPS_BAGGAGE: (BAGGAGE,),
    Careless.DROPS_TRACESTATE: (TRACESTATE,),
    Careless.DROPS_FLAG: (BAGGAGE, TRACESTATE, HEADER),
    # A service under OpenTelemetry alone knows nothing of our header. Where services share a
    # process, they share the propagator too, which would forward it.
    Careless.NO_GUARD: (HEADER,),
}


def dropped_headers(careless: Collection[Careless]) -> frozenset[str]:
    """The headers that a service with these faults does not send on."""
    return frozenset(name for kind in careless for name in _DROPPED_HEADERS.get(kind, ()))


def drops_span(careless: Collection[Careless], span: ReadableSpan) -> bool:
    """Whether a service with these faults never exports this span."""
    if Careless.DROPS_SPANS in careless and span.kind is SpanKind.SERVER:
        return True
    attributes = span.attributes or {}
    return Careless.DROPS_DATABASE_SPANS in careless and ("db.system" in attributes or "db.system.name" in attributes)


class ForgetfulTransport(httpx.AsyncHTTPTransport):
    """Sends requests without some headers.

    They go at the last moment, in the connection: below OpenTelemetry's and our own wrappers, as
    a careless proxy next to the service would drop them.
    """

    def __init__(self, forgets: Collection[str], keepalive_s: float) -> None:
        super().__init__(limits=httpx.Limits(keepalive_expiry=keepalive_s), trust_env=False)
        if forgets:
            self._pool = _ForgetfulPool(frozenset(name.encode() for name in forgets), keepalive_s)


class _ForgetfulPool(httpcore.AsyncConnectionPool):
    def __init__(self, forgets: frozenset[bytes], keepalive_s: float) -> None:
        super().__init__(max_connections=100, keepalive_expiry=keepalive_s)
        self._forgets = forgets
        self._keepalive_s = keepalive_s

    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _ForgetfulConnection(self._forgets, origin=origin, keepalive_expiry=self._keepalive_s)


class _ForgetfulConnection(httpcore.AsyncHTTPConnection):
    def __init__(self, forgets: frozenset[bytes], **settings: Any) -> None:
        super().__init__(**settings)
        self._forgets = forgets

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        request.headers = [(name, value) for name, value in request.headers if name.lower() not in self._forgets]
        return await super().handle_async_request(request)


class ForgetfulExporter(SpanExporter):
    """Exports all spans but those that `forgets` says."""

    def __init__(self, inner: SpanExporter, forgets: Callable[[ReadableSpan], bool]) -> None:
        self._inner = inner
        self._forgets = forgets

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what is not forgotten."""
        kept = [span for span in spans if not self._forgets(span)]
        return self._inner.export(kept) if kept else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Shut the exporter inside down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter inside."""
        return self._inner.force_flush(timeout_millis)


class OwnThreads:
    """A hand-written worker pool, as old code bases have them.

    It hands the OpenTelemetry context to its threads, as its authors read in a blog, and so its
    spans are in the trace. Of any other context variable it knows nothing.
    """

    def __init__(self, name: str, threads: int = 2) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """What the coroutine function gives, run by a worker thread in an event loop of its own."""
        done: Future[T] = Future()
        spans = otel_context.get_current()

        async def awaited() -> T:
            return await function()

        def job() -> None:
            token = otel_context.attach(spans)
            try:
                done.set_result(asyncio.run(awaited()))
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                done.set_exception(error)
            finally:
                otel_context.detach(token)

        self._jobs.put(job)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End the threads when their work is done."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
