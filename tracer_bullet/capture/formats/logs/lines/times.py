"""When a request came and when its answer was sent, of the times and durations that a line has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracer_bullet.capture.formats.logs.lines import marks
from tracer_bullet.capture.formats.logs.lines.clock import Clock, scaled
from tracer_bullet.capture.formats.logs.lines.columns import NO_ZONE, Column, Role
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
        if start is None:
            return self._from_end(values)
        bits = self._grain(self._start)
        duration = None if self._duration is None else _read(self._duration, values)
        end = start + duration if duration is not None else self._end.read(values) if self._end else None
        if end is None or end < start:  # an end of whole seconds may lie before its start
            return Span(start, self._first_byte(values, start), None, bits | marks.DURATION)
        return Span(start, self._first_byte(values, start), end, bits)

    def _from_end(self, values: Sequence[str | None]) -> Span | None:
        end = self._end.read(values) if self._end else None
        if end is None:
            return None
        bits = self._grain(self._end)
        duration = None if self._duration is None else _read(self._duration, values)
        if duration is None:
            return Span(end, None, end, bits | marks.START | marks.DURATION)
        start = max(0, end - duration)
        return Span(start, self._first_byte(values, start), end, bits)

    def _first_byte(self, values: Sequence[str | None], start_ns: int) -> int | None:
        if self._first is None:
            return None
        after = _read(self._first, values)
        return None if after is None else start_ns + after

    def _grain(self, clock: Clock | None) -> int:
        if clock is not None and not clock.zoned:
            self._losses.repair(NO_ZONE)
        return 0 if clock is not None and clock.fine else marks.SUBSECOND


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
