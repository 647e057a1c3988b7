"""Real peers for HTTP clients under guard: a server that writes down what it got, and a proxy."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tracer_bullet.context.carriers import Claim, read_claim
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context


@dataclass
class Got:
    """One request, as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def claim(self) -> Claim | None:
        return claim_of(self.headers)


@dataclass
class Peer:
    """A real HTTP server. `/redirect?to=URL&status=307` sends elsewhere; all else is answered 201 and `answer`.

    `certificate`: a file to trust where it speaks TLS. `connections`: how many were opened. `cookie`: what it sets.
    """

    url: str = ""
    certificate: str = ""
    answer: bytes = b"real"
    requests: list[Got] = field(default_factory=list)
    connections: int = 0
    cookie: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def stored(self) -> list[str]:
        """Sorted bodies of its unsafe requests."""
        return sorted(r.body.decode() for r in self.requests if r.method not in ("GET", "HEAD"))


def claim_of(headers: dict[str, str]) -> Claim | None:
    values = [[headers[n]] if n in headers else [] for n in ("baggage", "tracestate", "x-tracer-bullet")]
    return read_claim(*values)


def bullet(armed: Armed, run_id: str = "run-1") -> Any:
    return entered(Scope(Context(run_id=run_id, token="a.b.c", user_id="u1"), armed))


@contextmanager
def serving(*, tls: bool = False) -> Iterator[Peer]:
    """A peer on a free port of 127.0.0.1."""
    found = Peer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            found.connections += 1
            super().setup()

        def _serve(self) -> None:
            body = _body(self)
            found.requests.append(Got(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            query = parse_qs(urlsplit(self.path).query)
            answer = found.answer
            if "to" in query:
                answer = b""
                self.send_response(int(query.get("status", ["307"])[0]))
                self.send_header("location", query["to"][0])
            else:
                self.send_response(201)
            if found.cookie:
                self.send_header("set-cookie", found.cookie)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder, _running(_Server(("127.0.0.1", 0), Handler)) as server:
        if tls:
            found.certificate, key = _self_signed(Path(folder))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(found.certificate, key)
            server.tls = context
        found.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        yield found


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:  # in the connection's own thread
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.tls is not None:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


@contextmanager
def proxying() -> Iterator[Peer]:
    """A forwarding and tunnelling proxy; `requests` are those that it was asked for, CONNECT among them.

    What it forwards it answers itself, `201 proxied`; tunnels are real, and lead to the CONNECT's port on 127.0.0.1.
    """
    found = Peer()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            found.requests.append(
                Got(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, _body(self))
            )
            self.send_response(201)
            self.send_header("content-length", "7")
            self.end_headers()
            self.wfile.write(b"proxied")

        def do_CONNECT(self) -> None:
            found.requests.append(Got("CONNECT", self.path, {k.lower(): v for k, v in self.headers.items()}, b""))
            with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(there, self.connection))
                back.start()
                _pump(self.connection, there)
                back.join()

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with _running(_Server(("127.0.0.1", 0), Handler)) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side hung up


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in handler.headers.get("transfer-encoding", ""):
        return handler.rfile.read(int(handler.headers.get("content-length", 0)))
    parts = []
    while size := int(handler.rfile.readline(), 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)


@contextmanager
def _running(server: _Server) -> Iterator[_Server]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _self_signed(folder: Path) -> tuple[str, str]:
    """Files of a certificate for 127.0.0.1 and payments.example, and of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("payments.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key").write_bytes(private)
    return str(folder / "certificate"), str(folder / "key")
