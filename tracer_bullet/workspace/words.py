"""The tokens of one line of text, for grammars that people write in YAML: objectives and demands. Pure."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.workspace.mistakes import suggest

UNITS_S: Final = {
    **dict.fromkeys(("us", "µs", "μs"), 1e-6),
    "ms": 1e-3,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "m"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604_800.0),
}
_TOKEN: Final = re.compile(r"\s*(<=|>=|[=!]==?|[<>≤≥%]|[0-9]xx\b|p?[0-9]+(?:\.[0-9]+)?|[A-Za-z_µμ]+|\S)")


class Words:
    """The tokens of one text, read from left to right; what is wrong is told with its place.

    Units are those of time. All methods that need something raise ValueError, in words for people.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = [(m[1], m.start(1)) for m in _TOKEN.finditer(text)]
        self._at = 0

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        """The next token, and go on."""
        found = self.peek()
        self._at += 1
        return found

    def accept(self, *wanted: str) -> bool:
        """Go on if the next token is one of these, in whatever case."""
        if self.peek().lower() in wanted:
            self._at += 1
            return True
        return False

    def need(self, *wanted: str) -> None:
        """Go on past one of these; the first one is named when none is there."""
        if not self.accept(*wanted):
            raise self.unexpected(f"`{wanted[0]}`", wanted)

    def end(self, *continuations: str) -> None:
        """Need the end; `continuations` are what could have gone on here."""
        if self.peek():
            more = [f"`{c}`" for c in continuations]
            raise self.unexpected(" or ".join([*more, "the end"]), continuations)

    def duration(self) -> float:
        """Seconds of a number with a unit; more than 0."""
        number = self.number("a duration as `300 ms`")
        unit = self.peek()
        if unit not in UNITS_S:
            if unit.lower() in UNITS_S and unit.lower() != unit:
                raise self.unexpected("a unit of time", (unit.lower(),))
            raise self.unexpected("a unit of time (us, ms, s, min, h, d or w)", tuple(UNITS_S))
        self.take()
        seconds = number * UNITS_S[unit]
        if seconds <= 0:
            raise ValueError(f"{self.text!r}: a duration must be longer than 0")
        return seconds

    def percent(self) -> float:
        """A share of a number and `%`, both ends excluded."""
        share = self.number("a share as `99.9 %`")
        self.need("%")
        return self.checked_share(share)

    def checked_share(self, percent: float) -> float:
        """The share of so many per cent, both ends excluded."""
        if not 0 < percent < 100:
            why = "100 % leaves no budget for anything to go wrong" if percent >= 100 else "0 % asks for nothing"
            raise ValueError(f"{self.text!r}: {why}; a share lies between 0 % and 100 %, both excluded")
        return round(percent / 100, 12)

    def percentile(self, digits: str) -> float:
        """The share of a percentile by its digits, as `99.9`; `999` is refused with what was meant."""
        percent = float(digits)
        if percent >= 100:
            meant = f"p{digits[:2]}.{digits[2:]}"
            raise self.error("a percentile lies between p0 and p100", meant if digits[2:].isdecimal() else "p99.9")
        return self.checked_share(percent)

    def number(self, wanted: str) -> float:
        """A number without a sign."""
        if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", self.peek()):
            raise self.unexpected(wanted, ())
        return float(self.take())

    def error(self, message: str, meant: str) -> ValueError:
        """What is wrong with the text, and what was meant."""
        return ValueError(f"{self.text!r}: {message}; did you mean {meant!r}?")

    def unexpected(self, wanted: str, known: tuple[str, ...] = ()) -> ValueError:
        """`wanted` is needed where the next token stands; `known` are tokens that may have been meant."""
        if self._at >= len(self._tokens):
            return ValueError(f"{self.text!r}: {wanted} is needed at the end")
        found, place = self._tokens[self._at]
        close = suggest(found, known)
        return ValueError(
            f"{self.text!r}: {wanted} is needed at character {place + 1}, not {found!r}"
            + (f"; {close}" if close else "")
        )
