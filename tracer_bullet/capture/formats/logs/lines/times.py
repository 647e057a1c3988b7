"""When a request came and when its answer was sent, of the times and durations that a line has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracer_bullet.capture.formats.logs.lines import marks
from tracer_bullet.capture.formats.logs.lines.columns import NO_ZONE, Column, Role
from tracer_bullet.capture.formats.logs.values.clock import Clock, Moment, scaled
from tracer_bullet.model.losses import Losses


class Span(NamedTuple):
    """Unix nanoseconds, None where they are not known, and the marks of what is missing."""

    start_ns: int
    first_byte_ns: int | None
    end_ns: int | None
    marks: int


class Times:
    """Reads them from the values of lines with these columns."""

    def __init__(self, columns: Sequence[Column], losses: Losses) -> None:
        self._losses = losses
        self._start, self._end = _clock(columns, Role.START), _clock(columns, Role.END)
        self._duration = _duration(columns, Role.DURATION)
        self._first = _duration(columns, Role.FIRST_BYTE)

    def read(self, values: Sequence[str | None]) -> Span | None:
        """None without a time.

        A duration counts before an end beside a start: both clocks of a log rarely have the same grain.
        """
        start = self._start.read(values) if self._start else None
        end = self._end.read(values) if self._end else None
        duration = None if self._duration is None else _read(self._duration, values)
        if start is None:
            return None if end is None else self._from_end(values, end, duration)
        end_ns = start.ns + duration if duration is not None else end.ns if end else None
        if end_ns is None or end_ns < start.ns:  # an end of whole seconds may lie before its start
            return Span(start.ns, self._first_byte(values, start.ns), None, self._grain(start) | marks.DURATION)
        return Span(start.ns, self._first_byte(values, start.ns), end_ns, self._grain(start))

    def _from_end(self, values: Sequence[str | None], end: Moment, duration: int | None) -> Span:
        if duration is None:
            return Span(end.ns, None, None, self._grain(end) | marks.START | marks.DURATION)
        start_ns = max(0, end.ns - duration)
        return Span(start_ns, self._first_byte(values, start_ns), end.ns, self._grain(end))

    def _first_byte(self, values: Sequence[str | None], start_ns: int) -> int | None:
        if self._first is None:
            return None
        after = _read(self._first, values)
        return None if after is None else start_ns + after

    def _grain(self, moment: Moment) -> int:
        if not moment.zoned:
            self._losses.repair(NO_ZONE)
        return 0 if moment.fine else marks.SUBSECOND


def _clock(columns: Sequence[Column], role: Role) -> Clock | None:
    stamps = [(p, col.stamp) for p, col in enumerate(columns) if col.role is role and col.stamp is not None]
    return Clock(stamps) if stamps else None


def _duration(columns: Sequence[Column], role: Role) -> tuple[int, int] | None:
    """Where the finest one is, and its unit."""
    found = [(col.unit_ns, place) for place, col in enumerate(columns) if col.role is role]
    return (min(found)[1], min(found)[0]) if found else None


def _read(duration: tuple[int, int], values: Sequence[str | None]) -> int | None:
    text = values[duration[0]]
    return scaled(text, duration[1]) if text else None
