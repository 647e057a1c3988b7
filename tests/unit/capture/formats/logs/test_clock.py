"""Times as logs write them are read exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.logs.reading import one, read
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.values import clock, strftime
from tracer_bullet.capture.formats.registry import FORMATS

_S = 1_000_000_000
_ZONES = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=_ZONES).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _ns(moment: datetime) -> int:
    return int((moment - _EPOCH) / timedelta(seconds=1)) * _S


@given(_MOMENTS)
def test_common_log_format(moment: datetime) -> None:
    text = f"{moment:%d/%b/%Y:%H:%M:%S %z}"
    assert clock.clf(text) == clock.clf(f"[{text}]") == _ns(moment)


@given(_MOMENTS, st.integers(0, 999_999_999), st.integers(0, 9), st.sampled_from("T "), st.booleans())
def test_iso_with_any_number_of_decimals(moment: datetime, ns: int, digits: int, letter: str, utc: bool) -> None:
    decimals = f"{ns:09}"[:digits]
    moment = moment.astimezone(UTC) if utc else moment
    zone = "Z" if utc else f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5]
    text = f"{moment:%Y-%m-%d}{letter}{moment:%H:%M:%S}{'.' + decimals if decimals else ''}{zone}"
    assert clock.iso(text) == _ns(moment) + int(decimals.ljust(9, "0"))


@given(st.integers(0, 2 * 10**18))
def test_epochs_are_exact(ns: int) -> None:
    assert clock.scaled(f"{ns // _S}.{ns % _S:09}", _S) == ns
    assert clock.scaled(str(ns // 1000), 1000) == ns // 1000 * 1000
    assert clock.scaled(f"{ns // 1_000_000}.{ns % 1_000_000:06}", 1_000_000) == ns


_DAYS = ("%d/%b/%Y", "%F", "%D", "%e %B %Y", "%Y%j", "%y%m%d", "%a, %d %h %Y")
_TIMES = ("%T", "%H:%M:%S", "%I:%M:%S %p", "%r", "%H%M%S")


@given(_MOMENTS, st.sampled_from(_DAYS), st.sampled_from(_TIMES), st.booleans())
def test_strftime_formats(moment: datetime, day: str, time: str, zoned: bool) -> None:
    moment = moment if zoned else moment.astimezone(UTC)
    if "%y" in day or "%D" in day:
        moment = moment.replace(year=1999 if moment.year < 2000 else 2000 + moment.year % 60, day=min(moment.day, 28))
    text = f"{day} {time}{' %z' if zoned else ''}"
    stamp = strftime.stamp_of(text)
    assert stamp is not None
    assert stamp.parts is not None
    assert stamp.zoned is zoned
    # C's names of months and days, whatever the locale.
    parts = stamp.parts(moment.strftime(text))
    assert parts is not None
    assert clock.assemble(parts) == _ns(moment)


@pytest.mark.parametrize("pattern", ["%Q", "%", "%5", "a%", "%E2Q", "%H %H", "%T %S"])
def test_strftime_formats_that_are_unknown(pattern: str) -> None:
    assert strftime.stamp_of(pattern) is None


@pytest.mark.parametrize(
    "text",
    ["", "-", "99/Nov/2026:19:45:03 +0100", "21/Foo/2026:19:45:03 +0100", "21/Nov/2026:25:45:03 +0100",
     "21/Nov/0001:19:45:03 +0100", "21/Nov/2026:19:45:03 +9999", "31/Feb/2026:19:45:03 +0000", "\u0661" * 26],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert clock.clf(text) is None


@pytest.mark.parametrize("text", ["-1", "1.-1", "1e3", "1.x", "x", "9" * 30, "\u0661"])
def test_what_is_no_number(text: str) -> None:
    assert clock.scaled(text, _S) is None


def test_a_leap_second_is_the_last_of_its_minute() -> None:
    assert clock.clf("31/Dec/2016:23:59:60 +0000") == clock.clf("31/Dec/2016:23:59:59 +0000")


def test_times_without_a_zone_are_utc_and_said_so() -> None:
    found, losses = read(FORMATS["apache"], "2026-11-21 19:45:03 GET / HTTP/1.1", log_format="%{%F %T}t %r")
    assert found[0].started_ns == 1795290303 * _S
    assert losses.repaired == {c.NO_ZONE: 1}


def test_start_is_never_before_1970() -> None:
    assert (
        one(FORMATS["nginx"], "5.000 9.000 GET / HTTP/1.1", log_format="$msec $request_time $request").started_ns == 0
    )


def test_an_end_that_lies_before_its_start_is_none() -> None:
    log_format = "%{begin:msec}t %{end:sec}t %r"
    found = one(FORMATS["apache"], "1795290303900 1795290303 GET / HTTP/1.1", log_format=log_format)
    assert found.ended_ns is None
