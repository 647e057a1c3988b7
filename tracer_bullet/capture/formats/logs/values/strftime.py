"""strftime formats as servers take them → a `Stamp`. Sources: strftime(3), Apache's mod_log_config (`%{…}t`), and
Envoy's access logging ("%START_TIME%"), which adds `%f`, `%3f`, and Abseil's `%E3S`, `%E*S`, `%Ez`."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.capture.formats.logs.values.clock import Parts, Stamp

_DIRECTIVE: Final = re.compile(r"%(?:E([*\d]?)([a-zA-Z])|(\d)?(f)|[-_^#O]?([a-zA-Z%+]))")
_COMPOSITES: Final = {
    "T": "%H:%M:%S",
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
    "x": "%m/%d/%y",
    "X": "%H:%M:%S",
}
_SHAPES: Final = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"\d\d?",
    "d": r" ?\d\d?",
    "H": r"\d\d?",
    "I": r"\d\d?",
    "M": r"\d\d",
    "S": r"\d\d",
    "j": r"\d{1,3}",
    "b": r"[A-Za-z]{3,9}",
    "p": r"[AaPp][Mm]",
    "z": r"[+-]\d\d:?\d\d|Z",
    "s": r"\d{1,12}",
    "f": r"\d{1,9}",
}
_SAME: Final = {"e": "d", "h": "b", "B": "b", "k": "H", "l": "I", "P": "p"}
_LITERAL: Final = {"n": r"\n", "t": r"\t", "%": "%"}
_IGNORED: Final = {"a": r"[A-Za-z]{3,9}", "A": r"[A-Za-z]{3,9}", "Z": r"[A-Za-z0-9+-]{1,6}", "u": r"\d", "w": r"\d"}


def stamp_of(pattern: str) -> Stamp | None:
    """The stamp that a format writes; None for a directive that is unknown here."""
    known = _expand(pattern)
    if known is None:
        return None
    text, letters = known
    try:
        whole = re.compile(text, re.ASCII)
    except re.error:  # a directive twice
        return None

    def parts(value: str) -> Parts | None:
        found = whole.fullmatch(value)
        return {k: v.strip() for k, v in found.groupdict().items()} if found else None

    plain = re.sub(r"\(\?P<\w+>", "(?:", text)
    return Stamp(pattern=plain, fine="f" in letters, zoned=bool(letters & {"z", "s"}), parts=parts)


def fraction(digits: int) -> Stamp:
    """Decimals of a second alone: Apache's `msec_frac` and `usec_frac`."""
    return Stamp(pattern=rf"\d{{{digits}}}", fine=True, zoned=False, parts=lambda value: {"f": value})


def units(name: str) -> Stamp:
    """Seconds (`s`), milliseconds (`ms`) or microseconds (`us`) since 1970."""
    return Stamp(pattern=r"\d{1,19}", fine=name != "s", parts=lambda value: {name: value})


def _expand(pattern: str, depth: int = 0) -> tuple[str, set[str]] | None:
    text, letters, at = "", set[str](), 0
    for found in _DIRECTIVE.finditer(pattern):
        literal = pattern[at : found.start()]
        if "%" in literal:
            return None
        text, at = text + re.escape(literal), found.end()
        done = _one(found, depth)
        if done is None:
            return None
        text += done[0]
        letters |= done[1]
    rest = pattern[at:]
    return None if "%" in rest else (text + re.escape(rest), letters)


def _one(found: re.Match[str], depth: int) -> tuple[str, set[str]] | None:
    _, extended, digits, is_fraction, letter = found.groups()
    if is_fraction:
        return rf"(?P<f>\d{{{digits or '1,9'}}})", {"f"}
    if extended:
        return _extended(extended)
    if letter in _COMPOSITES and depth == 0:
        return _expand(_COMPOSITES[letter], 1)
    if letter in _LITERAL:
        return _LITERAL[letter], set()
    if letter in _IGNORED:
        return _IGNORED[letter], set()
    letter = _SAME.get(letter, letter)
    return (f"(?P<{letter}>{_SHAPES[letter]})", {letter}) if letter in _SHAPES else None


def _extended(letter: str) -> tuple[str, set[str]] | None:
    """Abseil's: `%E3S` and `%E*S` are seconds with decimals, `%E*f` decimals, `%Ez` a zone with a colon."""
    if letter == "S":
        return r"(?P<S>\d\d)(?:\.(?P<f>\d{1,9}))?", {"S", "f"}
    if letter == "f":
        return r"(?P<f>\d{1,9})", {"f"}
    if letter in "zY":
        return f"(?P<{letter}>{_SHAPES[letter]})", {letter}
    return None
