"""A target whose health can be changed, over real sockets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass
class Sick:
    """What it answers, and what it was asked. While `held` is set, it answers nothing."""

    status: int = 200
    body: bytes = b"fine"
    media_type: str = "text/plain"
    asked: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Target:
    """Serves on a free port; a context manager."""

    def __init__(self) -> None:
        self.says = says = Sick()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                says.asked.append((self.path, headers, self.client_address[1]))
                if says.held.is_set():
                    says.release.wait(60)
                self.send_response(says.status)
                self.send_header("content-type", says.media_type)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(says.body)))
                self.end_headers()
                self.wfile.write(says.body)

            def log_message(self, *_: object) -> None:
                return None

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, *_: object) -> None:  # whoever asked may have hung up
                return None

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.says.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
