"""Which recorded hosts go elsewhere than to the target, by `rewrite.hosts`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from tracer_bullet.replay.reading.select import globs, host_matches


class Servers:
    """`rewrite.hosts`, compiled: the first glob that fits counts."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._rules = [(pattern, url) for glob, url in hosts.items() if (pattern := globs([glob], any_case=True))]
        self.address = lru_cache(maxsize=10_000)(self._address)
        """Recorded `host:port` → the address that it is given; empty: the target's."""

    def of(self, authority: str) -> str:
        """The `host:port` that a recorded host is given, with the path of the address; empty: the target."""
        if not self._rules:
            return ""
        parts = urlsplit(self.address(authority))
        return f"{parts.netloc}{parts.path.rstrip('/')}"

    def _address(self, authority: str) -> str:
        return next((url for pattern, url in self._rules if host_matches(pattern, authority)), "")
