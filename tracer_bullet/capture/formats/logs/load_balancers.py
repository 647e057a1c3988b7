"""Access logs of AWS' load balancers: application (ALB) and classic. By position, with an optional tail.

Source: AWS' "Access logs for your Application Load Balancer" and "… Classic Load Balancer". ALB's second field is when
the answer was made (of a WebSocket: when it closed), `request_creation_time`, the 22nd, when the request came; lines
of before 2018 end without it. The classic one's first field is when the request came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import errors
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.template import LineLog
from tracer_bullet.capture.formats.logs.values import clock
from tracer_bullet.capture.formats.logs.values.clock import scaled
from tracer_bullet.capture.formats.logs.values.escapes import backslashes
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_NO_ANSWER: Final = frozenset({0, 460})  # the client left before its answer
_QUOTED: Final = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
# With a quote inside that nobody escaped, they end where what follows can follow.
_LOOSE_REQUEST: Final = r'(?>"(.*?)"(?= "|$))'
_LOOSE_AGENT: Final = r'(?>"(.*?)"(?= [\w-]+ (?:TLSv|SSLv|-(?: |$))))'
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d++Z"
# <request>, <agent> and <skipped> are filled in by _Positional.
_COMMON: Final = (
    rf"({_TIME}) \S++ (\S++) \S++ (-?[\d.]++) (-?[\d.]++) (-?[\d.]++) (\d{{1,3}}|-) \S++ \S++ \S++ <request>"
)
_ALB: Final = rf"(https?|h2|grpcs|wss?) {_COMMON} <agent> \S++ \S++"
# Group ARN, trace id, domain, certificate, rule; then when the request came.
_ALB_TAIL: Final = rf"(?: \S++ <skipped> <skipped> <skipped> \S++ ({_TIME})(?: .*+)?+|(?: .*+)?+)"
_CLASSIC: Final = rf"{_COMMON}(?: <agent>(?: .*+)?+)?+"
_SKIPPED: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


class _Positional:
    """As lines/pattern.Pattern: values of `columns`, where the three processing times become one duration."""

    unescape = staticmethod(backslashes)

    def __init__(self, text: str, columns: tuple[Column, ...], *, processing: int, start: int | None) -> None:
        """`processing`: where the first of the three is; `start`: where the start may be."""
        self.columns = columns
        self._processing, self._start = processing, start
        self._strict, self._loose = (
            re.compile(_filled(text, request, agent), re.ASCII | re.DOTALL)
            for request, agent in ((_QUOTED, _QUOTED), (_LOOSE_REQUEST, _LOOSE_AGENT))
        )

    def match(self, line: str) -> tuple[str | None, ...] | None:
        """The values; None when the line has another form."""
        return self._values(self._strict.fullmatch(line))

    def lenient(self, line: str) -> tuple[str | None, ...] | None:
        """The same of a line that has quotes inside of quotes."""
        return self._values(self._loose.fullmatch(line))

    def _values(self, found: re.Match[str] | None) -> tuple[str | None, ...] | None:
        if found is None:
            return None
        values = found.groups()
        at = self._processing
        duration = None
        if self._start is None or values[self._start] is None:
            duration = _sum(values[at : at + 3])
        return (*values[:at], duration, *values[at + 3 :])


def _filled(text: str, request: str, agent: str) -> str:
    return text.replace("<request>", request).replace("<agent>", agent).replace("<skipped>", _SKIPPED)


def _sum(parts: tuple[str | None, ...]) -> str | None:
    total_ns = 0
    for part in parts:
        spent_ns = scaled(part or "", c.SECOND_NS)
        if spent_ns is None:  # -1: it never got so far
            return None
        total_ns += spent_ns
    return str(total_ns)


_SUMMED: Final = c.duration(1)
_ALB_LOG: Final = _Positional(
    _ALB + _ALB_TAIL,
    (
        Column(role=Role.UPGRADE), c.moment(Role.END, clock.ISO), Column(role=Role.CLIENT), _SUMMED, c.status(),
        Column(role=Role.REQUEST_LINE), c.header("user-agent"), c.moment(Role.START, clock.ISO),
    ),
    processing=3, start=9,
)  # fmt: skip
_CLASSIC_LOG: Final = _Positional(
    _CLASSIC,
    (
        c.moment(Role.START, clock.ISO), Column(role=Role.CLIENT), _SUMMED, c.status(), Column(role=Role.REQUEST_LINE),
        c.header("user-agent"),
    ),
    processing=2, start=None,
)  # fmt: skip
_ALB_HEAD: Final = re.compile(rb"(?:https?|h2|grpcs|wss?) \d{4}-\d\d-\d\dT[\d:.]+Z \S+ \S+ \S+ -?[\d.]+ ")
_CLASSIC_HEAD: Final = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+Z \S+ \S+ \S+ -?[\d.]+ -?[\d.]+ -?[\d.]+ (?:\d{1,3}|-) ")


class ApplicationLoadBalancer:
    """AWS ALB."""

    name = "AWS ALB access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return _ALB_HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        _no_format(options, "AWS ALB")
        return LineLog([_ALB_LOG], source="alb", no_answer=_NO_ANSWER).read(stream, losses, options)


class ClassicLoadBalancer:
    """AWS ELB, the classic one."""

    name = "AWS classic load balancer access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return _CLASSIC_HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        _no_format(options, "AWS' classic load balancer")
        return LineLog([_CLASSIC_LOG], source="elb", no_answer=_NO_ANSWER).read(stream, losses, options)


def _no_format(options: ReadOptions, name: str) -> None:
    if options.log_format:
        raise errors.format_unclear(options.log_format, f"the format of {name} is always the same")
