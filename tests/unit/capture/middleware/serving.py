"""Applications behind real servers, and what was recorded of them, awaited by event and never by time."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from tracer_bullet.capture.take import Capture
from tracer_bullet.model.exchange import Exchange

WAIT_S = 30.0
BULLET = {"baggage": "request_type=TRACE,tb-run=r1"}


class Taken:
    """Where exchanges arrive. `capture`: what to give to a middleware."""

    def __init__(self, **options: Any) -> None:
        self._queue: Queue[Exchange] = Queue()
        self.capture = Capture(self._queue.put, **options)

    def next(self) -> Exchange:
        return self._queue.get(timeout=WAIT_S)

    @property
    def empty(self) -> bool:
        return self._queue.empty()


@contextmanager
def asgi_server(app: Any) -> Iterator[tuple[str, int]]:
    """uvicorn in a thread."""
    config = uvicorn.Config(app, loop="asyncio", http="httptools", lifespan="off", log_config=None, ws="wsproto")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        del args


class _Server(WSGIServer):
    def handle_error(self, *args: object) -> None:
        del args


@contextmanager
def wsgi_server(app: Any) -> Iterator[tuple[str, int]]:
    """wsgiref in a thread."""
    server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield "127.0.0.1", server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    where: tuple[str, int], method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One request over a connection of its own: status and body."""
    connection = http.client.HTTPConnection(*where, timeout=WAIT_S)
    try:
        connection.request(
            method, target, body=body, headers=headers or {}, encode_chunked=not isinstance(body, bytes | None)
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
