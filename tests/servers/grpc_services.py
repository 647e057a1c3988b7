"""A ledger behind gRPC, on a free port of 127.0.0.1: one method of each kind, sync or asyncio.

    service tests.Ledger {
      rpc Add(StringValue) returns (StringValue);
      rpc Watch(StringValue) returns (stream StringValue);
      rpc AddAll(stream StringValue) returns (StringValue);
      rpc Talk(stream StringValue) returns (stream StringValue);
    }

Messages are protobuf's well-known types, so that no code is generated. What a method does is
the test's: `add(value)`, called once for each value that arrives, answers with a text.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

from tests.servers.loops import end_loop

SERVICE = "tests.Ledger"
KINDS = {"Add": "unary_unary", "Watch": "unary_stream", "AddAll": "stream_unary", "Talk": "stream_stream"}
WORKERS = 2
_GRACE_S = 5.0


class LedgerStub:
    """As generated code makes it, for sync and asyncio channels."""

    def __init__(self, channel: Any) -> None:
        for name, kind in KINDS.items():
            call = getattr(channel, kind)(
                f"/{SERVICE}/{name}",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )
            setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def text(value: str) -> StringValue:
    return StringValue(value=value)


def add_ledger(server: Any, add: Callable[[str], str]) -> None:
    """Sync handlers; a streamed answer has two messages, of which the second is made when it is asked for."""

    def one(request: Any, _context: Any) -> Any:
        return text(add(request.value))

    def watch(request: Any, _context: Any) -> Iterator[Any]:
        yield text(add(request.value + "-1"))
        yield text(add(request.value + "-2"))

    def add_all(requests: Any, _context: Any) -> Any:
        return text(",".join([add(r.value) for r in requests]))

    def talk(requests: Any, _context: Any) -> Iterator[Any]:
        for request in requests:
            yield text(add(request.value))

    _register(server, {"Add": one, "Watch": watch, "AddAll": add_all, "Talk": talk})


def add_aio_ledger(server: Any, add: Callable[[str], Awaitable[str]], *, writer: bool = False) -> None:
    """Asyncio handlers; `writer`: streamed answers are written to the context instead of yielded."""

    async def one(request: Any, _context: Any) -> Any:
        return text(await add(request.value))

    async def watch(request: Any, _context: Any) -> AsyncIterator[Any]:
        yield text(await add(request.value + "-1"))
        yield text(await add(request.value + "-2"))

    async def watch_writing(request: Any, context: Any) -> None:
        await context.write(text(await add(request.value + "-1")))
        await context.write(text(await add(request.value + "-2")))

    async def add_all(requests: Any, _context: Any) -> Any:
        return text(",".join([await add(r.value) async for r in requests]))

    async def talk(requests: Any, _context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield text(await add(request.value))

    _register(server, {"Add": one, "Watch": watch_writing if writer else watch, "AddAll": add_all, "Talk": talk})


def _register(server: Any, handlers: dict[str, Any]) -> None:
    methods = {
        name: getattr(grpc, f"{KINDS[name]}_rpc_method_handler")(
            handler, request_deserializer=StringValue.FromString, response_serializer=StringValue.SerializeToString
        )
        for name, handler in handlers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


@contextmanager
def run_server(fill: Callable[[Any], None], **settings: Any) -> Iterator[str]:
    """A sync server with few threads, so that calls meet each other's; its address."""
    server = grpc.server(ThreadPoolExecutor(WORKERS), **settings)
    fill(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def run_aio_server(
    fill: Callable[[Any], None],
    make: Callable[[], Any] | None = None,
    close: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Iterator[str]:
    """An asyncio server on an event loop in a thread of its own; its address. `make`, and at the end `close`, run on
    the loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Any, int]:
        server = grpc.aio.server() if make is None else make()
        fill(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    try:
        server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            # A handler whose last message has just gone out is not there yet: give it the time to end by itself.
            asyncio.run_coroutine_threadsafe(server.stop(_GRACE_S), loop).result(60)
            if close is not None:
                asyncio.run_coroutine_threadsafe(close(), loop).result(60)
    finally:
        end_loop(loop, thread)
