"""ClickHouse's HTTP interface in front of chDB.

No registry that tests may use has a server of this decade; what answers the SQL here is ClickHouse itself, and only the
few parts of its HTTP interface that the client uses are made: users, sessions, settings as parameters, error codes.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.clickhouse import ChdbClient

USER, PASSWORD = "reader", "s3cret:/@"


class Front(ThreadingHTTPServer):
    """`asked` holds the parameters of each request, `statements` its SQL."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.statements: list[str] = []
        self.client = ChdbClient()
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers["content-length"])).decode()
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.statements.append(sql)
            if (self.headers["X-ClickHouse-User"], self.headers["X-ClickHouse-Key"]) != (USER, PASSWORD):
                self._answer(403, b"Code: 516. DB::Exception: reader: Authentication failed", code=516)
                return
            self._run(sql)

    def _run(self, sql: str) -> None:
        query, arrow, _ = sql.partition(" FORMAT ArrowStream")
        try:
            session: Any = ChdbClient._session
            body = session.query(query, "ArrowStream" if arrow else "CSV").bytes() or b""
        except RuntimeError as error:
            found = re.search(r"Code: (\d+)", str(error))
            code = int(found[1]) if found else 0
            self._answer(404 if code in (60, 81) else 500, str(error).encode(), code=code)
            return
        self._answer(200, body)

    def _answer(self, status: int, body: bytes, *, code: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if code is not None:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def run_front() -> Iterator[Front]:
    front = Front()
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
