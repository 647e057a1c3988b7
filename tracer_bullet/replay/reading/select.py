"""Which exchanges are replayed, by `select:` of the replay file; of the others the reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from typing import Final

from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.reading.hashing import in_share
from tracer_bullet.workspace.replay import SelectSpec

# Why an exchange is skipped.
BEFORE: Final = "before since"
AFTER: Final = "after until"
HOST: Final = "host not selected"
METHOD: Final = "method not selected"
PATH: Final = "path not selected"
EXCLUDED: Final = "path excluded"
STATUS: Final = "status not selected"
SHARE: Final = "session not in the share"
SHARD: Final = "session of another shard"
LATER: Final = "recorded after the survey"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def globs(patterns: Iterable[str], *, any_case: bool = False) -> re.Pattern[str] | None:
    """One expression for several shell globs, for `match`; None when there is none."""
    parts = [translate(p) for p in patterns]
    return re.compile("|".join(parts), re.IGNORECASE if any_case else 0) if parts else None


def unix_ns(moment: datetime) -> int:
    """Unix nanoseconds of a moment that knows its zone, exactly."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def session_key(exchange: Exchange) -> str:
    """What shares and shards go by: the session, or the exchange itself when nobody knows whose it is."""
    return exchange.session or exchange.id


def host_matches(pattern: re.Pattern[str], authority: str) -> bool:
    """Whether a glob fits `host:port` or its host alone."""
    if pattern.match(authority):
        return True
    host, colon, port = authority.rpartition(":")
    return bool(colon and port.isdigit() and pattern.match(host))


class Selector:
    """`select:`, compiled."""

    def __init__(self, spec: SelectSpec) -> None:
        self._since = unix_ns(spec.since) if spec.since else None
        self._until = unix_ns(spec.until) if spec.until else None
        self._hosts = globs(spec.hosts, any_case=True)
        self._methods = globs(spec.methods, any_case=True)
        self._paths = globs(spec.paths)
        self._excluded = globs(spec.exclude_paths)
        self._statuses = frozenset(spec.statuses)
        self._share = spec.sessions
        self._plain = spec == SelectSpec()

    def skips(self, exchange: Exchange) -> str:
        """Why it is not replayed; empty when it is."""
        if self._plain:
            return ""
        if self._since is not None and exchange.started_ns < self._since:
            return BEFORE
        if self._until is not None and exchange.started_ns >= self._until:
            return AFTER
        reason = self._request(exchange)
        if reason:
            return reason
        if self._statuses and not self._status(exchange):
            return STATUS
        if self._share < 1 and not in_share(session_key(exchange), self._share):
            return SHARE
        return ""

    def _request(self, exchange: Exchange) -> str:
        request = exchange.request
        if self._hosts and not host_matches(self._hosts, request.authority):
            return HOST
        if self._methods and not self._methods.match(request.method):
            return METHOD
        if self._paths or self._excluded:
            path = request.target.partition("?")[0]
            if self._paths and not self._paths.match(path):
                return PATH
            if self._excluded and self._excluded.match(path):
                return EXCLUDED
        return ""

    def _status(self, exchange: Exchange) -> bool:
        if exchange.answer is None:
            return False
        status = str(exchange.answer.status)
        return status in self._statuses or f"{status[:1]}xx" in self._statuses
