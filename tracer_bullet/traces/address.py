"""Addresses of the receiver."""

from __future__ import annotations


def local_url(host: str, port: int) -> str:
    """How senders on this machine reach what listens on `host`, which may be every address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
