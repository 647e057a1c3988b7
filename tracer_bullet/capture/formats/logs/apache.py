"""Apache httpd's access log: any `LogFormat`, common and combined without. `%t` is when the request was received.

Source: mod_log_config's documentation and its escaping (`ap_escape_logitem`): `\\"`, `\\\\`, C's letters, `\\xhh`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import errors
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.json_pattern import json_template
from tracer_bullet.capture.formats.logs.lines.pattern import AmbiguousError, Part, Pattern
from tracer_bullet.capture.formats.logs.lines.template import LineLog, LinePattern, check
from tracer_bullet.capture.formats.logs.values import clock, escapes, strftime
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

COMMON: Final = '%h %l %u %t "%r" %>s %b'
COMBINED: Final = COMMON + ' "%{Referer}i" "%{User-Agent}i"'
NAMED: Final = {
    "common": COMMON,
    "combined": COMBINED,
    "combinedio": COMBINED + " %I %O",
    "vhost_common": "%v " + COMMON,
    "vhost_combined": "%v:%p " + COMBINED,
}
_US_NS: Final = 1000
_UNITS: Final = {"": c.SECOND_NS, "s": c.SECOND_NS, "ms": 1_000_000, "us": 1000}

_LETTERS: Final[dict[str, Column]] = {
    "a": Column(role=Role.CLIENT),
    "h": Column(role=Role.CLIENT),
    "r": Column(role=Role.REQUEST_LINE),
    "m": Column(role=Role.METHOD, near="[A-Z]++"),
    "U": Column(role=Role.PATH),
    "q": Column(role=Role.QUERY),
    "^UQ": Column(role=Role.PATH),
    "H": Column(role=Role.PROTOCOL, pattern=r"HTTP/[\d.]++|-|"),
    "s": c.status(),
    "v": Column(role=Role.HOST, near=r'[^/?\s":]++'),
    "V": Column(role=Role.HOST, near=r'[^/?\s":]++'),
    "p": Column(role=Role.PORT, pattern=r"\d++|-"),
    "D": c.duration(_US_NS),
    "^FB": c.duration(_US_NS, Role.FIRST_BYTE),
    "B": c.number(),
    "b": c.number(),
    "I": c.number(),
    "O": c.number(),
    "S": c.number(),
    "k": c.number(),
    "X": Column(role=Role.SKIP, pattern=r"[X+-]"),
}
_FRACTIONS: Final = {"msec_frac": 3, "usec_frac": 6}
_EPOCHS: Final = {"sec": "s", "msec": "ms", "usec": "us"}
# Conditions on the status (`%!200,304,302{…}i`) leave a `-` where they do not hold.
_DIRECTIVE: Final = re.compile(
    r"%(?:(%)|!?(?:\d{3}(?:,\d{3})*)?[<>]?(?:\{([^}]*)\})?[<>]?(\^?[a-zA-Z]{2}(?<=\^..)|[a-zA-Z]))"
)
_LOG_FORMAT: Final = re.compile(r"""\s*(?:LogFormat|CustomLog\s+\S+)\s+(.*?)\s*""", re.DOTALL | re.IGNORECASE)
_ARGUMENT: Final = re.compile(r"""("((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\S+).*""", re.DOTALL)


def parse(log_format: str) -> str:
    """The text of a format: a nickname, a `LogFormat` or `CustomLog` line, its quoted argument, or the bare text."""
    text = log_format.strip()
    if text in NAMED:
        return NAMED[text]
    line = _LOG_FORMAT.fullmatch(text)
    argument = line[1] if line else text
    found = _ARGUMENT.fullmatch(argument)
    # Its argument has a backslash before each quote of the format; without one the whole is the format.
    quoted = found is not None and (line is not None or (argument[:1] in "\"'" and found[1] == argument))
    if found is None or not quoted:
        return argument.replace('\\"', '"')
    inner = found[2] if found[2] is not None else found[3] if found[3] is not None else found[1]
    return NAMED.get(inner, re.sub(r"\\(.)", _backslash, inner))


def _backslash(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}.get(found[1], found[0])


def parts_of(text: str) -> list[Part]:
    """Literals and columns of a format. Raises ValueError for a time format that is unknown."""
    text = text.replace("%U%q", "%^UQ")  # one value, as there is nothing between its parts
    parts: list[Part] = []
    at = 0
    for found in _DIRECTIVE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        parts.append("%" if found[1] else _column(found[2], found[3]))
    return [*parts, text[at:]]


def _column(argument: str | None, letter: str) -> Column:
    match letter:
        case "i" | "C" | "o" if argument:
            role = {"i": Role.HEADER, "C": Role.COOKIE, "o": Role.ANSWER_HEADER}[letter]
            return Column(role=role, name=argument if letter == "C" else argument.lower())
        case "t":
            return _time(argument or "")
        case "T":
            return c.duration(_UNITS.get(argument or "", c.SECOND_NS))
        case "p" if argument == "remote":
            return c.number()
    return _LETTERS.get(letter, c.SKIP)


def _time(argument: str) -> Column:
    kind, _, rest = argument.partition(":")
    role, text = (
        (Role.END if kind == "end" else Role.START, rest) if kind in ("begin", "end") else (Role.START, argument)
    )
    if not text:
        return c.moment(role, clock.BRACKETED_CLF)
    if text in _FRACTIONS:
        return c.moment(role, strftime.fraction(_FRACTIONS[text]))
    if text in _EPOCHS:
        return c.moment(role, strftime.units(_EPOCHS[text]))
    stamp = strftime.stamp_of(text)
    if stamp is None:
        raise ValueError(f"the time format {text} is not understood")
    return c.moment(role, stamp)


class Apache:
    """Lines of one `LogFormat` of Apache httpd; combined or common where `log_format` says nothing."""

    name = "Apache access log"

    def recognises(self, head: bytes) -> bool:  # noqa: ARG002
        """Never: its usual form is nginx's too. See logs/combined.py."""
        return False

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB915, TB916."""
        return compile_log(options).read(stream, losses, options)


def compile_log(options: ReadOptions) -> LineLog:
    """The reader for the format in `options`. Raises UsageError TB915, TB916."""
    given = options.log_format
    texts = (
        [parse(given)] if given else [NAMED[name] for name in ("combined", "common", "vhost_combined", "combinedio")]
    )
    patterns: list[LinePattern] = []
    try:
        for text in texts:
            parts = parts_of(text)
            patterns.append(Pattern(parts, unescape=escapes.backslashes, quotes="backslash"))
            if given and text.lstrip().startswith("{") and (reordered := json_template(parts)):
                patterns.append(reordered)
    except AmbiguousError as error:
        raise errors.format_unclear(given, f"nothing parts {error}") from error
    except ValueError as error:
        raise errors.format_unclear(given, str(error)) from error
    for pattern in patterns:
        check(pattern, given, ("%r or %U", "%r or %m", "%t"))
    _check_time(patterns, options)
    return LineLog(patterns, source="apache", no_answer=frozenset({0}))


def _check_time(patterns: list[LinePattern], options: ReadOptions) -> None:
    proven = {column.role for pattern in patterns for column in pattern.columns} & {Role.START, Role.END}
    names = {Role.START: "start", Role.END: "end"}
    if options.log_time and len(proven) == 1 and names[next(iter(proven))] != options.log_time:
        raise errors.contradiction(options.log_format or "Apache", names[next(iter(proven))])
