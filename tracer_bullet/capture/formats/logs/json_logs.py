"""JSON access logs with keys that are known without a format: nginx's variables by their names, Caddy, Traefik.

A time under `time`, `timestamp`, `@timestamp` or `ts` may be a start or an end: `log_time` must say which.
Sources: the documentation of Caddy's `log` directive and of Traefik's access logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import nginx
from tracer_bullet.capture.formats.logs.choose import format_for
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.json_pattern import JsonPattern, Path, document
from tracer_bullet.capture.formats.logs.lines.template import LineLog
from tracer_bullet.capture.formats.logs.values import clock
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_KEPT: Final = (
    "accept", "accept-encoding", "accept-language", "content-length", "content-type", "cookie", "idempotency-key",
    "referer", "traceparent", "upgrade", "connection", "user-agent", "x-forwarded-for", "x-request-id",
    "tracestate", "x-tracer-bullet",
)  # fmt: skip


def _title(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


_NGINX: Final[dict[Path, Column]] = {
    **{(name,): column for name, column in nginx.VARIABLES.items() if column.role is not Role.SKIP},
    **{(f"http_{name.replace('-', '_')}",): c.header(name) for name in _KEPT},
}
_TRAEFIK: Final[dict[Path, Column]] = {
    ("StartUTC",): c.moment(Role.START, clock.ISO),
    ("Duration",): c.duration(1),
    ("RequestMethod",): Column(role=Role.METHOD),
    ("RequestPath",): Column(role=Role.TARGET),
    ("RequestProtocol",): Column(role=Role.PROTOCOL),
    ("RequestScheme",): Column(role=Role.SCHEME),
    ("RequestAddr",): c.header("host"),
    ("RequestHost",): Column(role=Role.HOST),
    ("DownstreamStatus",): c.status(),
    ("ClientHost",): Column(role=Role.CLIENT),
    ("ClientAddr",): Column(role=Role.CLIENT),
    **{(f"request_{_title(name)}",): c.header(name) for name in _KEPT},
}
_CADDY: Final[dict[Path, Column]] = {
    ("ts",): c.moment(Role.END, clock.epoch_stamp(c.SECOND_NS)),
    ("duration",): c.duration(c.SECOND_NS),
    ("request", "method"): Column(role=Role.METHOD),
    ("request", "uri"): Column(role=Role.TARGET),
    ("request", "proto"): Column(role=Role.PROTOCOL),
    ("request", "host"): c.header("host"),
    ("request", "client_ip"): Column(role=Role.CLIENT),
    ("request", "remote_ip"): Column(role=Role.CLIENT),
    ("status",): c.status(),
    ("resp_headers", "Content-Type"): c.answer_header("content-type"),
    **{("request", "headers", _title(name)): c.header(name) for name in _KEPT},
}
_UNSAID: Final = ("time", "timestamp", "@timestamp", "ts")
_REQUESTS: Final = frozenset({"request", "request_uri", "uri"})


class JsonAccessLog:
    """JSON lines of nginx with its variables as keys, of Caddy, of Traefik; or of a `log_format`."""

    name = "JSON access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        found = document(head.split(b"\n", 1)[0].strip().decode("latin-1"))
        if not isinstance(found, dict):
            return False
        return _is_caddy(found) or "RequestMethod" in found or ("status" in found and bool(found.keys() & _REQUESTS))

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB915, TB916 for a bad `log_format`.

        Lines whose time has no name of nginx's are lost unless `log_time` says what it means.
        """
        if options.log_format:
            return format_for(options.log_format, options.log_time).read(stream, losses, options)
        # Which of them a line is tells itself: no line fits two.
        patterns = [_Keys(_TRAEFIK, "RequestMethod"), _Keys(_CADDY, "request", inner="method"), _Keys(_nginx(options))]
        return LineLog(patterns, source="json-log", no_answer=nginx.NO_ANSWER).read(stream, losses, options)


class _Keys(JsonPattern):
    """A JsonPattern for lines that have a key."""

    def __init__(self, columns: dict[Path, Column], key: str = "", inner: str = "") -> None:
        super().__init__(columns)
        self._key, self._inner = key, inner

    def match(self, line: str) -> tuple[str | None, ...] | None:
        """See JsonPattern."""
        value = document(line)
        if not isinstance(value, dict) or (self._key and self._key not in value):
            return None
        held = value.get(self._key)
        if self._inner and not (isinstance(held, dict) and self._inner in held):
            return None
        return self.values(value)


def _nginx(options: ReadOptions) -> dict[Path, Column]:
    if not options.log_time:
        return _NGINX
    role = Role.START if options.log_time == "start" else Role.END
    unsaid: dict[Path, Column] = {(key,): c.moment(role, _ANY_TIME) for key in _UNSAID}
    return _NGINX | unsaid


def _any_time(text: str) -> int | None:
    """ISO 8601, CLF, or a number since 1970 whose unit its size tells."""
    if (found := clock.iso(text) or clock.clf(text)) is not None:
        return found
    digits = len(text.split(".", maxsplit=1)[0])
    unit_ns = next((unit for most, unit in ((10, c.SECOND_NS), (13, 1_000_000), (16, 1000)) if digits <= most), 1)
    return clock.scaled(text, unit_ns)


_ANY_TIME: Final = clock.Stamp(pattern=r"\S++", fine=True, whole=_any_time)


def _is_caddy(value: dict[str, Any]) -> bool:
    request = value.get("request")
    return isinstance(request, dict) and "method" in request and "uri" in request
