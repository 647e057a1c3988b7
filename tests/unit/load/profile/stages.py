"""Stages for tests, and what their words mean, written down a second time: as a plain function of time."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import strategies as st

from tracer_bullet.workspace.traffic import StageSpec


def stage(length: str | float | None = None, **shape: object) -> StageSpec:
    """A stage as a file has it."""
    given = {} if length is None else {"for": length}
    return StageSpec.model_validate({**given, **shape})


def integral(stages: list[StageSpec]) -> Callable[[float], float]:
    """N(t): the integral of the rate, by the formulas of a school book; curves are left out."""
    parts: list[tuple[float, float, Callable[[float], float]]] = []
    at, level = 0.0, 0.0
    for one in stages:
        length = one.for_s or 0.0
        for span, end_level, area in _areas(one, length, level):
            parts.append((at, span, area))
            at += span
            level = end_level

    def until(t: float) -> float:
        return math.fsum(area(min(t - begin, span)) for begin, span, area in parts if t > begin)

    return until


Area = tuple[float, float, Callable[[float], float]]


def _areas(one: StageSpec, length: float, level: float) -> list[Area]:
    if one.rate is not None:
        return [_line(length, one.rate, one.rate)]
    if one.ramp_to is not None:
        return [_line(length, level, one.ramp_to)]
    if one.steps:
        return [_line(length / len(one.steps), r, r) for r in one.steps]
    if one.spike is not None:
        return [_line(length / 2, level, one.spike), _line(length / 2, one.spike, level)]
    assert one.sine is not None
    assert one.swing is not None
    assert one.period_s is not None
    mean, swing, turn = one.sine, one.swing, 2 * math.pi / one.period_s

    def area(t: float) -> float:
        return mean * t + swing / turn * (1 - math.cos(turn * t))

    return [(length, mean + swing * math.sin(turn * length), area)]


def _line(length: float, start: float, end: float) -> Area:
    def area(t: float) -> float:
        here = start + (end - start) * t / length
        return (start + here) / 2 * t

    return length, end, area


_lengths = st.floats(0.05, 40)
_rates = st.floats(0.01, 300)


@st.composite
def _waves(draw: st.DrawFn) -> StageSpec:
    mean = draw(_rates)
    swing = mean * draw(st.sampled_from([0.1, 0.7, 0.999, 1.0]))
    return stage(draw(_lengths), sine=f"{mean}/s", swing=f"{swing}/s", period=draw(st.floats(0.05, 60)))


any_stage = st.one_of(
    st.builds(lambda length, rate: stage(length, rate=f"{rate}/s"), _lengths, _rates),
    st.builds(lambda length, rate: stage(length, ramp_to=f"{rate}/s"), _lengths, _rates),
    st.builds(lambda length, rate: stage(length, spike=f"{rate}/s"), _lengths, _rates),
    st.builds(
        lambda length, rates: stage(length, steps=[f"{r}/s" for r in rates]),
        _lengths,
        st.lists(_rates, min_size=1, max_size=4),
    ),
    _waves(),
)
"""Any stage of the open model but a curve."""

any_curve = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 50)), min_size=1, max_size=20, unique_by=lambda point: point[0]
).filter(lambda points: any(n for _, n in points))
"""(second, requests), seconds left out, in any order."""

any_users = st.lists(
    st.one_of(
        st.builds(lambda length, n: stage(length, users=n), _lengths, st.integers(0, 12)),
        st.builds(lambda length, n: stage(length, users_to=n), _lengths, st.integers(0, 12)),
    ),
    min_size=1,
    max_size=4,
).filter(lambda stages: any(s.users or s.users_to for s in stages))
"""Stages of the closed model."""
