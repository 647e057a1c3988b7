"""A load run over its time: rate, latency and errors as lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracer_bullet.model.load import LoadSecond
from tracer_bullet.report import text
from tracer_bullet.report.shape_base import Tick
from tracer_bullet.report.shape_load import Chart, Line

_WIDTH, _HEIGHT = 1000, 100
_TICKS = 5
Get = Callable[[LoadSecond], float]


def build_charts(curve: Sequence[LoadSecond]) -> tuple[Chart, ...]:
    """What was sent against what was planned, and latency; nothing for a run too short for a line."""
    if len(curve) < 2:
        return ()
    rates: list[tuple[str, str, Get]] = [
        ("planned", "base", lambda s: s.planned_rate),
        ("sent", "mid", lambda s: s.rate),
    ]
    if any(s.bad for s in curve):
        rates.append(("failed", "tail", lambda s: s.bad / s.width_s))
    latency: list[tuple[str, str, Get]] = [("p99", "tail", lambda s: s.p99_ms), ("p50", "mid", lambda s: s.p50_ms)]
    charts = [_chart("Requests a second", rates, curve, text.rate), _chart("Latency", latency, curve, text.ms)]
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
    points = [(scale * (s.t_s - first + s.width_s / 2), _HEIGHT - _HEIGHT * min(get(s), top) / top) for s in curve]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
