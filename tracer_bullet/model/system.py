"""What is known beforehand of the system that bullets are fired at."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The target's parts, as `tracer-bullet.yaml` declares them.

    `services`: names of services that take part (empty: every service seen must).
    `forwarders`: services without our guards, which need only forward the flag.
    `third_parties`: `host` or `host:port` globs outside the system.
    """

    services: tuple[str, ...] = ()
    forwarders: tuple[str, ...] = ()
    third_parties: tuple[str, ...] = ()

    def takes_part(self, service: str) -> bool:
        """Whether spans of this service must carry the flag."""
        if service in self.forwarders:
            return False
        return not self.services or service in self.services

    def is_third_party(self, host: str, port: int | None = None) -> bool:
        """Whether an address is outside the system; globs match the host or host:port."""
        names = {host.lower()} | ({f"{host.lower()}:{port}"} if port is not None else set())
        return any(fnmatchcase(name, glob.lower()) for glob in self.third_parties for name in names)
