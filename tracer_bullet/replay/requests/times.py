"""Moving a time in the form that it is written in. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d)(:\d\d)?([.,]\d+)?\s?(Z|z|[+-]\d\d:?\d\d)?")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH: Final = re.compile(r"(\d{9,19})(\.\d+)?")
# How many digits a moment between 1973 and 5138 has in seconds, ms, µs and ns.
_UNITS: Final = ((9, 11, 1_000_000_000), (12, 14, 1_000_000), (15, 17, 1_000), (18, 19, 1))
_DAY_NS: Final = 86_400_000_000_000


def moved(text: str, start_ns: int, delta_ns: int) -> str | None:
    """A time of the recording, `delta_ns` later, in its own form; None when it is in none that is known.

    Known: ISO 8601 (date, or date and time, any zone and fraction), seconds, milliseconds, microseconds and
    nanoseconds since 1970, HTTP dates. A date moves by the days between the recording's `start_ns` and the replay.
    """
    stripped = text.strip()
    if (iso := _ISO.fullmatch(stripped)) is not None:
        return _iso(iso, delta_ns)
    try:
        if _DATE.fullmatch(stripped):
            days = (start_ns + delta_ns) // _DAY_NS - start_ns // _DAY_NS
            return (date.fromisoformat(stripped) + timedelta(days=days)).isoformat()
        if (epoch := _EPOCH.fullmatch(stripped)) is not None:
            return _epoch(epoch, delta_ns)
        if stripped.endswith("GMT"):
            return format_datetime(_plus(parsedate_to_datetime(stripped).astimezone(UTC), delta_ns), usegmt=True)
    except (ValueError, OverflowError, TypeError):
        return None
    return None


def _plus(moment: datetime, delta_ns: int) -> datetime:
    return moment + timedelta(microseconds=delta_ns // 1000)


def _epoch(epoch: re.Match[str], delta_ns: int) -> str | None:
    digits, fraction = epoch[1], epoch[2] or ""
    for least, most, unit in _UNITS:
        if least <= len(digits) <= most:
            if not fraction:
                return str(int(digits) + round(delta_ns / unit))
            places = len(fraction) - 1
            scaled = int(digits + fraction[1:]) + round(delta_ns * 10**places / unit)
            return f"{scaled // 10**places}.{scaled % 10**places:0{places}}"
    return None


def _iso(iso: re.Match[str], delta_ns: int) -> str | None:
    day, between, minutes, seconds, fraction, zone = iso.groups()
    digits = (fraction or ".")[1:]
    try:
        whole = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}").replace(tzinfo=UTC)
        nanoseconds = int((digits + "0" * 9)[:9]) + delta_ns
        whole += timedelta(seconds=nanoseconds // 1_000_000_000)
    except (ValueError, OverflowError):
        return None
    rest = f"{nanoseconds % 1_000_000_000:09}"
    text = whole.strftime(f"{whole.year:04}-%m-%d{between}%H:%M") + (whole.strftime(":%S") if seconds else "")
    if fraction:
        text += fraction[0] + (rest + "0" * len(digits))[: len(digits)]
    return text + (zone or "")
