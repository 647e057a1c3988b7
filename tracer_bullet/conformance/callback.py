"""The server that the service under test calls: it keeps the headers of each call by the call's path."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tracer_bullet.errors import UsageError

Headers = list[tuple[str, str]]
"""Name, in lower case, and value, in the order in which they came."""


class Callback:
    """An HTTP server on `address` (`host:port`; port 0 takes a free one). A context manager.

    `url` is its address as the service under test reaches it. Raises UsageError TB812 when it cannot listen.
    """

    def __init__(self, address: str, url: str = "") -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = _Server((host.strip("[]"), int(port)), _Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError("TB812", "cannot listen for the service's calls", where=address, why=str(error)) from None
        self.url = url.rstrip("/") or f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="conformance-callback", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def calls(self, name: str) -> list[Headers]:
        """The calls that came to `{url}/{name}` so far."""
        with self._server.lock:
            return list(self._server.calls.get(name, ()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.lock = threading.Lock()
        self.calls: dict[str, list[Headers]] = {}
        super().__init__(*arguments)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each call waits for a delayed acknowledgement
    server: _Server

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        headers = [(key.lower(), value) for key, value in self.headers.items()]
        with self.server.lock:
            self.server.calls.setdefault(name, []).append(headers)
        body = b'{"called": true}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the report is the output."""
