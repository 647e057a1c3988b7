"""Where requests go: the target, or what `rewrite.hosts` says; nowhere else. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracer_bullet.model.arrival import Origin, Protocol
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.reading.items import is_rpc
from tracer_bullet.replay.reading.select import globs, host_matches
from tracer_bullet.replay.reading.servers import Servers
from tracer_bullet.workspace.replay import Replay

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Destination:
    """An origin, the Host to send, and the path of its address."""

    origin: Origin
    host: str
    base: str


class Destinations:
    """Recorded host → destination. `origins` grows as protocols are met."""

    def __init__(self, spec: Replay, target_url: str) -> None:
        self._servers = Servers(spec.rewrite.hosts)
        self._target = target_url
        self._protocol = spec.protocol
        self._allow = globs(spec.limits.allow, any_case=True)
        self._made: dict[tuple[str, Protocol], Destination] = {}
        self._known: dict[tuple[str, str, bool], Destination] = {}
        self.origins: list[Origin] = []
        self._destination(target_url, Protocol.HTTP2 if spec.protocol == "http2" else Protocol.HTTP1)

    def of(self, exchange: Exchange) -> Destination:
        """Where an exchange's request goes."""
        request = exchange.request
        key = (request.authority, request.http_version, is_rpc(exchange))
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 10_000:
                self._known.clear()
            found = self._known[key] = self._destination(
                self._servers.address(request.authority) or self._target,
                self._spoken(request.http_version, rpc=key[2]),
            )
        return found

    def allows(self, host: str, destination: Destination) -> bool:
        """Whether a Host header may be sent there: it chooses the server behind a shared address."""
        return host == destination.host or (self._allow is not None and host_matches(self._allow, host))

    def _spoken(self, version: str, *, rpc: bool) -> Protocol:
        if rpc:
            return Protocol.GRPC
        if self._protocol == "http2" or (self._protocol == "recorded" and re.match(r"(?i)(?:http/|h)?[23]", version)):
            return Protocol.HTTP2
        return Protocol.HTTP1

    def _destination(self, url: str, protocol: Protocol) -> Destination:
        made = self._made.get((url, protocol))
        if made is None:
            parts = urlsplit(url)
            name = parts.hostname or ""
            port = parts.port or _PORTS[parts.scheme]
            written = f"[{name}]" if ":" in name else name
            host = written if port == _PORTS[parts.scheme] else f"{written}:{port}"
            origin = Origin(number=len(self.origins), scheme=parts.scheme, host=name, port=port, protocol=protocol)
            self.origins.append(origin)
            made = self._made[url, protocol] = Destination(origin, host, parts.path.rstrip("/"))
        return made
