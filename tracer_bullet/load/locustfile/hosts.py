"""Which hosts are the target, and which may be talked to without the flag. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from urllib.parse import urlsplit

from tracer_bullet.errors import StoppedError

_PORTS = {"http": 80, "https": 443}


class Standing(Enum):
    """How requests to a host are treated."""

    FLAGGED = "flagged"
    """It is the target: every request is a bullet."""
    ALLOWED = "allowed"
    """Somebody else whom the user named: requests go there as they are, and never with the token."""
    REFUSED = "refused"


class RefusedHostError(StoppedError):
    """A request to a host that is neither the target nor allowed. It was not sent."""


class Hosts:
    """Answers for `host` (any port) and `host:port` entries; IPv6 in brackets where there is a port."""

    def __init__(self, flagged: Iterable[str], allowed: Iterable[str]) -> None:
        self._flagged = frozenset(map(entry, flagged))
        self._allowed = frozenset(map(entry, allowed))

    def standing(self, host: str, port: int | None) -> Standing:
        """What holds for a host and a port."""
        name = host.strip("[]").rstrip(".").lower()
        for key in ((name, port), (name, None)):
            if key in self._flagged:
                return Standing.FLAGGED
            if key in self._allowed:
                return Standing.ALLOWED
        return Standing.REFUSED

    def allowed(self) -> frozenset[tuple[str, int | None]]:
        """The (host, port) that are allowed, None for any port."""
        return self._allowed


def entry(text: str) -> tuple[str, int | None]:
    """`host`, `host:port` or a URL, as (host, port). A URL without a port has its scheme's. Raises ValueError."""
    scheme, has_scheme, _ = text.partition("://")
    parts = urlsplit(text if has_scheme else f"//{text}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{text!r} is not a host, host:port or URL") from None
    if not parts.hostname:
        raise ValueError(f"{text!r} is not a host, host:port or URL")
    if port is None and has_scheme:
        port = _PORTS.get(scheme.lower())
    return parts.hostname.rstrip(".").lower(), port


def origin_of(url: str) -> tuple[str, int | None]:
    """Host and port of a URL, the scheme's port where it has none; ("", None) for what is no URL."""
    try:
        return entry(url)
    except ValueError:
        return "", None


def refuse(host: str, port: int | None) -> RefusedHostError:
    """The error for a host that is refused."""
    where = host if port is None else f"{host}:{port}"
    return RefusedHostError(
        "TB1052",
        f"{where} is not the target, so nothing is sent to it",
        why="a request without the flag is a real one, and the flag is for the target alone",
        cure=f"--flag-host {where} if it belongs to the target, --allow-host {where} to send to it without the flag",
    )
