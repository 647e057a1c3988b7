"""A profile of rates: how many iterations, and when, against the integral of the rate written down a second time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.profile.stages import any_curve, any_stage, integral, stage
from tracer_bullet.errors import UsageError
from tracer_bullet.load.profile import Profile
from tracer_bullet.workspace.traffic import StageSpec

_NS = 1_000_000_000
# Sums of the two ways may differ in their last digits.
_FAINT = 1e-6

some_stages = st.lists(any_stage, min_size=1, max_size=5)


def all_due(profile: Profile, first: int = 0) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=np.int64), *profile.due_ns(first)])


@given(some_stages)
@settings(deadline=None)
def test_as_many_iterations_as_the_integral_says(stages: list[StageSpec]) -> None:
    until = integral(stages)
    profile = Profile(stages)
    assert abs(profile.total - until(profile.span_s)) <= 0.5 + _FAINT
    assert len(all_due(profile)) == profile.total
    assert profile.span_s == pytest.approx(sum(s.for_s or 0 for s in stages))


@given(some_stages, st.data())
@settings(deadline=None)
def test_any_window_has_as_many_as_its_integral_but_for_one(stages: list[StageSpec], data: st.DataObject) -> None:
    until = integral(stages)
    profile = Profile(stages)
    due = all_due(profile)
    assert np.all(np.diff(due) >= 0)
    assert not len(due) or (due[0] >= 0 and due[-1] <= round(profile.span_s * _NS))
    at = st.floats(0, profile.span_s)
    for _ in range(10):
        begin, end = sorted((data.draw(at), data.draw(at)))
        found = int(np.searchsorted(due, end * _NS) - np.searchsorted(due, begin * _NS))
        assert abs(found - (until(end) - until(begin))) <= 1 + _FAINT


@given(some_stages, st.data())
@settings(deadline=None)
def test_what_it_says_of_its_rate_is_the_slope_of_the_integral(stages: list[StageSpec], data: st.DataObject) -> None:
    profile, until = Profile(stages), integral(stages)
    t, step = data.draw(st.floats(0, profile.span_s * 0.999)), 1e-5
    assert profile.expected(t) == pytest.approx(until(t), abs=1e-6)
    if all(abs(edge - t) > 2 * step for edge in kinks(stages)):
        slope = (until(t + step) - until(t - step)) / (2 * step)
        assert profile.rate_at(t) == pytest.approx(slope, rel=1e-3, abs=1e-2)
    assert profile.rate_at(-1) == profile.rate_at(profile.span_s + 1) == 0


def kinks(stages: list[StageSpec]) -> list[float]:
    """Where the rate may jump or bend."""
    edges, at = [0.0], 0.0
    for one in stages:
        length = one.for_s or 0
        parts = len(one.steps) or (2 if one.spike else 1)
        edges += [at + length * k / parts for k in range(1, parts + 1)]
        at += length
    return edges


@given(some_stages, st.sampled_from(["even", "poisson"]), st.integers(-3, 10), st.data())
@settings(deadline=None)
def test_whoever_begins_anywhere_has_the_same_schedule(
    stages: list[StageSpec], arrivals: str, seed: int, data: st.DataObject
) -> None:
    whole = all_due(Profile(stages, arrivals=arrivals, seed=seed))
    profile = Profile(stages, arrivals=arrivals, seed=seed)
    assert np.all(np.diff(whole) >= 0)
    first = data.draw(st.integers(0, profile.total + 1))
    assert np.array_equal(all_due(profile, first), whole[first:])
    at_ns = data.draw(st.integers(-5, round(profile.span_s * _NS) + 5))
    assert profile.first_at(at_ns) == np.searchsorted(whole, at_ns)
    if len(whole):
        exactly = int(whole[data.draw(st.integers(0, len(whole) - 1))])
        assert profile.first_at(exactly) == np.searchsorted(whole, exactly)


def test_a_day_at_ten_thousand_a_second_is_exact_to_its_end_and_begins_anywhere() -> None:
    profile = Profile([stage("24h", rate="10000/s")])
    assert profile.total == 864_000_000
    first = 863_999_000
    due = all_due(profile, first)
    exact = [(2 * n + 1) * _NS // 20_000 for n in range(first, profile.total)]
    assert np.array_equal(due, exact)
    assert profile.first_at(23 * 3600 * _NS) == 828_000_000


@pytest.mark.parametrize("arrivals", ["even", "poisson"])
def test_blocks_stay_small_however_long_a_profile_is(arrivals: str) -> None:
    profile = Profile([stage("24h", rate="10000/s")], arrivals=arrivals, seed=3)
    for place in (0, profile.total // 2, profile.total - 1):
        block = next(profile.due_ns(place))
        assert 0 < len(block) < 20_000
        assert block[0] / _NS == pytest.approx(place / 10_000, abs=30)


def test_where_the_rate_is_nothing_nothing_is_due() -> None:
    curve = {"quiet.tba": ((0.0, 5.0), (100.0, 5.0))}
    due = all_due(Profile([stage(curve="quiet.tba")], curves=curve)) / _NS
    assert len(due) == 10
    assert np.all((due <= 1) | (due >= 100))
    profile = Profile([stage("10s", rate="1/s"), stage("10s", sine="5/s", swing="5/s", period="10s")])
    trough = all_due(profile) / _NS - 10
    # Near its lowest point the wave's integral grows by 5 t³ (2π/10)² / 6: less than half an iteration in ±1 s.
    assert np.sum((trough > 6.7) & (trough < 8.3)) <= 1


@given(any_curve, st.none() | st.floats(0.5, 200), st.none() | st.floats(1, 500))
@settings(deadline=None)
def test_a_curve_keeps_its_shape_and_its_busiest_ten_seconds_reach_the_peak(
    points: list[tuple[int, int]], length: float | None, peak: float | None
) -> None:
    shape = {} if peak is None else {"peak": f"{peak}/s"}
    profile = Profile(
        [stage(length, curve="a.tba", **shape)], curves={"a.tba": tuple((float(a), float(n)) for a, n in points)}
    )
    counts = {second: n for second, n in points if n}
    recorded = max(counts) + 1
    assert profile.span_s == pytest.approx(recorded if length is None else length)
    stretch = profile.span_s / recorded
    rates = [profile.rate_at((second + 0.5) * stretch) for second in range(recorded)]
    factor = max(rates) / max(counts.values())
    assert rates == pytest.approx([factor * counts.get(second, 0) for second in range(recorded)])
    if peak is None:
        assert factor == pytest.approx(1)
        return
    window = min(10.0, profile.span_s)
    edges = [second * stretch for second in range(recorded + 1)]
    starts = [s for e in edges for s in (e, e - window) if 0 <= s <= profile.span_s - window + 1e-9]
    busiest = max(profile.expected(s + window) - profile.expected(s) for s in starts) / window
    assert busiest == pytest.approx(peak, rel=1e-6)


@pytest.mark.parametrize(
    ("stages", "curves", "code"),
    [
        ([stage(curve="a.tba")], {}, "TB1001"),
        ([stage(curve="a.tba")], {"a.tba": ((0.0, 0.0),)}, "TB1001"),
        ([stage("1m", users=0)], {}, "TB1002"),
    ],
)
def test_what_sends_nothing_is_refused(stages: list[StageSpec], curves: dict, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        Profile(stages, curves=curves)
    assert refused.value.code == code


def test_stages_in_words() -> None:
    stages = [
        stage("90s", rate="50/s"),
        stage("2m", ramp_to="100/s"),
        stage("1h", steps=["10/s", "30/min"]),
        stage("10s", spike="1000/s"),
        stage("24h", sine="50/s", swing="20/s", period="1h"),
        stage("500ms", curve="black-friday.tba", peak="500/s"),
    ]
    assert Profile(stages, curves={"black-friday.tba": ((0.0, 1.0),)}).lines() == (
        "90s: 50/s",
        "2m: from 50/s to 100/s",
        "1h: steps of 10/s, 30/min",
        "10s: from 30/min up to 1000/s and back",
        "24h: a wave around 50/s, ±20/s, every 1h",
        "500ms: as black-friday.tba, up to 500/s",
    )
    assert Profile([stage("5s", users=1), stage("5s", users_to=9)]).lines() == ("5s: 1 user", "5s: from 1 to 9 users")
