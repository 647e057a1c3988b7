"""What the user says of redaction, and what holds where he says nothing. docs/redaction.md is for people."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from tracer_bullet.capture.redaction.looking.names import Telling, what_name_says
from tracer_bullet.errors import TracerBulletError


class RedactionError(TracerBulletError):
    """An exchange cannot be looked into, and must not be kept. Carries no value of it."""

    def __init__(self, why: str) -> None:
        super().__init__("TB930", "an exchange cannot be redacted", why=why, cure="it is left out of the archive")


class Place(Enum):
    """Where a rule looks."""

    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    FORM = "form"
    JSON = "json"
    PATH = "path"
    PATTERN = "pattern"
    CONTENT = "content"


class Action(Enum):
    """What becomes of a value."""

    PSEUDONYM = "pseudonym"
    REMOVE = "remove"
    MASK = "mask"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the user.

    `match`: a glob on the name for headers, cookies, parameters and form fields (multipart too), whatever its case; a
    JSONPath for JSON; a regular expression for paths and patterns (its first group, or all of it); a glob on the
    media type for content. `paths`: globs on the request's path; none: every one.
    """

    place: Place
    match: str
    action: Action = Action.PSEUDONYM
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules. `emails`: e-mail addresses count as secrets. Bodies over `body_limit` bytes (opened) are not kept."""

    rules: tuple[Rule, ...] = ()
    emails: bool = False
    body_limit: int = 1 << 20

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the rules."""
        said = (
            VERSION,
            self.emails,
            self.body_limit,
            [(r.place.value, r.match, r.action.value, r.paths) for r in self.rules],
        )
        return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:16]


VERSION: Final = 1  # of the defaults
_NAMED: Final = (Place.HEADER, Place.COOKIE, Place.QUERY, Place.FORM)
_SIGNED: Final = (Place.HEADER, Place.QUERY)
_ALWAYS: Final = frozenset({"authorization", "proxy-authorization"})


class RuleSet:
    """The rules that hold for one path, made ready. The first rule that fits counts, then the defaults."""

    __slots__ = ("_json", "_named", "content", "emails", "names", "paths", "patterns")

    def __init__(self, rules: Iterable[Rule], *, emails: bool) -> None:
        rules = tuple(rules)
        self.emails = emails
        self._named = {
            place: tuple((rule.match.lower(), rule.action) for rule in rules if rule.place is place)
            for place in (*_NAMED, Place.CONTENT)
        }
        self._json = tuple((json_path(r.match), r.action) for r in rules if r.place is Place.JSON)
        self.paths = tuple((re.compile(r.match), r.action) for r in rules if r.place is Place.PATH)
        self.patterns = tuple((re.compile(r.match), r.action) for r in rules if r.place is Place.PATTERN)
        self.names = lru_cache(maxsize=4096)(self._judge)
        """(place, name) → the action, or None when the name says nothing; and whether digits must stand there."""

    @property
    def has_json(self) -> bool:
        """Whether any rule is about JSON paths."""
        return bool(self._json)

    def json_action(self, path: str) -> Action | None:
        """What a rule says of a JSON member. `path`: as `json_key` and `json_index` join it."""
        for pattern, action in self._json:
            if pattern.fullmatch(path):
                return action
        return None

    def content_action(self, media_type: str) -> Action | None:
        """What a rule says of bodies of a media type."""
        return _first(self._named[Place.CONTENT], media_type)

    def _judge(self, place: Place, name: str) -> tuple[Action | None, bool]:
        lowered = name.lower()
        action = _first(self._named[place], lowered)
        if action is not None:
            return action, False
        if place is Place.COOKIE or (place is Place.HEADER and lowered in _ALWAYS):
            return Action.PSEUDONYM, False
        told = what_name_says(name, signing=place in _SIGNED)
        if told is Telling.NOTHING:
            return None, False
        return Action.PSEUDONYM, told is Telling.NUMBER


class Books:
    """All rules, and for every path those that hold there. Raises ValueError when one is no pattern or JSONPath."""

    __slots__ = ("_chosen", "_rules", "_scoped")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._scoped = any(rule.paths for rule in rules.rules)
        self._chosen: dict[tuple[int, ...], RuleSet] = {}
        self._set(tuple(range(len(rules.rules))))

    def of(self, path: str) -> RuleSet:
        """The rules for a request's path, without its query."""
        if not self._scoped:
            return self._set(tuple(range(len(self._rules.rules))))
        return self._set(
            tuple(
                at
                for at, rule in enumerate(self._rules.rules)
                if not rule.paths or any(fnmatchcase(path, glob) for glob in rule.paths)
            )
        )

    def _set(self, chosen: tuple[int, ...]) -> RuleSet:
        found = self._chosen.get(chosen)
        if found is None:
            found = RuleSet((self._rules.rules[at] for at in chosen), emails=self._rules.emails)
            self._chosen[chosen] = found
        return found


def _first(rules: tuple[tuple[str, Action], ...], name: str) -> Action | None:
    for glob, action in rules:
        if fnmatchcase(name, glob):
            return action
    return None


_STEP: Final = re.compile(
    r"(\.\.)?(?:\.?(\*)|\.?([\w$-]+)|\[(?:(\*)|(\d+)|'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\])|(\.\.)(?=\[)"
)
_ANY: Final = "(?:\0[^\0]*)"


def json_path(text: str) -> re.Pattern[str]:
    """A JSONPath (RFC 9535 without filters and slices) as a pattern on paths; it fits whatever is below, too.

    Raises ValueError when it is none.
    """
    if not text.startswith("$"):
        raise ValueError("a JSONPath begins with $")
    at, pattern = 1, ""
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (text[at] not in ".["):
            raise ValueError(f"no JSONPath that is known here, from character {at + 1} on")
        deep, star, name, wild, index, single, double, alone = step.groups()
        if deep or alone:
            pattern += f"{_ANY}*"
        if star or wild:
            pattern += _ANY
        elif index is not None:
            pattern += re.escape(json_index(int(index)))
        elif not alone:
            quoted = single if single is not None else double
            pattern += re.escape(json_key(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else name))
        at = step.end()
    return re.compile(f"{pattern}{_ANY}*", re.DOTALL)


def json_key(name: str) -> str:
    """A member's part of a path."""
    return "\0." + name.replace("\0", "")


def json_index(index: int) -> str:
    """An item's part of a path."""
    return f"\0[{index}"


def readable(path: str) -> str:
    """A path as people write it, with `[*]` for every item: `$.items[*].token`."""
    steps = path.split("\0")[1:]
    return "$" + "".join("[*]" if step.startswith("[") else step for step in steps)
