"""The common and the combined log format, of a server that is not known: what their time means must be said.

Lines in this shape are nginx's (time of the end), Apache's (of the start), and others'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import apache, errors, nginx
from tracer_bullet.capture.formats.logs.choose import format_for
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.pattern import Part, Pattern
from tracer_bullet.capture.formats.logs.lines.template import LineLog
from tracer_bullet.capture.formats.logs.values.escapes import backslashes
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_LINE: Final = re.compile(
    rb"(?:\S+ )?\S+ \S+ \S+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*" (?:\d{3}|-) (?:\d+|-)'
)
_LOOKED_AT: Final = 20


class Combined:
    """Common and combined lines. Needs `log_time`, or a `log_format` that proves it."""

    name = "common or combined access log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return any(_LINE.match(line) for line in head.split(b"\n", _LOOKED_AT)[:_LOOKED_AT])

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB914 where nobody says what the time means; TB915, TB916 as the others."""
        if options.log_format:
            return format_for(options.log_format, options.log_time).read(stream, losses, options)
        if not options.log_time:
            raise errors.time_unknown("a log in the common or combined format")
        role = Role.START if options.log_time == "start" else Role.END
        texts = (nginx.NAMED["main"], nginx.NAMED["combined"], nginx.NAMED["common"])
        every = [*map(nginx.parts_of, texts), apache.parts_of(apache.NAMED["vhost_combined"])]
        patterns = [
            Pattern([_meaning(p, role) for p in parts], unescape=backslashes, quotes="backslash") for parts in every
        ]
        return LineLog(patterns, source="access-log", no_answer=nginx.NO_ANSWER).read(stream, losses, options)


def _meaning(part: Part, role: Role) -> Part:
    if isinstance(part, Column) and part.role in (Role.START, Role.END):
        return replace(part, role=role)
    return part
