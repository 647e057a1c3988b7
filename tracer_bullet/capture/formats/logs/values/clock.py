"""Times as logs write them → Unix nanoseconds. Pure; what is no time is None, never an error.

A time may lie in several places of a line (Apache's `%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t`): so a `Stamp` gives parts,
and `Clock` puts the parts of one line together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, NamedTuple

_SECOND_NS: Final = 1_000_000_000
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LAST_NS: Final = 1 << 62
_CACHED: Final = 4096
_SECONDS_DIGITS: Final = 11

Whole = Callable[[str], int | None]
Parts = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How a time, or a part of one, is written.

    `pattern`: a regular expression without groups. `whole` reads it alone; where it is None, `parts` gives what it
    knows, and the rest is elsewhere. `fine`: it tells fractions of a second. `zoned`: it says its zone, or is an epoch.
    """

    pattern: str
    fine: bool
    zoned: bool = True
    whole: Whole | None = None
    parts: Callable[[str], Parts | None] | None = None


def clf(text: str) -> int | None:
    """`10/Oct/2000:13:55:36 -0700`, with or without brackets."""
    found = _CLF.fullmatch(text)
    if found is None:
        return None
    day, month, year, hour, minute, second, sign, zone_h, zone_m = found.groups()
    return _moment({"d": day, "b": month, "Y": year, "H": hour, "M": minute, "S": second, "z": sign + zone_h + zone_m})


_CLF: Final = re.compile(r"\[?(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\]?", re.ASCII)
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_ZONE: Final = re.compile(r"([+-])(\d\d):?(\d\d)?")


def iso(text: str) -> int | None:
    """RFC 3339 and what is near it; without a zone it is UTC."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    second, fraction, zone = found.groups()
    base = _iso_second(second, zone or "Z")
    if base is None:
        return None
    return base + int(fraction.ljust(9, "0")) if fraction else base


@lru_cache(_CACHED)
def _iso_second(text: str, zone: str) -> int | None:
    date, clock = text[:10].split("-"), text[11:].split(":")
    return _moment({"Y": date[0], "m": date[1], "d": date[2], "H": clock[0], "M": clock[1], "S": clock[2], "z": zone})


def epoch(unit_ns: int) -> Whole:
    """Reads a number of units since 1970, perhaps with decimals, exactly."""

    def read(text: str) -> int | None:
        return scaled(text, unit_ns)

    return read


def scaled(text: str, unit_ns: int) -> int | None:
    """A decimal number of units in nanoseconds, without going through floating point. Negative: None."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 20):
        return None
    value = int(whole) * unit_ns
    if fraction:
        if not (fraction.isascii() and fraction.isdigit()):
            return None
        fraction = fraction[:9]
        value += int(fraction) * unit_ns // 10 ** len(fraction)
    return value if value < _LAST_NS else None


CLF: Final = Stamp(pattern=r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", fine=False, whole=clf)
BRACKETED_CLF: Final = Stamp(pattern=r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", fine=False, whole=clf)
_ISO_PATTERN: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d++)?+(?:Z|z|[+-]\d\d(?::?\d\d)?+)?+"
ISO: Final = Stamp(pattern=_ISO_PATTERN, fine=True, whole=iso)
ISO_SECONDS: Final = Stamp(pattern=_ISO_PATTERN, fine=False, whole=iso)


def epoch_stamp(unit_ns: int) -> Stamp:
    """Numbers since 1970; `fine` for what is not whole seconds must be judged by the text, so it is taken as fine."""
    return Stamp(pattern=r"\d++(?:\.\d++)?+", fine=True, whole=epoch(unit_ns))


class Moment(NamedTuple):
    """Unix nanoseconds; `fine`: with a fraction of a second; `zoned`: no zone had to be assumed."""

    ns: int
    fine: bool
    zoned: bool


class Clock:
    """Reads the time that the columns at some places of a line tell: each for itself, or their parts together."""

    def __init__(self, stamps: Sequence[tuple[int, Stamp]]) -> None:
        self._parts = tuple(stamps)
        self._is_fine = any(stamp.fine for _, stamp in stamps)
        self._is_zoned = any(stamp.zoned for _, stamp in stamps)
        whole = [(place, stamp.whole, stamp) for place, stamp in stamps if stamp.whole is not None]
        self._known: dict[str | None, Moment] = {}
        # A fraction that stands apart belongs to the whole seconds beside it.
        apart = any(stamp.fine and stamp.whole is None for _, stamp in stamps)
        self._whole = () if apart else tuple(sorted(whole, key=lambda each: not each[2].fine))

    def read(self, values: Sequence[str | None]) -> Moment | None:
        """None when it is not there, or no time."""
        for place, whole, stamp in self._whole:
            text = values[place]
            if text in self._known:  # a busy log repeats its seconds
                return self._known[text]
            if text and (ns := whole(text)) is not None:
                moment = Moment(ns, stamp.fine and (ns % _SECOND_NS != 0 or _tells_more(text)), stamp.zoned)
                if not stamp.fine:
                    self._remember(text, moment)
                return moment
        return None if self._whole else self._together(values)

    def _remember(self, text: str, moment: Moment) -> None:
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[text] = moment

    def _together(self, values: Sequence[str | None]) -> Moment | None:
        parts: Parts = {}
        for place, stamp in self._parts:
            text = values[place]
            if not text:
                return None
            if stamp.parts is not None:
                found = stamp.parts(text)
                if found is None:
                    return None
                parts.update(found)
            elif stamp.whole is not None and (base := stamp.whole(text)) is not None:
                parts["base"] = str(base)
        ns = assemble(parts)
        return None if ns is None else Moment(ns, self._is_fine, self._is_zoned)


def _tells_more(text: str) -> bool:
    """Whether a time of a whole second says so: by decimals, or as a number of smaller units."""
    return "." in text or "," in text or (text.isdigit() and len(text) > _SECONDS_DIGITS)


def assemble(parts: Mapping[str, str]) -> int | None:
    """Unix nanoseconds of parts named by their strftime letter; `f` are decimals, `ms`, `us`, `base` are epochs."""
    if "base" in parts:
        base: int | None = int(parts["base"])
    elif "us" in parts:
        return scaled(parts["us"], 1000)
    elif "ms" in parts:
        return scaled(parts["ms"], 1_000_000)
    elif "s" in parts:
        base = scaled(parts["s"], _SECOND_NS)
    else:
        base = _moment(parts)
    if base is None:
        return None
    fraction = parts.get("f", "")
    return base + int(fraction[:9].ljust(9, "0")) if fraction else base


def _moment(parts: Mapping[str, str]) -> int | None:
    try:
        year = int(parts["Y"]) if "Y" in parts else _century(int(parts["y"]))
        hour = int(parts["H"]) if "H" in parts else int(parts["I"]) % 12 + 12 * (parts["p"].lower() == "pm")
        day = _day(year, parts)
        zone = _zone(parts.get("z", "Z"))
        # A leap second is the last one of its minute: datetime knows none.
        second = min(int(parts.get("S", "0")), 59)
        moment = day.replace(hour=hour, minute=int(parts.get("M", "0")), second=second, tzinfo=zone)
        value = int(moment.timestamp()) * _SECOND_NS
    except (KeyError, ValueError, OverflowError):
        return None
    return value if 0 <= value < _LAST_NS else None


def _century(year: int) -> int:
    return year + (2000 if year < 69 else 1900)  # POSIX strptime


def _day(year: int, parts: Mapping[str, str]) -> datetime:
    if "j" in parts:
        return datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=int(parts["j"]) - 1)
    month = int(parts["m"]) if "m" in parts else _MONTHS.index(parts["b"][:3].lower()) + 1
    return datetime(year, month, int(parts["d"]), tzinfo=UTC)


def _zone(text: str) -> timezone:
    found = _ZONE.fullmatch(text)
    if found is None:
        return UTC
    ahead = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(-ahead if found[1] == "-" else ahead)
