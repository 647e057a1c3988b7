"""The same requests for every server, and a service behind it that says when each arrived."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TIMEOUT_S = 30.0
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# What a header may hold: a quote, a backslash, a tab, a byte that is no UTF-8, and what looks like the end of a field.
ODD_AGENT = 'a"b\\c \xff\tz " " 9'

_FULL = (
    f"GET /items?q=%C3%A4&x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11) [en]\r\n"
    f"Referer: https://www.example.com/start.html\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n"
    f"X-Request-Id: 6f1c\r\ntraceparent: {TRACEPARENT}\r\nCookie: theme=dark; sid=abc\r\nConnection: close\r\n\r\n"
)
REQUESTS = {
    "full": _FULL,
    "post": "POST /orders HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "empty post": "POST /logout HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "head": "HEAD /items HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    "odd": f"GET /q HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: {ODD_AGENT}\r\nConnection: close\r\n\r\n",
    "escaped": "GET /a%20b%3Fc?d=e HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    "delete": "DELETE /orders/7 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    "absolute": "GET http://abs.example:8081/p?q=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    "slow": "GET /slow HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
}
GARBAGE = ("\x16\x03\x01\x02\x00\x01\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "")


@dataclass
class Upstream:
    """A service on a free port. `arrived_ns` and `answered_ns` by path; `/slow` is answered in a later second."""

    port: int
    arrived_ns: dict[str, int] = field(default_factory=dict)
    answered_ns: dict[str, int] = field(default_factory=dict)


@contextmanager
def upstream() -> Iterator[Upstream]:
    known: list[Upstream] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            known[0].arrived_ns[self.path] = time.time_ns()
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/slow":
                began_s = int(time.time())
                while int(time.time()) == began_s:  # a clock has no event
                    time.sleep(0.02)
            known[0].answered_ns[self.path] = time.time_ns()
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", "5")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"hello")

        do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known.append(Upstream(port=int(server.server_address[1])))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield known[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, request: str) -> bytes:
    """Send bytes (latin-1), and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request.encode("latin-1"))
        if not request:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def visit(port: int) -> dict[str, tuple[int, int]]:
    """All of them, one after the other; when each was sent, and its answer was there."""
    times = {}
    for name, request in REQUESTS.items():
        began = time.time_ns()
        assert ask(port, request).startswith(b"HTTP/1.1 200"), name
        times[name] = began, time.time_ns()
    for request in GARBAGE:
        ask(port, request)
    return times
