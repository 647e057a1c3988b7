"""Addresses in settings: what is called, and what is listened on."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def check_url(value: str) -> str:
    """`value` without a slash at its end, when it is an http(s) address with a host and at most a path.

    Raises ValueError that says what is wrong.
    """
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"no valid address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address as http://host:port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; use a header in the scenario")
    if parts.query or parts.fragment or port == 0 or any(c.isspace() for c in value):
        raise ValueError("must be an address with at most a path: no query, fragment or spaces")
    return value.rstrip("/")


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError("must be host:port, as 127.0.0.1:4318; port 0 takes a free one")
    return value


Url = Annotated[str, AfterValidator(check_url)]
Listen = Annotated[str, AfterValidator(_listen)]


def split_listen(listen: str) -> tuple[str, int]:
    """Host, without the brackets of IPv6, and port of a checked `host:port`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
