"""The standard library's HTTP client, and so requests, urllib3, urllib and xmlrpc: where headers leave.

`endheaders` is where a request is known, whichever way it was built, and nothing of it has been sent.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3.connection
from gevent import GreenletExit

from tracer_bullet.load.locustfile.headers import CARRIERS
from tracer_bullet.load.locustfile.hosts import Standing, refuse
from tracer_bullet.load.locustfile.net import permitted
from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import hit

_SENT: Final = "_tracer_bullet_exchange"


def patch(plugin: Plugin) -> None:
    """Connecting, sending the head, and reading the answer's head."""
    base = http.client.HTTPConnection
    base.endheaders = _flagged(plugin, base.endheaders)  # type: ignore[method-assign]
    base.getresponse = _answered(plugin, base.getresponse)  # type: ignore[method-assign]
    for kind in (
        base,
        http.client.HTTPSConnection,
        urllib3.connection.HTTPConnection,
        urllib3.connection.HTTPSConnection,
    ):
        if "connect" in vars(kind):
            kind.connect = _connected(plugin, kind.connect)  # type: ignore[method-assign]


def _connected(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def connect(self: Any) -> Any:
        plugin.judge(self.host, self.port)  # a proxy, where there is one
        if type(self).endheaders is not http.client.HTTPConnection.endheaders:
            raise refuse(self.host, self.port)  # as urllib3's HTTP/2, whose headers do not leave here
        with permitted():
            return original(self)

    return connect


def _flagged(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        lines: list[bytes] = self._buffer  # there is no other way to the headers
        if not lines:
            return original(self, *args, **kwargs)  # it complains
        method, url, standing = "", "", Standing.REFUSED
        try:
            method, url = _request(self, lines[0])
            parts = urlsplit(url)
            standing = plugin.judge(parts.hostname or "", parts.port)
            if standing is Standing.ALLOWED:
                current = hit.get()
                if current is None:
                    plugin.stranger(f"{method} {parts.hostname}")
                return original(self, *args, **kwargs)
            own = [_header(line) for line in lines[1:]]
            exchange, carriers, alone = plugin.begin_exchange(method, url, [h for h in own if h[0] in CARRIERS])
        except BaseException:
            self.close()  # as after a failed connect: it can be used again
            del lines[:]
            raise
        lines[1:] = [line for line in lines[1:] if _header(line)[0] not in CARRIERS]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in carriers.items()]
        vars(self)[_SENT] = (exchange, alone)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            vars(self).pop(_SENT, None)
            plugin.end_exchange(exchange, alone, error="connect" if self.sock is None else _reason(error))
            raise

    return endheaders


def _answered(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        exchange, alone = vars(self).pop(_SENT, (None, None))
        if exchange is None:
            return original(self, *args, **kwargs)
        try:
            response = original(self, *args, **kwargs)
        except BaseException as error:
            plugin.end_exchange(exchange, alone, error=_reason(error))
            raise
        plugin.end_exchange(exchange, alone, status=response.status)
        return response

    return getresponse


def _request(connection: Any, line: bytes) -> tuple[str, str]:
    """Method and whole URL of a request: whom it is for, not the proxy that it may go through."""
    method, _, rest = line.decode("latin-1").partition(" ")
    target = rest.rpartition(" ")[0]
    if "://" in target.partition("?")[0] and not target.startswith("/"):
        parts = urlsplit(target)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return method, parts._replace(netloc=f"{_bracketed(parts.hostname or '')}:{port}").geturl()
    host, port = connection._tunnel_host, connection._tunnel_port
    secure = bool(host) or isinstance(connection, http.client.HTTPSConnection)
    if not host:
        host, port = connection.host, connection.port
    return method, f"{'https' if secure else 'http'}://{_bracketed(host)}:{port}{target}"


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip().lower(), value.replace("\r\n\t", " ").strip()


def _reason(error: BaseException) -> str:
    if isinstance(error, GreenletExit):
        return "stopped"  # Locust ends its users in the midst of what they do
    return "answer-timeout" if isinstance(error, TimeoutError) else "reset"
