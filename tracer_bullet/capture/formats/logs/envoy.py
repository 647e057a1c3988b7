"""Envoy's access log: its default text, Istio's, their JSON, and any format. `%START_TIME%` is the start, in UTC.

Sources: Envoy's "Access logging" (command operators; an empty one is `-`, null in JSON; nothing is escaped in text),
and Istio's default formats (since 1.9, and those from 1.4 to 1.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import yaml

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import errors
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.json_pattern import JsonPattern, document, of_skeleton
from tracer_bullet.capture.formats.logs.lines.pattern import AmbiguousError, Part, Pattern
from tracer_bullet.capture.formats.logs.lines.template import LineLog, LinePattern, check
from tracer_bullet.capture.formats.logs.values import clock, escapes, strftime
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_HEAD: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
)
_TAIL: Final = (
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"'
)
_ISTIO_TAIL: Final = (
    " %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%"
)
DEFAULT: Final = _HEAD + _TAIL
ISTIO: Final = (
    _HEAD + '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" '
    + _TAIL + _ISTIO_TAIL
)  # fmt: skip
OLD_ISTIO: Final = _HEAD + '"%DYNAMIC_METADATA(x)%" "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ' + _TAIL + _ISTIO_TAIL

_MS_NS: Final = 1_000_000
_ENVOY_ISO: Final = c.moment(Role.START, clock.ISO)
_FIRST: Final = c.duration(_MS_NS, Role.FIRST_BYTE)
_OPERATORS: Final[dict[str, Column]] = {
    "PROTOCOL": Column(role=Role.PROTOCOL, pattern=r"HTTP/[\d.]++|-|"),
    "RESPONSE_CODE": c.status(),
    "DURATION": c.duration(_MS_NS),
    "RESPONSE_DURATION": _FIRST,
    "UPSTREAM_HOST": Column(role=Role.SKIP, enclosed='[^"]++'),
    "BYTES_RECEIVED": c.number(),
    "BYTES_SENT": c.number(),
    "RESPONSE_FLAGS": Column(role=Role.SKIP, pattern=r"[A-Za-z,0-9_]++|-"),
    "DOWNSTREAM_REMOTE_ADDRESS": Column(role=Role.CLIENT),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": Column(role=Role.CLIENT),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": Column(role=Role.CLIENT),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": Column(role=Role.CLIENT),
}
_PSEUDO: Final = {
    ":method": Column(role=Role.METHOD, near="[A-Z]++"),
    ":path": Column(role=Role.TARGET, near=r'/[^\s"]*+'),
    ":scheme": Column(role=Role.SCHEME, near="https?"),
    ":authority": Column(role=Role.HEADER, name="host", near=r'[^/?\s"]++', enclosed=r'[^\s"]++'),
}
# Nothing is escaped: what cannot hold a quote tells where a user agent that does has its end.
_TOLD: Final = {"x-request-id": r'[^\s"]++', "x-forwarded-for": '[^"]++'}
_OPERATOR: Final = re.compile(r"%(?:(%)|([A-Z][A-Z0-9_]*)(?:\(((?:[^()]|\([^()]*\))*)\))?(?::(\d+))?%)")

JSON_KEYS: Final[dict[str, Column]] = {
    "start_time": _ENVOY_ISO,
    "method": _PSEUDO[":method"],
    "path": _PSEUDO[":path"],
    "x_envoy_origin_path": Column(role=Role.SKIP),
    "protocol": _OPERATORS["PROTOCOL"],
    "response_code": c.status(),
    "duration": c.duration(_MS_NS),
    "authority": _PSEUDO[":authority"],
    "x_forwarded_for": c.header("x-forwarded-for"),
    "user_agent": c.header("user-agent"),
    "request_id": c.header("x-request-id"),
    "referer": c.header("referer"),
    "traceparent": c.header("traceparent"),
    "tracestate": c.header("tracestate"),
    "x_tracer_bullet": c.header("x-tracer-bullet"),
    "content_type": c.header("content-type"),
    "scheme": _PSEUDO[":scheme"],
    "response_duration": _FIRST,
    "downstream_remote_address": Column(role=Role.CLIENT),
}
_TEXT_HEAD: Final = re.compile(rb'\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "[^"\n]*" \d{1,3} ')


def parts_of(text: object) -> list[Part]:
    """Literals and columns of a format string. Raises ValueError for a time format that is unknown."""
    if not isinstance(text, str):
        return []
    parts: list[Part] = []
    at = 0
    for found in _OPERATOR.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        parts.append("%" if found[1] else _column(found[2], found[3] or "", int(found[4] or 0)))
    return [*parts, text[at:]]


def _column(operator: str, argument: str, longest: int) -> Column:
    match operator:
        case "START_TIME" | "START_TIME_LOCAL":
            return c.moment(Role.START, _stamp(argument))
        case "REQ" | "REQUEST_HEADER":
            return _header(argument.lower(), longest)
        case "RESP" | "RESPONSE_HEADER":
            name, _, other = argument.lower().partition("?")
            return Column(role=Role.SKIP if other or longest else Role.ANSWER_HEADER, name=name)
        case "COMMON_DURATION":
            return _between(argument)
        case "PATH":
            return _PSEUDO[":path"] if argument.upper() in ("", "WQ", "WQ:ORIG", "WQ:ORIG_OR_PATH") else c.SKIP
        case "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" if argument:
            return c.SKIP
    return _OPERATORS.get(operator, c.SKIP)


def _stamp(argument: str) -> clock.Stamp:
    if not argument:
        return clock.ISO
    found = strftime.stamp_of(argument)
    if found is None:
        raise ValueError(f"the time format {argument} is not understood")
    # Envoy's are in UTC, whatever their format.
    return clock.Stamp(pattern=found.pattern, fine=found.fine, zoned=True, parts=found.parts)


def _header(argument: str, longest: int) -> Column:
    names = argument.split("?")
    if names == ["x-envoy-original-path", ":path"]:
        names = [":path"]
    if len(names) != 1:  # which of the two it was is not known
        return Column(role=Role.SKIP, name=argument)
    found = _PSEUDO.get(names[0]) or c.header(names[0], _TOLD.get(names[0], ""))
    if not longest:
        return found
    if found.role is Role.TARGET:
        return Column(role=Role.TARGET, near=found.near, longest=longest)
    return Column(role=Role.SKIP, name=argument)  # what may be cut is not what was sent


def _between(argument: str) -> Column:
    first, _, rest = argument.partition(":")
    last, _, unit = rest.partition(":")
    units = {"ms": _MS_NS, "us": 1000, "ns": 1}
    roles = {"DS_TX_END": Role.DURATION, "DS_TX_BEG": Role.FIRST_BYTE}
    if first == "DS_RX_BEG" and last in roles and unit in units:
        return c.duration(units[unit], roles[last])
    return c.number()


class Envoy:
    """Lines of Envoy and Istio: the default texts, or those of `log_format` (a format string, or a JSON format)."""

    name = "Envoy access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return any(_TEXT_HEAD.match(line) for line in head.split(b"\n", 5)[:5])

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB915, TB916."""
        return compile_log(options).read(stream, losses, options)


class EnvoyJson:
    """JSON lines with the keys of Istio's default, which many take for Envoy too."""

    name = "Envoy JSON access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        found = document(head.split(b"\n", 1)[0].strip().decode("latin-1"))
        return isinstance(found, dict) and "start_time" in found and bool(found.keys() & {"method", "path"})

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB915, TB916."""
        if options.log_format:
            return compile_log(options).read(stream, losses, options)
        _check_time(options)
        pattern = JsonPattern({(key,): column for key, column in JSON_KEYS.items() if column.role is not Role.SKIP})
        return LineLog([pattern], source="envoy").read(stream, losses, options)


def compile_log(options: ReadOptions) -> LineLog:
    """The reader for the format in `options`. Raises UsageError TB915, TB916."""
    _check_time(options)
    given = options.log_format
    try:
        patterns = [_given(given)] if given else [_text(text) for text in (DEFAULT, ISTIO, OLD_ISTIO)]
    except AmbiguousError as error:
        raise errors.format_unclear(given, f"nothing parts {error}") from error
    except ValueError as error:
        raise errors.format_unclear(given, str(error)) from error
    for pattern in patterns:
        check(pattern, given, ("%REQ(:PATH)%", "%REQ(:METHOD)%", "%START_TIME%"))
    return LineLog(patterns, source="envoy")


def _given(text: str) -> LinePattern:
    if re.match(r"\s*(?:\{|[\w.@-]+\s*:(?:\s|$))", text):
        try:
            skeleton = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError):
            skeleton = None
        if isinstance(skeleton, dict) and (found := of_skeleton(skeleton, parts_of)):
            return found
    return _text(text.replace("\\n", "\n").strip("\r\n"))


def _text(text: str) -> Pattern:
    return Pattern(parts_of(text), unescape=escapes.plain)


def _check_time(options: ReadOptions) -> None:
    if options.log_time == "end":
        raise errors.contradiction(options.log_format or "Envoy's %START_TIME%", "start")
