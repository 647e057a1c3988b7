"""Tempo's API, of which no program can be had: a stand-in.

It answers `GET /api/v2/traces/{id}` as Tempo's API documentation and recorded answers have
it (base64 ids, enum names, `status`), 404 for a trace it does not know, and 401 without a tenant.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToDict

from tests.servers.otlp import to_request
from tracer_bullet.model import Span

Answer = tuple[int, bytes]


@contextmanager
def _serve(answer: Callable[[str, dict[str, str], bytes], Answer]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, said = answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Tempo:
    """A running stand-in."""

    url: str
    deliver: Callable[[Sequence[Span]], None]


@contextmanager
def serve_tempo() -> Iterator[Tempo]:
    """Tempo's API over the spans delivered."""
    held: list[Span] = []

    def answer(path: str, headers: dict[str, str], _: bytes) -> Answer:
        if not headers.get("x-scope-orgid"):
            return 401, b"no org id"
        trace_id = urlsplit(path).path.removeprefix("/api/v2/traces/")
        spans = [s for s in held if s.trace_id == trace_id]
        if not spans:
            return 404, b"trace not found"
        trace = MessageToDict(to_request(spans))
        return 200, json.dumps({"trace": trace, "status": "COMPLETE", "metrics": {}}).encode()

    with _serve(answer) as url:
        yield Tempo(url, held.extend)
