"""How many users there are over time, and from when to when each of them is there. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracer_bullet.load.profile.pieces import NS, Piece

Span = tuple[int, int]
"""From when to when, in ns from the schedule's start; the end does not belong to it."""


class Levels:
    """Pieces whose "rate" is a number of users, in straight lines. User u (from 0) is there while the line is at
    u + 0.5 or above: so half of the users are there half-way up, and `users: 3` are three."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._lines: list[tuple[float, float, float, float]] = []  # from, to (s), level there, level here
        at = 0.0
        for piece in pieces:
            end = at + piece.length_s
            self._lines.append((at, end, piece.rate, piece.rate + piece.slope * piece.length_s))
            at = end
        self.span_s = at
        self.most = max(math.floor(max(a, b) + 0.5) for _, _, a, b in self._lines)

    def at(self, t_s: float) -> int:
        """Users at this time; none before and after."""
        for begin, end, first, last in self._lines:
            if begin <= t_s < end:
                return math.floor(first + (last - first) * (t_s - begin) / (end - begin) + 0.5)
        return 0

    def spans(self, user: int) -> tuple[Span, ...]:
        """When this user is there, in order, none touching the next."""
        level = user + 0.5
        found: list[Span] = []
        for line in self._lines:
            span = _above(line, level)
            if span is None:
                continue
            if found and found[-1][1] >= span[0]:
                found[-1] = (found[-1][0], span[1])
            else:
                found.append(span)
        return tuple(found)


def _above(line: tuple[float, float, float, float], level: float) -> Span | None:
    """The part of a line that is at this level or above it."""
    begin, end, first, last = line
    if max(first, last) < level:
        return None
    if first < level:
        begin += (level - first) / (last - first) * (end - begin)
    elif last < level:
        end = begin + (first - level) / (first - last) * (end - begin)
    span = (round(begin * NS), round(end * NS))
    return span if span[1] > span[0] else None
