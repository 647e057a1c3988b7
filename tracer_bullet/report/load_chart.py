"""A load run over its time: rate, latency and errors as lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from tracer_bullet.model.load import LoadSecond
from tracer_bullet.report import text
from tracer_bullet.report.shape_base import Tick
from tracer_bullet.report.shape_load import Chart, Line

_WIDTH, _HEIGHT = 1000, 100
_TICKS = 5
_MOST_MISSING = 1000
Get = Callable[[LoadSecond], float]


def build_charts(curve: Sequence[LoadSecond]) -> tuple[Chart, ...]:
    """What was sent against what was planned, and latency; nothing for a run too short for a line.

    A curve has no point where nothing came back: its rate is nothing there, and its latency is not known.
    """
    if len(curve) < 2:
        return ()
    counted = _filled(curve)
    rates: list[tuple[str, str, Get]] = [
        ("planned", "base", lambda s: s.planned_rate),
        ("sent", "mid", lambda s: s.rate),
    ]
    if any(s.bad for s in curve):
        rates.append(("failed", "tail", lambda s: s.bad / s.width_s))
    latency: list[tuple[str, str, Get]] = [("p99", "tail", lambda s: s.p99_ms), ("p50", "mid", lambda s: s.p50_ms)]
    charts = [_chart("Requests a second", rates, counted, text.rate), _chart("Latency", latency, curve, text.ms)]
    if any(s.users for s in curve):
        charts.append(_chart("Users", [("users", "mid", lambda s: float(s.users))], curve, lambda v: f"{v:.0f}"))
    return tuple(charts)


def _chart(
    title: str, lines: Sequence[tuple[str, str, Get]], curve: Sequence[LoadSecond], say: Callable[[float], str]
) -> Chart:
    top = max((get(s) for _, _, get in lines for s in curve), default=0.0) or 1.0
    first, last = curve[0].t_s, curve[-1].t_s + curve[-1].width_s
    return Chart(
        title=title,
        lines=tuple(
            Line(
                name=name,
                path=_path(curve, get, top, first, last),
                kind=kind,
                top=say(top),
                label=f"{name}: {say(get(curve[0]))} at first, {say(max(map(get, curve)))} at most,"
                f" {say(get(curve[-1]))} at last",
            )
            for name, kind, get in lines
        ),
        ticks=tuple(
            Tick(at=100 * n / _TICKS, text=text.span_of(first + (last - first) * n / _TICKS)) for n in range(_TICKS + 1)
        ),
    )


def _path(curve: Sequence[LoadSecond], get: Get, top: float, first: float, last: float) -> str:
    scale = _WIDTH / max(last - first, 1e-9)
    parts: list[str] = []
    end_s = -math.inf
    for s in curve:
        x, y = scale * (s.t_s - first + s.width_s / 2), _HEIGHT - _HEIGHT * min(get(s), top) / top
        joined = parts and s.t_s <= end_s + s.width_s / 2
        # A point alone is seen by the round end of a line without length.
        parts.append(f"L{x:.1f} {y:.1f}" if joined else f"M{x:.1f} {y:.1f}h0")
        end_s = s.t_s + s.width_s
    return "".join(parts)


def _filled(curve: Sequence[LoadSecond]) -> list[LoadSecond]:
    """With points of nothing in its gaps, where planned goes on as a straight line."""
    filled = [curve[0]]
    for before, s in pairwise(curve):
        missing = round((s.t_s - before.t_s) / before.width_s) - 1
        for n in range(1, missing + 1) if missing <= _MOST_MISSING else (1, missing):
            planned = before.planned_rate + (s.planned_rate - before.planned_rate) * n / (missing + 1)
            t_s = before.t_s + n * before.width_s
            filled.append(replace(before, t_s=t_s, planned_rate=planned, rate=0.0, bad=0))
        filled.append(s)
    return filled
