"""A profile of users: how many there are, and when each of them is there."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.profile.stages import any_users, stage
from tracer_bullet.load.profile import Profile
from tracer_bullet.workspace.traffic import StageSpec

_NS = 1_000_000_000


def test_users_ramp_up_stay_and_ramp_down() -> None:
    profile = Profile(
        [stage("10s", users_to=10), stage("5s", users=10), stage("10s", users_to=0), stage("5s", users=2)]
    )
    at = [profile.users_at(t) for t in (0, 0.4, 0.6, 5, 9.6, 12, 20, 24.6, 26, 30)]
    assert at == [0, 0, 1, 5, 10, 10, 5, 0, 2, 0]
    assert profile.user_spans(0) == ((500_000_000, round(24.5 * _NS)), (25 * _NS, 30 * _NS))
    assert profile.user_spans(9) == ((round(9.5 * _NS), round(15.5 * _NS)),)
    assert profile.user_spans(10) == ()
    assert (profile.most_users, profile.total, profile.rate_at(3), profile.is_open) == (10, 0, 0.0, False)
    assert list(profile.due_ns()) == []


@given(any_users, st.data())
@settings(deadline=None)
def test_users_who_are_there_are_as_many_as_said(stages: list[StageSpec], data: st.DataObject) -> None:
    profile = Profile(stages)
    spans = [profile.user_spans(user) for user in range(profile.most_users + 1)]
    t = data.draw(st.floats(0, profile.span_s))
    edges = {edge for some in spans for span in some for edge in span}
    near = any(abs(edge - t * _NS) < 1000 for edge in edges)
    there = sum(begin <= t * _NS < end for some in spans for begin, end in some)
    assert near or t == profile.span_s or there == profile.users_at(t)
    for some in spans:
        assert all(begin < end for begin, end in some)
        assert all(one[1] < other[0] for one, other in pairwise(some))
    assert spans[-1] == ()
    line = _level(stages, t)
    assert near or t == profile.span_s or abs(profile.users_at(t) - line) <= 0.5 + 1e-6


def _level(stages: list[StageSpec], t: float) -> float:
    """The line through the stages."""
    at, level = 0.0, 0.0
    for one in stages:
        length = one.for_s or 0.0
        end = float(one.users if one.users is not None else one.users_to or 0)
        begin = end if one.users is not None else level
        if t < at + length:
            return begin + (end - begin) * (t - at) / length
        at, level = at + length, end
    return level


def test_a_user_more_for_half_a_stage() -> None:
    profile = Profile([stage("10s", users_to=1)])
    assert profile.user_spans(0) == ((5 * _NS, 10 * _NS),)
    assert profile.expected(5) == pytest.approx(0)
