"""A small site that is recorded by the real tools: a page with scripts, a login, forms, bytes, codings, redirects."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"""<!doctype html><meta charset=utf-8><title>Shop</title><link rel=icon href="data:,"><script>
async function all() {
  await fetch("/login", {method: "POST", headers: {"content-type": "application/json"}, body: '{"name":"\\u00e4nne"}'});
  await fetch("/items?q=%C3%A4pfel%20rot");
  await fetch("/form", {method: "POST", body: new URLSearchParams({a: "1 2", b: "\\u00e4&="})});
  await fetch("/bytes", {method: "POST", body: new Uint8Array([120, 0, 255, 254])});
  await fetch("/old");
  await fetch("/none", {method: "DELETE"});
  document.title = "done";
}
all();
</script>"""
ITEMS = b'{"items": ["\xc3\xa4pfel"]}' * 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "shop"
    sys_version = ""
    wbufsize = -1
    seen: dict[str, bytes]

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if self.headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        self.seen[self.path] = body
        path = self.path.partition("?")[0]
        if path == "/login":
            self._send(200, b'{"token": "t1"}', "application/json",
                       [("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "theme=dark")])  # fmt: skip
        elif path == "/items":
            self._send(200, gzip.compress(ITEMS, mtime=0), "application/json", [("Content-Encoding", "gzip")])
        elif path == "/old":
            self._send(302, b"", "text/plain", [("Location", "/new")])
        elif path == "/none":
            self._send(204, b"", "", [])
        elif path == "/chunks":
            self._send_chunks()
        elif path == "/":
            self._send(200, PAGE, "text/html; charset=utf-8", [])
        else:
            self._send(200, body[::-1], "application/octet-stream", [])

    def _chunks(self) -> bytes:
        out = b""
        while size := int(self.rfile.readline(), 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _send(self, status: int, body: bytes, kind: str, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in [*headers, *([("Content-Type", kind)] if kind else [])]:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"abc", b"defgh"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def shop(seen: dict[str, bytes] | None = None) -> Iterator[int]:
    """Its port on 127.0.0.1, until the block ends. `seen` gets the bodies that came, by their target."""
    handler = type("Handler", (_Handler,), {"seen": {} if seen is None else seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# What `visit` sends: method, target, headers, body. A list as a body is sent in chunks.
VISIT: list[tuple[str, str, dict[str, str], bytes | list[bytes]]] = [
    ("POST", "/login", {"Content-Type": "application/json"}, '{"name":"änne"}'.encode()),
    ("GET", "/items?q=%C3%A4pfel&x=1|2", {"Accept-Encoding": "gzip", "Cookie": "sid=1; theme=dark"}, b""),
    ("POST", "/form", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1+2&b=%C3%A4%26%3D"),
    ("POST", "/bytes", {"Content-Type": "application/octet-stream"}, b"x\0\xff\xfe\n"),
    ("PUT", "/upload", {"Transfer-Encoding": "chunked"}, [b"first", b"second\r\n"]),
    ("HEAD", "/items", {}, b""),
    ("GET", "/old", {}, b""),
    ("DELETE", "/none", {}, b""),
    ("GET", "/chunks", {}, b""),
]


def visit(port: int, host: str = "") -> None:
    """Send VISIT over one connection to 127.0.0.1:`port`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        for method, target, headers, body in VISIT:
            more = {"Host": host} if host else {}
            data = iter(body) if isinstance(body, list) else body or None
            chunked = isinstance(body, list)
            connection.request(method, target, body=data, headers={**headers, **more}, encode_chunked=chunked)
            connection.getresponse().read()
    finally:
        connection.close()
