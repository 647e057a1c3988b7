"""Claim: a window holds by the clock on the wall, whatever that clock does, and its end is known to the second."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.workspace.windows import DAYS, WindowsSpec, closes, judge_windows, show_moment

# Half an hour of summer time, changes at midnight, a day that never was, 45 minutes of offset, none at all.
ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Kathmandu",
    "UTC",
)  # fmt: skip
# Around changes of these clocks.
MOMENTS = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC),
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC),
    ]
)  # fmt: skip
NOWS = st.builds(lambda at, s: at + timedelta(seconds=s), MOMENTS, st.integers(-3 * 86400, 3 * 86400))
CLOCKS = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
HOURS = st.builds(
    lambda days, begin, end, commands: {"days": days, "from": begin, "to": end, "commands": commands},
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7),
    CLOCKS,
    CLOCKS | st.just("24:00"),
    st.sampled_from([["load"], ["replay"], ["load", "replay"]]),
).filter(lambda hours: hours["from"] != hours["to"])
FREEZES = st.builds(
    lambda at, length: {
        "from": at.strftime("%Y-%m-%dT%H:%M"),
        "to": (at + timedelta(minutes=length)).strftime("%Y-%m-%dT%H:%M"),
        "why": "trade",
    },
    NOWS,
    st.integers(1, 3000),
)
SPECS = st.builds(
    lambda zone, opened, closed, freeze: WindowsSpec.model_validate(
        {"zone": zone, "open": opened, "closed": closed, "freeze": freeze}
    ),
    st.sampled_from(ZONES),
    st.lists(HOURS, max_size=2),
    st.lists(HOURS, max_size=2),
    st.lists(FREEZES, max_size=1),
)


def is_open(spec: WindowsSpec, now: datetime) -> bool:
    """The same, said in another way: over the set of minutes of a week, and by the texts of the dates."""
    local = now.astimezone(ZoneInfo(spec.zone))
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute

    def within(hours: Any) -> bool:
        length = (hours.to - hours.from_) % 1440 or 1440
        return any((minute - day * 1440 - hours.from_) % (7 * 1440) < length for day in hours.days)

    for freeze in spec.freeze:
        first, last = (
            [datetime.fromisoformat(t).replace(tzinfo=ZoneInfo(spec.zone), fold=f).timestamp() for f in (0, 1)]
            for t in (freeze.from_, freeze.to)
        )
        if min(first) <= now.timestamp() < max(last):
            return False
    mine = [hours for hours in spec.open if "load" in hours.commands]
    if any(within(hours) for hours in spec.closed if "load" in hours.commands):
        return False
    return not mine or any(map(within, mine))


@settings(max_examples=300)
@given(SPECS, NOWS)
def test_it_holds_by_the_wall_clock(spec: WindowsSpec, now: datetime) -> None:
    assert (judge_windows(spec, now, command="load") is None) == is_open(spec, now)


def moments(begin: datetime, end: datetime) -> list[datetime]:
    """Each seventh minute of a span, and its last second."""
    count = int((end - begin) / timedelta(minutes=7))
    found = [*(begin + timedelta(minutes=7 * n) for n in range(min(count, 600))), end - timedelta(seconds=1)]
    return [moment for moment in found if begin < moment < end]


@settings(max_examples=100)
@given(SPECS, NOWS)
def test_what_closes_and_opens_does_so_then_and_not_before(spec: WindowsSpec, now: datetime) -> None:
    refusal = judge_windows(spec, now, command="load")
    if refusal is None:
        closing = closes(spec, now, timedelta(days=2), command="load")
        end = now + timedelta(days=2) if closing is None else closing.at
        assert closing is None or not is_open(spec, closing.at)
    else:
        assert closes(spec, now, timedelta(0), command="load") is None
        end = refusal.opens or now + timedelta(days=10)
        assert refusal.opens is None or is_open(spec, refusal.opens)
    for moment in moments(now, end.astimezone(UTC)):
        assert is_open(spec, moment) == (refusal is None), moment


def windows(**more: Any) -> WindowsSpec:
    return WindowsSpec.model_validate({"zone": "Europe/Berlin", **more})


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


def refused(spec: WindowsSpec, local: str, command: Any = "load") -> str:
    refusal = judge_windows(spec, berlin(local), command=command)
    return "" if refusal is None else refusal.text


def test_business_hours() -> None:
    spec = windows(closed=[{"days": "mon-fri", "from": "09:00", "to": "17:00", "why": "customers call"}])
    assert refused(spec, "2026-11-23T08:59:59.999") == ""
    assert refused(spec, "2026-11-23T09:00") == (
        "closed mon-fri 09:00 to 17:00 (customers call); it opens Mon 2026-11-23 17:00 CET"
    )
    assert refused(spec, "2026-11-23T17:00") == ""
    assert refused(spec, "2026-11-22T12:00") == "", "a Sunday"


def test_nights_end_on_the_next_day() -> None:
    spec = windows(open=[{"days": "fri", "from": "22:00", "to": "06:00"}])
    assert refused(spec, "2026-11-20T22:00") == ""
    assert refused(spec, "2026-11-21T05:59") == "", "of Friday's night"
    assert refused(spec, "2026-11-20T05:59") == "open only fri 22:00 to 06:00; it opens Fri 2026-11-20 22:00 CET"


def test_a_freeze_of_days_holds_to_the_end_of_the_last_one() -> None:
    spec = windows(freeze=[{"from": "2026-12-20", "to": "2027-01-02", "why": "Christmas trade"}])
    assert refused(spec, "2026-12-19T23:59:59") == ""
    assert refused(spec, "2026-12-20T00:00") == (
        "frozen from 2026-12-20 to 2027-01-02 (Christmas trade); it opens Sun 2027-01-03 00:00 CET"
    )
    assert refused(spec, "2027-01-02T23:59:59") != ""
    assert refused(spec, "2027-01-03T00:00") == ""
    found = closes(spec, berlin("2026-12-01T00:00"), timedelta(days=60), command="load")
    assert found is not None
    assert show_moment(found.at) == "Sun 2026-12-20 00:00 CET"


def test_a_repeated_hour_is_closed_twice_and_a_missing_one_never() -> None:
    spec = windows(closed=[{"from": "02:15", "to": "02:45"}])
    autumn = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert [judge_windows(spec, at, command="load") is None for at in autumn] == [False, False]
    begin = datetime(2026, 3, 28, 23, tzinfo=UTC)
    spring = [begin + timedelta(minutes=n) for n in range(6 * 60)]
    assert all(judge_windows(spec, at, command="load") is None for at in spring)


def test_a_freeze_that_ends_in_a_repeated_hour_lasts_as_long_as_it_may() -> None:
    """02:30 comes at 00:30 and at 01:30 UTC."""
    until = windows(freeze=[{"from": "2026-10-24", "to": "2026-10-25T02:30", "why": "x"}])
    since = windows(freeze=[{"from": "2026-10-25T02:30", "to": "2026-10-26", "why": "x"}])
    between = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    for spec in (until, since):
        assert judge_windows(spec, between, command="load") is not None
    assert judge_windows(until, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), command="load") is None
    assert judge_windows(since, datetime(2026, 10, 25, 0, 29, tzinfo=UTC), command="load") is None


def test_hours_that_end_in_a_repeated_hour_end_twice() -> None:
    spec = windows(closed=[{"from": "01:00", "to": "02:30"}])
    found = judge_windows(spec, datetime(2026, 10, 25, 1, 10, tzinfo=UTC), command="load")
    assert found is not None
    assert found.opens is not None
    assert found.opens.astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_what_a_jump_of_the_clock_closes_is_foretold() -> None:
    spec = windows(closed=[{"from": "02:30", "to": "04:00"}])
    found = closes(spec, datetime(2026, 3, 29, 0, 0, 0, 5, tzinfo=UTC), timedelta(hours=5), command="load")
    assert found is not None
    assert found.at == datetime(2026, 3, 29, 1, tzinfo=UTC), "it is 03:00 at once"


def test_commands() -> None:
    spec = windows(closed=[{"commands": ["load"]}])
    assert refused(spec, "2026-11-23T10:00") == "closed every day 00:00 to 24:00; it does not open"
    assert refused(spec, "2026-11-23T10:00", "replay") == ""
    only = windows(open=[{"days": "sun", "commands": ["chaos"]}])
    assert refused(only, "2026-11-23T10:00") == "", "no hours are said of load"


def test_a_moment_without_an_offset_is_none() -> None:
    with pytest.raises(ValueError, match="offset"):
        judge_windows(windows(), datetime(2026, 1, 1), command="load")  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon", "mon"), ("Mon-Fri", "mon-fri"), ("sat, sun", "sat, sun"), (["sat", "mon"], "mon, sat"),
     ("fri-mon", "mon, fri, sat, sun"), ("sun-sat", "every day")],
)  # fmt: skip
def test_days(text: Any, days: str) -> None:
    (hours,) = windows(open=[{"days": text}]).open
    assert hours.text == f"{days} 00:00 to 24:00"


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"zone": "Europe/Berln"}, "is no time zone"),
        ({"zone": "../etc/passwd"}, "is no time zone"),
        ({"zone": ""}, "is no time zone"),
        ({"open": [{"days": "tues"}]}, "did you mean 'tue'"),
        ({"open": [{"days": []}]}, "at least 1"),
        ({"open": [{"days": [1]}]}, "is no day"),
        ({"open": [{"from": "9:00"}]}, "must be a time of day"),
        ({"open": [{"from": "25:00"}]}, "must be a time of day"),
        ({"open": [{"from": 540}]}, "must be a time of day"),
        ({"open": [{"from": "10:00", "to": "10:00"}]}, "are the same"),
        ({"freeze": [{"from": "2026-12-20", "to": "2026-12-19", "why": "x"}]}, "`to` is before `from`"),
        ({"freeze": [{"from": "2026-02-30", "to": "2026-12-19", "why": "x"}]}, "must be a date"),
        ({"freeze": [{"from": "2026-02-01T10:00+01:00", "to": "2026-12-19", "why": "x"}]}, "must be a date"),
        ({"freeze": [{"from": "2026-02-01", "to": "2026-12-19", "why": " "}]}, "must say why"),
        ({"closed": [{"commands": ["fire"]}]}, "'load', 'replay' or 'chaos'"),
    ],
)
def test_mistakes(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        windows(**given_)


def test_a_freeze_of_one_day() -> None:
    day = date(2026, 12, 24).isoformat()
    assert refused(windows(freeze=[{"from": day, "to": day, "why": "x"}]), "2026-12-24T23:59") != ""
