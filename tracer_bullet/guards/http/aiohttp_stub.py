"""A stub's answer for aiohttp: a connection to nowhere that has the answer ready."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from tracer_bullet.guards.config import Stub
from tracer_bullet.guards.http.canned import answer_bytes


def canned_connection(request: Any, stub: Stub) -> Any:
    """A connection for one request, which no pool will ever hold; aiohttp reads the answer with its own parser.

    The request's body is left as it was.
    """
    if hasattr(request, "_body"):  # 3.12 made a property of `body`, which complains of what is replaced
        request._body = None
    else:
        request.body = b""
    loop = asyncio.get_running_loop()
    protocol = ResponseHandler(loop)
    protocol.connection_made(_Transport(loop, protocol, answer_bytes(stub)))
    return Connection(_Nowhere(), request.connection_key, protocol, loop)  # type: ignore[arg-type]


class _Transport(asyncio.Transport):
    """Swallows what is written, and answers when all of it is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, answer: bytes) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._answer = answer
        self._closing = False

    def write(self, data: Any) -> None:  # noqa: ARG002
        answer, self._answer = self._answer, b""
        if answer:
            # After the task that ends the request, which aiohttp may start only now, and cancels when it is late.
            self._loop.call_soon(self._loop.call_soon, self._receive, answer)

    def writelines(self, list_of_data: Any) -> None:
        self.write(list_of_data)

    def _receive(self, answer: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(answer)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_reading(self) -> bool:
        return not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Nowhere:
    """What a connection asks of its connector."""

    force_close = True

    def _release(self, _key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:  # noqa: ARG002
        protocol.close()
