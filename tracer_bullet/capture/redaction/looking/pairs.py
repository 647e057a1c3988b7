"""Names and values in text that is neither JSON nor a form: `name=value`, `"name": "value"`, `<name>value</name>`,
`<input name="…" value="…">`. Pure functions; linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.redaction.looking.names import Telling, is_empty_talk, what_name_says

_NAME: Final = re.compile(
    r"(?:(?<![A-Za-z0-9_.$-])|(?<=%[0-9A-Fa-f]{2}))([\"']?)([A-Za-z_$](?:[\w.$\-\[\]]|%[0-9A-Fa-f]{2}){1,63})\1"
    r"[ \t]*+(=>|=|:)[ \t]*+",
    re.ASCII,
)
_VALUE: Final = re.compile(
    r"(?:\[[ \t]*+)?"
    r"(?:\"([^\"\\\r\n]*+(?:\\.[^\"\\\r\n]*+)*+)\"|'([^'\\\r\n]*+(?:\\.[^'\\\r\n]*+)*+)'|([^\s\"'&,;<>(){}|\\\[\]]++))"
)
_ELEMENT: Final = re.compile(
    r"<(?:[\w-]{1,64}:)?([A-Za-z_][\w.-]{1,63})(?:\s[^<>]*+)?>(?:\s*+<!\[CDATA\[(.*?)\]\]>|([^<>]++))(?=<)",
    re.ASCII | re.DOTALL,
)
_TAG: Final = re.compile(r"<(?:input|meta|param|property|entry|attribute|add|item|header)\b[^<>]*+>", re.IGNORECASE)
_TAG_NAME: Final = re.compile(r"\b(?:name|key|id)\s*=\s*[\"']?([^\"'\s<>]{1,128})", re.IGNORECASE)
_TAG_VALUE: Final = re.compile(r"\b(?:value|content)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)'|([^\"'\s<>]+))", re.IGNORECASE)
_MEMBERS: Final = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+")  # `document.cookie`, in a script
_LONG: Final = 256
_VERSION: Final = re.compile(r"v?\d+(?:\.\d+)*[%a-z]{0,3}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A name and where its value stands. `sure`: written as data, not as prose or code."""

    name: str
    value: str
    start: int
    end: int
    sure: bool
    signing: bool = False

    @property
    def could_be_secret(self) -> bool:
        """Whether the value can be one: prose and code after a colon are not."""
        if is_empty_talk(self.value):
            return False
        if self.sure:
            return True
        if _MEMBERS.fullmatch(self.value) or _VERSION.fullmatch(self.value):
            return False
        return len(self.value) >= 6 and any(c.isdigit() for c in self.value)


def named_values(text: str) -> Iterator[Pair]:
    """The values in a text whose names tell something, in order of their kind; they may overlap."""
    found: list[Pair] = []
    if "=" in text or ":" in text:
        found += _assigned(text)
    if "</" in text:
        found += _elements(text)
    if "<" in text:
        found += _tags(text)
    return iter(sorted(found, key=lambda pair: pair.start))


def _assigned(text: str) -> Iterator[Pair]:
    done = 0  # what stands in a value that was told is part of it; to look again would take a long text's square
    for match in _NAME.finditer(text):
        if match.start() < done:
            continue
        signing = match[3] == "="
        if what_name_says(match[2], signing=signing) is Telling.NOTHING:
            continue
        value = _VALUE.match(text, match.end())
        if value is None:
            continue
        group = next(at for at in (1, 2, 3) if value[at] is not None)
        tight = match[3] == "=" and not match[0].endswith((" ", "\t"))
        called = text[value.end() : value.end() + 1] == "("
        sure = group != 3 or (tight and not called and _MEMBERS.fullmatch(value[3]) is None and len(value[3]) > 2)
        pair = Pair(match[2], value[group], value.start(group), value.end(group), sure, signing)
        if pair.could_be_secret or len(pair.value) > _LONG:
            done = value.end()
        yield pair


def _elements(text: str) -> Iterator[Pair]:
    for match in _ELEMENT.finditer(text):
        if what_name_says(match[1]) is not Telling.NOTHING:
            group = 2 if match[2] is not None else 3
            yield Pair(
                match[1], match[group], match.start(group), match.end(group), sure=" " not in match[group].strip()
            )


def _tags(text: str) -> Iterator[Pair]:
    for tag in _TAG.finditer(text):
        value = _TAG_VALUE.search(tag[0])
        if value is None:
            continue
        group = next(at for at in (1, 2, 3) if value[at] is not None)
        for name in _TAG_NAME.finditer(tag[0]):
            if what_name_says(name[1]) is not Telling.NOTHING:
                at = tag.start()
                yield Pair(name[1], value[group], at + value.start(group), at + value.end(group), sure=True)
                break
