"""geventhttpclient, the client of FastHttpUser: one method by which all requests go, redirects and retries too."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from gevent import GreenletExit
from geventhttpclient.client import HTTPClient
from geventhttpclient.connectionpool import ConnectionPool

from tracer_bullet.load.locustfile.headers import CARRIERS
from tracer_bullet.load.locustfile.hosts import Standing
from tracer_bullet.load.locustfile.net import permitted
from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import hit


def patch(plugin: Plugin) -> None:
    """Sending, and connecting."""
    HTTPClient.request = _flagged(plugin, HTTPClient.request)  # type: ignore[method-assign]
    ConnectionPool._create_socket = _connected(plugin, ConnectionPool._create_socket)  # type: ignore[method-assign]


def _connected(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create_socket(self: Any) -> Any:
        plugin.judge(self._connection_host, self._connection_port)  # a proxy, where there is one
        with permitted():
            return original(self)

    return create_socket


def _flagged(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def request(self: Any, method: str, request_uri: str, body: Any = b"", headers: Any = None) -> Any:
        standing = plugin.judge(self.host, self.port)
        if standing is Standing.ALLOWED:
            if hit.get() is None:
                plugin.stranger(f"{method} {self.host}")
            return original(self, method, request_uri, body, headers)
        merged = self.headers_type()
        merged.update(headers or {})
        defaults = self.default_headers.items()
        own = [(n.lower(), str(v)) for n, v in (*defaults, *merged.items()) if n.lower() in CARRIERS]
        exchange, carriers, alone = plugin.begin_exchange(method, _url(self, request_uri), own)
        for name, value in carriers.items():
            merged[name] = value
        try:
            response = original(self, method, request_uri, body, merged)
        except BaseException as error:
            plugin.end_exchange(exchange, alone, error=_reason(error))
            raise
        plugin.end_exchange(exchange, alone, status=response.get_code())
        return response

    return request


def _url(client: Any, uri: str) -> str:
    if "://" in uri.partition("?")[0] and not uri.startswith("/"):
        uri = urlsplit(uri)._replace(scheme="", netloc="").geturl()
    host = f"[{client.host}]" if ":" in client.host else client.host
    return f"{'https' if client.ssl else 'http'}://{host}:{client.port}{uri if uri.startswith('/') else f'/{uri}'}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect"
    if isinstance(error, GreenletExit):
        return "stopped"  # Locust ends its users in the midst of what they do
    return "answer-timeout" if isinstance(error, TimeoutError) else "reset"
