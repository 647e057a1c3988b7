"""When a target may be loaded at all: opening hours, closed hours, freezes. docs/load-safety.md is its reference. Pure.

Hours are those of the clock on the wall in the windows' own zone, so an hour that a change to summer time leaves out
never comes, and one that is repeated counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from tracer_bullet.workspace.fields import Why
from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.mistakes import suggest

Command = Literal["load", "replay", "chaos"]
COMMANDS: Final[tuple[Command, ...]] = ("load", "replay", "chaos")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_DAY: Final = timedelta(days=1)
# A weekly pattern has shown all that it does.
_STRETCH: Final = timedelta(days=8)
# Longer ahead nobody needs to know.
_AHEAD: Final = timedelta(days=400)
# No zone changes its offset twice within it.
_GRID: Final = timedelta(hours=6)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{value!r} is no time zone; write one as Europe/Berlin or UTC") from None
    return value


def _days(value: Any) -> Any:
    """`mon-fri`, `sat, sun`, or a list of days → numbers from Monday, 0 to 6."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    found: set[int] = set()
    for part in parts:
        first, dash, last = str(part).strip().lower().partition("-")
        begin, end = _day(first), _day(last if dash else first)
        found.update((begin + n) % 7 for n in range((end - begin) % 7 + 1))
    return tuple(sorted(found))


def _day(text: str) -> int:
    name = text.strip()
    if name not in DAYS:
        raise ValueError(suggest(name, DAYS) or f"{name!r} is no day; they are {', '.join(DAYS)}, and mon-fri")
    return DAYS.index(name)


def _clock(value: Any) -> Any:
    """`HH:MM` → minutes of the day, 24:00 included."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError("must be a time of day in quotes, as '09:00'; '24:00' is the day's end")
    return int(value[:2]) * 60 + int(value[3:])


def _moment(value: str) -> str:
    try:
        if not _DATE.fullmatch(value) and not _MOMENT.fullmatch(value):
            raise ValueError
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date as 2026-12-20, or with a time as 2026-12-20T18:00") from None
    return value


Zone = Annotated[str, AfterValidator(_zone)]
Days = Annotated[
    tuple[Annotated[int, Field(ge=0, le=6)], ...],
    BeforeValidator(_days),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Clock = Annotated[int, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": f"^({_CLOCK.pattern})$"})]
Moment = Annotated[str, AfterValidator(_moment)]
"""A local date or time, without an offset."""


class HoursSpec(Spec):
    """Hours of the week. They end on the next day where `to` is before `from`."""

    days: Days = "mon-sun"  # type: ignore[assignment]  # validated, as what files say
    """On which they begin: `mon-fri`, `sat, sun`; every day unless it is given."""
    from_: Clock = Field(default="00:00", alias="from")  # type: ignore[assignment]
    to: Clock = "24:00"  # type: ignore[assignment]
    """Not included."""
    why: Why | None = None
    commands: tuple[Command, ...] = Field(default=COMMANDS, min_length=1)
    """What they bind."""

    @model_validator(mode="after")
    def _not_empty(self) -> HoursSpec:
        if self.from_ == self.to:
            raise ValueError("`from` and `to` are the same; a whole day is from '00:00' to '24:00'")
        return self

    def holds(self, local: datetime) -> bool:
        """Whether a moment on the zone's clock lies within."""
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        if self.from_ < self.to:
            return today and self.from_ <= minute < self.to
        return (today and minute >= self.from_) or (yesterday and minute < self.to)

    @property
    def text(self) -> str:
        """As people say it."""
        first, last, count = self.days[0], self.days[-1], len(self.days)
        names = (
            f"{DAYS[first]}-{DAYS[last]}" if count == last - first + 1 > 2 else ", ".join(DAYS[d] for d in self.days)
        )
        return f"{'every day' if count == 7 else names} {_hhmm(self.from_)} to {_hhmm(self.to)}"


class FreezeSpec(Spec):
    """A time without any load."""

    from_: Moment = Field(alias="from")
    """A date, from its beginning, or a time."""
    to: Moment
    """A date, to its end, or a time."""
    why: Why
    commands: tuple[Command, ...] = Field(default=COMMANDS, min_length=1)
    """What it binds."""

    @model_validator(mode="after")
    def _forward(self) -> FreezeSpec:
        if _begin_of(self.from_) >= _end_of(self.to):
            raise ValueError("`to` is before `from`")
        return self

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The first instant, and the first one after it; the longest that the zone's clock allows."""
        return min(_instants(_begin_of(self.from_), zone)), max(_instants(_end_of(self.to), zone))


class WindowsSpec(Spec):
    """When a target may be loaded: in one of the `open` hours where there are any, in none of the `closed`, and never
    in a `freeze`."""

    zone: Zone
    """Whose clock it is: `Europe/Berlin`."""
    open: tuple[HoursSpec, ...] = ()
    closed: tuple[HoursSpec, ...] = ()
    freeze: tuple[FreezeSpec, ...] = ()

    @property
    def clock(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a target may not be loaded now. `opens`: when it may again, None when not within a year."""

    rule: str
    opens: datetime | None

    @property
    def text(self) -> str:
        """As people say it."""
        return f"{self.rule}; it opens {show_moment(self.opens)}" if self.opens else f"{self.rule}; it does not open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """When a target that is open closes, and why."""

    at: datetime
    rule: str


def judge_windows(spec: WindowsSpec, now: datetime, *, command: Command) -> Refusal | None:
    """Why `command` may not load the target `now` (with its offset); None when it may."""
    rule = _rule_at(spec, command, _utc(now))
    if rule is None:
        return None
    opens = next((at for at in _changes(spec, _utc(now), _AHEAD) if _rule_at(spec, command, at) is None), None)
    return Refusal(rule=rule, opens=None if opens is None else opens.astimezone(spec.clock))


def closes(spec: WindowsSpec, now: datetime, within: timedelta, *, command: Command) -> Closing | None:
    """When a target that is open `now` closes; None when not `within` that time."""
    for at in _changes(spec, _utc(now), within):
        rule = _rule_at(spec, command, at)
        if rule is not None:
            return Closing(at=at.astimezone(spec.clock), rule=rule)
    return None


def show_moment(moment: datetime) -> str:
    """As `Mon 2026-12-21 09:00 CET`."""
    return moment.strftime("%a %Y-%m-%d %H:%M %Z")


def _rule_at(spec: WindowsSpec, command: Command, at: datetime) -> str | None:
    """The rule that refuses at an instant."""
    zone = spec.clock
    for freeze in spec.freeze:
        begin, end = freeze.bounds(zone)
        if command in freeze.commands and begin <= at < end:
            return f"frozen from {freeze.from_} to {freeze.to} ({freeze.why})"
    local = at.astimezone(zone)
    for hours in spec.closed:
        if command in hours.commands and hours.holds(local):
            return f"closed {hours.text}{_because(hours)}"
    hours_open = [hours for hours in spec.open if command in hours.commands]
    if hours_open and not any(hours.holds(local) for hours in hours_open):
        return f"open only {'; '.join(hours.text + _because(hours) for hours in hours_open)}"
    return None


def _changes(spec: WindowsSpec, since: datetime, within: timedelta) -> Iterator[datetime]:
    """Every instant after `since`, up to `within` later, at which what holds may change, in order."""
    zone, until = spec.clock, since + within
    frozen = [at for freeze in spec.freeze for at in freeze.bounds(zone)]
    minutes = {minute for hours in (*spec.open, *spec.closed) for minute in (hours.from_, hours.to)}
    while since < until:
        end = min(since + _STRETCH, until)
        found = {*frozen, *_clock_changes(zone, since, end)}
        day = since.astimezone(zone).date() - _DAY
        while minutes and day <= end.astimezone(zone).date():
            found.update(at for minute in minutes for at in _instants(_at(day, minute), zone))
            day += _DAY
        yield from sorted(at for at in found if since < at <= end)
        since = end


def _clock_changes(zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[datetime]:
    """The instants at which the zone's clock jumps, to the second."""
    while since < until:
        end = min(since + _GRID, until)
        if since.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
            low, high = 0, int((end - since).total_seconds())
            while high - low > 1:
                middle = (low + high) // 2
                same = (since + timedelta(seconds=middle)).astimezone(zone).utcoffset()
                low, high = (middle, high) if same == since.astimezone(zone).utcoffset() else (low, middle)
            yield (since + timedelta(seconds=high)).replace(microsecond=0)
        since = end


def _instants(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants at which the zone's clock shows a time: equal but where it is repeated, or never comes (PEP 495)."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _begin_of(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def _end_of(moment: str) -> datetime:
    parsed = datetime.fromisoformat(moment)
    return parsed + _DAY if _DATE.fullmatch(moment) else parsed


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without its offset is none")
    return moment.astimezone(UTC)


def _because(hours: HoursSpec) -> str:
    return f" ({hours.why})" if hours.why else ""


def _hhmm(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
