"""Burn rates and error budgets against the numbers of Google's SRE Workbook, chapter 5."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.graph.slo.calls import MINUTE, availability, call, engine_of
from tracer_bullet.graph.slo import judge_objectives
from tracer_bullet.graph.slo.budget import Minutes, budget_left, burn_rates

DAY = 1_440
MONTH_S = 30 * 86_400.0


def minutes(bad: dict[int, int], *, days: float, calls: int = 1_000) -> Minutes:
    """`calls` in every minute, `bad` of them by minute."""
    length = round(days * DAY)
    column = np.zeros(length, dtype=np.int64)
    for minute, number in bad.items():
        column[minute] = number
    at = np.arange(length, dtype=np.int64)
    return Minutes(minute=at, calls=np.full(length, calls, dtype=np.int64), bad=column, first=0, last=length - 1)


def test_the_limits_are_the_workbooks_for_thirty_days() -> None:
    """Table 5-8: 14.4 over 1 h with 5 min, 6 over 6 h with 30 min, 1 over 3 d with 6 h."""
    rates = burn_rates(minutes({}, days=30), target=0.999, budget_s=MONTH_S)
    assert [(r.window_s, r.short_s, r.limit) for r in rates] == [
        (3_600, 300, 14.4), (21_600, 1_800, 6.0), (259_200, 21_600, 1.0)
    ]  # fmt: skip
    assert not any(r.fired or r.rate for r in rates)


def test_an_outage_of_everything_is_a_burn_of_a_thousand_at_three_nines() -> None:
    """Table 5-6: at 99.9 %, a burn rate of 1,000 uses a 30-day budget up in 43 minutes."""
    outage = {1_000 + i: 1_000 for i in range(43)}
    rates = burn_rates(minutes(outage, days=30), target=0.999, budget_s=MONTH_S)
    assert rates[0].rate == pytest.approx(1_000 * 43 / 60, rel=1e-6)
    assert all(r.fired for r in rates[:2])
    assert budget_left(minutes(outage, days=30), target=0.999, budget_s=MONTH_S) == pytest.approx(1 - 43 / 43.2)


@pytest.mark.parametrize(("per_minute", "fired"), [(144, True), (143, False)])
def test_a_burn_of_exactly_the_limit_fires(per_minute: int, fired: bool) -> None:
    """An hour at 1.44 % errors at 99.9 % is a burn rate of 14.4, and 2 % of the month's budget."""
    busy = minutes({5_000 + i: per_minute for i in range(60)}, days=30, calls=10_000)
    assert burn_rates(busy, target=0.999, budget_s=MONTH_S)[0].fired is fired
    used = 1 - budget_left(busy, target=0.999, budget_s=MONTH_S)
    assert used == pytest.approx(0.02 * per_minute / 144)


def test_the_short_window_must_burn_too() -> None:
    """A burst of one minute in each long window has the rate, but is over before the long window knows."""
    rates = burn_rates(minutes({100: 1_000}, days=1), target=0.999, budget_s=MONTH_S)
    assert rates[0].rate == pytest.approx(1_000 / 60)
    assert rates[0].fired, "within five minutes of the burst both windows are above 14.4"
    spread = {i: 20 if i % 60 < 55 else 0 for i in range(DAY)}
    late = burn_rates(minutes(spread, days=1), target=0.999, budget_s=MONTH_S)
    assert late[0].rate == pytest.approx(20 * 55 / 60)


def test_a_burn_that_is_long_over_does_not_fire() -> None:
    """Many good calls leave the hour's window while the bad ones are still in it: nobody is called so late."""
    late = Minutes(minute=np.array([0, 1]), calls=np.array([10_000, 100]), bad=np.array([0, 100]), first=0, last=70)
    (hour,) = burn_rates(late, target=0.999, budget_s=MONTH_S)
    assert (hour.rate, hour.fired) == (pytest.approx(1_000), False)


@pytest.mark.parametrize(
    ("days", "windows"), [(0.04, []), (0.05, [3_600]), (0.3, [3_600, 21_600]), (3, [3_600, 21_600, 259_200])]
)
def test_only_windows_that_the_data_covers(days: float, windows: list[float]) -> None:
    assert [r.window_s for r in burn_rates(minutes({}, days=days), target=0.9, budget_s=MONTH_S)] == windows


def test_limits_follow_the_period_of_the_budget() -> None:
    """2 % of 28 days in an hour is 13.44; a day's budget has no alert on an hour, which would be within it."""
    assert burn_rates(minutes({}, days=1), target=0.9, budget_s=28 * 86_400.0)[0].limit == 13.44
    assert burn_rates(minutes({}, days=1), target=0.9, budget_s=86_400.0) == ()


def test_a_short_run_uses_little_of_a_months_budget() -> None:
    """An hour with 10 bad calls of 1,000 at 99 %: 720 such hours are allowed 7,200."""
    hour = Minutes(minute=np.array([0, 59]), calls=np.array([500, 500]), bad=np.array([10, 0]), first=0, last=59)
    assert budget_left(hour, target=0.99, budget_s=MONTH_S) == pytest.approx(1 - 10 / 7_200)


def test_more_than_there_is_is_told_as_negative() -> None:
    assert budget_left(minutes({0: 500}, days=1), target=0.9999, budget_s=86_400.0) == pytest.approx(1 - 500 / 144)


def test_clocks_years_apart_do_not_cost_memory() -> None:
    far = Minutes(
        minute=np.array([0, 50_000_000]), calls=np.array([1, 10]), bad=np.array([1, 5]), first=0, last=50_000_000
    )
    assert [r.rate for r in burn_rates(far, target=0.9, budget_s=MONTH_S)] == pytest.approx([5.0, 5.0, 5.0])


def test_from_spans_to_burn_rates() -> None:
    """Two hours of a call every 10 s, the last half hour failing."""
    spans = [call(i, i * MINUTE // 6, failed=i >= 540) for i in range(720)]
    with engine_of(spans) as engine:
        (verdict,) = judge_objectives(engine, [availability(0.99)])
    (hour,) = verdict.burn_rates
    assert (hour.window_s, hour.rate, hour.fired) == (3_600, pytest.approx(50), True)
    assert verdict.met is False
    assert verdict.budget_left == pytest.approx(1 - 180 / (0.01 * 720 * 360))
