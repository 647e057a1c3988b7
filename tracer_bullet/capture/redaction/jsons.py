"""JSON text, changed in place: what is not redacted stays as it was written, byte for byte.

Two passes: the first reads it with the C parser and asks only whether anything in it must change, which is `no` for
most; the second walks the tokens and puts new ones in. Members that are there twice are seen twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tracer_bullet.capture.redaction.rules import Action, json_index, json_key

# A string, and the colon that makes it a name; brackets; other values.
_TOKEN: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*+:)?|([{\[])|([}\]])|([^\s{}\[\],:"]++)', re.DOTALL)
# Names that say nothing but together with the one around them: `card.number`.
_BY_PARENT: Final = frozenset({"number", "num", "no", "nr", "Number", "NUMBER"})
_OBJECT: Final = object()
_CARD_FLOOR: Final = 10**11
_SHORT: Final = 13  # letters and digits alone, and fewer of them than in any secret


class Verdict(Protocol):
    """What an editor asks of the rules. All are pure but for caches."""

    def told(self, name: str) -> bool:
        """Whether a member of this name may have to change: by its name, or since the name itself holds a secret."""
        ...

    def glance(self, text: str) -> object:
        """Whether `clean` must be asked at all: something true, or nothing."""
        ...

    def clean(self, text: str) -> bool:
        """Whether a text can stay, whatever its name."""
        ...

    def clean_number(self, text: str) -> bool:
        """Whether a number can stay, whatever its name."""
        ...

    def member(self, name: str, parent: str, path: str) -> tuple[Action | None, bool]:
        """What happens to a member and all below it; None: what it holds decides. And whether only to digits."""
        ...

    def new_text(self, text: str, action: Action | None, *, digits: bool, path: str) -> str | None:
        """What stands in a text's place; None for null."""
        ...

    def new_number(self, text: str, action: Action | None, name: str) -> str:
        """What stands in a number's place, as JSON."""
        ...


class _Screen:
    """The first pass: whether anything must change."""

    __slots__ = ("_verdict", "dirty")

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self.dirty = False

    def pairs(self, pairs: list[tuple[str, Any]]) -> object:
        """Called for every object, innermost first."""
        if self.dirty:
            return _OBJECT
        told, clean, glance = self._verdict.told, self._verdict.clean, self._verdict.glance
        for name, value in pairs:
            kind = type(value)
            if told(name):
                if value is not None and kind is not bool:
                    self.dirty = True
            elif kind is str:
                if (len(value) >= _SHORT or not value.isalnum()) and glance(value) and not clean(value):
                    self.dirty = True
            elif kind is int:
                if value > _CARD_FLOOR and not self._verdict.clean_number(str(value)):
                    self.dirty = True
            elif kind is list:
                self.items(value)
        return _OBJECT

    def items(self, values: list[Any]) -> None:
        """An array's values."""
        for value in values:
            if type(value) is str:
                self.dirty = self.dirty or not self._verdict.clean(value)
            elif type(value) is int:
                self.dirty = self.dirty or (value > _CARD_FLOOR and not self._verdict.clean_number(str(value)))
            elif type(value) is list:
                self.items(value)


@dataclass(slots=True)
class _Frame:
    """One open object or array."""

    up: _Frame | None
    name: str  # of the nearest member around it
    is_object: bool
    action: Action | None
    digits: bool
    key: str = ""
    index: int = -1

    def path(self, root: str) -> str:
        """The path of the value that stands next in it."""
        parts: list[str] = []
        frame: _Frame | None = self
        while frame is not None:
            parts.append(json_key(frame.key) if frame.is_object else json_index(frame.index))
            frame = frame.up
        return root + "".join(reversed(parts))


def edit(
    text: str,
    verdict: Verdict,
    note: Callable[[str], None],
    *,
    always: bool,
    path: str = "",
    forced: tuple[Action, bool] | None = None,
) -> str | None:
    """The JSON text with what must go replaced; the same object when nothing must; None when it is no JSON.

    `note` is called with the path of each change. `always`: JSONPath rules must be asked, so no first look.
    `forced`: what happens to all of it, and whether only to digits.
    Raises nothing; text that is nested too deeply counts as no JSON.
    """
    screen = _Screen(verdict)
    try:
        value = json.loads(text, object_pairs_hook=screen.pairs)
        if not screen.dirty:
            screen.items([value])
        if not screen.dirty and not always and forced is None:
            return text
        return _Editor(text, verdict, note, path, always=always, forced=forced or (None, False)).run()
    except (ValueError, RecursionError):
        return None


class _Editor:
    """The second pass. The text is JSON: only what matters is looked at, and paths are made only where they count."""

    def __init__(
        self,
        text: str,
        verdict: Verdict,
        note: Callable[[str], None],
        path: str,
        *,
        always: bool,
        forced: tuple[Action | None, bool],
    ) -> None:
        self._text = text
        self._verdict = verdict
        self._note = note
        self._root = path
        self._always = always
        self._forced = forced
        self._out: list[str] = []
        self._done = 0
        self._top: _Frame | None = None

    def run(self) -> str:
        for match in _TOKEN.finditer(self._text):
            raw, colon, opening, closing, _ = match.groups()
            if raw is None:
                if opening is not None:
                    action, digits = self._judge()
                    self._top = _Frame(self._top, self._name(), opening == "{", action, digits)
                elif closing is not None:
                    self._top = self._top.up if self._top is not None else None
                else:
                    self._scalar(match)
                continue
            text = json.loads(f'"{raw}"', strict=False) if "\\" in raw else raw
            if colon is None:
                self._string(match, text)
            else:
                self._key(match, text)
        self._out.append(self._text[self._done :])
        return "".join(self._out)

    def _name(self) -> str:
        frame = self._top
        return "" if frame is None else frame.key if frame.is_object else frame.name

    def _path(self) -> str:
        return self._root if self._top is None else self._top.path(self._root)

    def _judge(self) -> tuple[Action | None, bool]:
        """What happens to the value that comes next; counts it."""
        frame = self._top
        if frame is None:
            ruled = self._verdict.member("", "", self._root) if self._always else (None, False)
            return self._forced if ruled[0] is None else ruled
        action, digits = frame.action, frame.digits
        if not frame.is_object:
            frame.index += 1
            if action is None and self._always:
                return self._verdict.member("", frame.name, self._path())
            return action, digits
        if digits:  # `card` says something of numbers, not of all that a card has
            action, digits = None, False
        if self._always or self._verdict.told(frame.key) or frame.key in _BY_PARENT:
            found = self._verdict.member(frame.key, frame.name, self._path() if self._always else "")
            if found[0] is not None:
                return found
        return action, digits

    def _key(self, match: re.Match[str], text: str) -> None:
        frame = self._top
        if frame is None:
            return
        frame.key = text
        if not self._verdict.told(text):
            return
        new = self._verdict.new_text(text, None, digits=False, path="")
        if new != text:
            frame.key = new or ""
            self._put(match.start(), match.end(1) + 1, json.dumps(new))

    def _string(self, match: re.Match[str], text: str) -> None:
        action, digits = self._judge()
        if action is None and self._verdict.clean(text) and not self._always:
            return
        path = self._path()
        new = self._verdict.new_text(text, action, digits=digits, path=path)
        if new != text:
            self._put(match.start(), match.end(), "null" if new is None else json.dumps(new))

    def _scalar(self, match: re.Match[str]) -> None:
        action, _ = self._judge()
        if match[0] in ("true", "false", "null"):
            new = "null" if action is Action.REMOVE else match[0]
        else:
            new = self._verdict.new_number(match[0], action, self._name())
        if new != match[0]:
            self._put(match.start(), match.end(), new)

    def _put(self, start: int, end: int, new: str) -> None:
        self._out += (self._text[self._done : start], new)
        self._done = end
        self._note(self._path())
