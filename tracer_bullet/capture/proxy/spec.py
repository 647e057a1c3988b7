"""What a capturing proxy is told to be: where it listens, what is behind it, and how much of a body it keeps."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tracer_bullet.errors import UsageError

DEFAULT_BODY_LIMIT: Final = 1_048_576
# A document with two such bodies in base64 is what the reader of taps takes.
MAX_BODY_LIMIT: Final = 16 * 1_048_576
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server behind the proxy. `host` is a name or an address, an IPv6 address without its brackets."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """Whether `host` is an IP address, and nothing has to be looked up."""
        return _is_address(self.host)

    @property
    def authority(self) -> str:
        """As a client would write it into its Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySpec:
    """A reverse proxy on `host`:`port` (0: any free port) before `target`.

    `body_limit`: bytes kept of each body, of either direction. `log_only`: the access log alone, without headers and
    bodies. `rewrite_host`: the target sees its own name in Host; else what the client sent. `upstream`: the HTTP
    version spoken to the target, `same` as the client's. `ca_file` and `verify` are about the target's certificate;
    with `certificate` and `private_key` (PEM) the proxy itself speaks TLS. `drain_s`: how long a stop waits for
    requests under way. `queue_bytes`: what may wait to be recorded; beyond it exchanges are dropped, and counted.
    `stall_s`: when our process takes nothing for so long, Envoy stops telling it, and its memory stays small.
    """

    host: str
    port: int
    target: Target
    body_limit: int = DEFAULT_BODY_LIMIT
    log_only: bool = False
    rewrite_host: bool = False
    upstream: Literal["same", "1.1", "2"] = "same"
    ca_file: Path | None = None
    verify: bool = True
    certificate: Path | None = None
    private_key: Path | None = None
    threads: int = 1
    drain_s: float = 5.0
    queue_bytes: int = 256 * 1_048_576
    stall_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.body_limit <= MAX_BODY_LIMIT:
            raise UsageError(
                "TB940", f"a body limit of {self.body_limit} bytes", cure=f"take 0 to {MAX_BODY_LIMIT} bytes"
            )
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("TB940", "TLS needs both a certificate and its private key", cure="give both, or neither")


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT` (the loopback address) or `[::1]:PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    host = "127.0.0.1" if host in ("", "localhost") else host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535 or not _is_address(host):
        raise UsageError(
            "TB940",
            f"{text!r} is no address to listen on",
            cure="write an IP address and a port, as 127.0.0.1:8080, or only :8080",
        )
    return host, int(port)


def parse_target(url: str) -> Target:
    """The server that a URL names. Raises UsageError when it is no http(s) URL, or has more than a server in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError("TB940", f"{url!r} is no http:// or https:// URL", cure="write it as http://127.0.0.1:9000")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise UsageError(
            "TB940",
            f"{url!r} has more in it than a server",
            why="the proxy passes paths on as they come",
            cure=f"write {parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        )
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Target(scheme=scheme, host=host, port=_PORTS[scheme] if port is None else port)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
