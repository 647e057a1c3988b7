"""Where a client span says that it went, in old and new semantic conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

HOSTS: Final = ("server.address", "net.peer.name")
PORTS: Final = ("server.port", "net.peer.port")
URLS: Final = ("url.full", "http.url")
PEER_ADDRESSES: Final = ("network.peer.address", "net.sock.peer.addr", "net.peer.ip")
DATABASES: Final = ("db.system.name", "db.system")
BROKERS: Final = ("messaging.system",)

_DEFAULT_PORTS = {"http": 80, "https": 443}


def first(attributes: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first non-empty value among `names`, or an empty text."""
    return next((v for n in names if (v := attributes.get(n))), "")


def address_of(attributes: Mapping[str, str]) -> tuple[str, int | None]:
    """(host, port) that was called; empty and None where unknown.

    The named server comes before the URL's host and that before the socket's peer, which
    may be a proxy.
    """
    host, port = first(attributes, HOSTS), _port(first(attributes, PORTS))
    url_host, url_port = _url_address(first(attributes, URLS))
    if not host and url_host:
        return url_host, url_port
    if host and port is None and url_host.lower() == host.lower():
        port = url_port
    return host or first(attributes, PEER_ADDRESSES), port


def path_of(attributes: Mapping[str, str]) -> str:
    """The path that was called, without query; empty where unknown."""
    try:
        return urlsplit(first(attributes, URLS)).path
    except ValueError:
        return ""


def _url_address(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "", None


def _port(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else None
