"""Stages as pieces of a rate, or of a number of users. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tracer_bullet.errors import UsageError
from tracer_bullet.load.profile.pieces import Piece
from tracer_bullet.workspace.traffic import StageSpec

Curve = tuple[tuple[float, float], ...]

_PEAK_S: Final = 10.0
# A second that a recording leaves out is one without requests.
_SECOND: Final = 1.0


def pieces_of(stages: Sequence[StageSpec], curves: Mapping[str, Curve]) -> list[list[Piece]]:
    """For each stage, its pieces, in order. For users the "rate" is their number.

    Raises UsageError TB1001 for a curve without requests, TB1002 for a profile in which nothing begins.
    """
    made: list[list[Piece]] = []
    level = 0.0
    for stage in stages:
        some = _pieces(stage, level, curves)
        made.append(some)
        level = some[-1].rate_at(some[-1].length_s)
    if not any(p.integral(p.length_s) > 0 for some in made for p in some):
        raise UsageError("TB1002", "nothing begins in this profile", cure="give a rate or users above nothing")
    return made


def _pieces(stage: StageSpec, before: float, curves: Mapping[str, Curve]) -> list[Piece]:
    if stage.curve is not None:
        return _captured(stage, curves)
    length = stage.for_s or 0.0  # the spec wants it of all but curves
    if stage.ramp_to is not None:
        return [_line(length, before, stage.ramp_to)]
    if stage.users_to is not None:
        return [_line(length, before, stage.users_to)]
    if stage.steps:
        return [Piece(length_s=length / len(stage.steps), rate=rate) for rate in stage.steps]
    if stage.spike is not None:
        return [_line(length / 2, before, stage.spike), _line(length / 2, stage.spike, before)]
    if stage.sine is not None:
        return [Piece(length_s=length, rate=stage.sine, swing=stage.swing or 0.0, period_s=stage.period_s or 1.0)]
    return [Piece(length_s=length, rate=float(stage.users or 0) if stage.rate is None else stage.rate)]


def _line(length: float, start: float, end: float) -> Piece:
    return Piece(length_s=length, rate=start, slope=(end - start) / length)


def _captured(stage: StageSpec, curves: Mapping[str, Curve]) -> list[Piece]:
    name = str(stage.curve)
    counted = {int(offset): 0.0 for offset, _ in curves.get(name, ())}
    for offset, requests in curves.get(name, ()):
        counted[int(offset)] += requests
    seconds = sorted((at, n) for at, n in counted.items() if n > 0)
    if not seconds:
        raise UsageError("TB1001", f"{name} has no requests to take a shape from", cure="name another archive")
    last = seconds[-1][0] + 1
    stretch = 1.0 if stage.for_s is None else stage.for_s / last
    pieces: list[Piece] = []
    at = 0
    for second, requests in seconds:
        if second > at:
            pieces.append(Piece(length_s=(second - at) * stretch, rate=0.0))
        pieces.append(Piece(length_s=_SECOND * stretch, rate=requests))
        at = second + 1
    if stage.peak is None:
        return pieces
    factor = stage.peak / busiest(pieces, _PEAK_S)
    return [Piece(length_s=p.length_s, rate=p.rate * factor) for p in pieces]


def busiest(pieces: Sequence[Piece], window_s: float) -> float:
    """The highest mean rate of constant pieces over any window of this length, or over all when that is shorter."""
    begins, sums = [0.0], [0.0]
    for piece in pieces:
        begins.append(begins[-1] + piece.length_s)
        sums.append(sums[-1] + piece.length_s * piece.rate)
    window = min(window_s, begins[-1])
    most = 0.0
    # A window with the most begins or ends where a piece does: in between, its sum changes in a straight line.
    for anchors, shift in ((begins, window), (begins, -window)):
        at = 0
        for index, anchor in enumerate(anchors):
            other = anchor + shift
            if not 0 <= other <= begins[-1] * (1 + 1e-12):
                continue
            while at < len(pieces) - 1 and begins[at + 1] < other:
                at += 1
            there = sums[at] + (min(other, begins[at + 1]) - begins[at]) * pieces[at].rate
            most = max(most, abs(there - sums[index]))
    return most / window
