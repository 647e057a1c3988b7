"""What correlates: which place of which endpoint's answer mints a value, and where requests use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from tracer_bullet.model.replay import Correlation
from tracer_bullet.replay.reading.endpoints import looks_like_value
from tracer_bullet.workspace.replay import CorrelateSpec, CorrelationRuleSpec

_MOST_LISTED_USES: Final = 12
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Answers of `endpoint` mint a value at `place` of `source` (through `expression`, when it is not empty).

    `uses`: (endpoint, place) → how often it was seen used there. `sessions`: in how many it was used.
    """

    variable: str
    endpoint: int
    source: str
    place: str
    expression: str = ""
    uses: Mapping[tuple[int, str], int] = field(default_factory=dict)
    sessions: int = 0

    @property
    def where(self) -> str:
        """The place as it is listed: `$.token`, `header:location`, `cookie:sid`."""
        return self.place if self.source == "json" else f"{self.source}:{self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """What was found, and what was left out because the value is the same in most sessions (`constants`).

    `watched` of the recording's sessions were looked at; `long_bodies` answers of them were too long to be.
    """

    found: tuple[Pattern, ...] = ()
    constants: tuple[Pattern, ...] = ()
    watched: int = 0
    long_bodies: int = 0
    signed: int = 0
    """Requests looked at whose Authorization is a signature over what is no longer so."""
    unminted: Mapping[str, int] = field(default_factory=dict)
    """Place of a redacted credential → requests that repeat what no answer minted, and no identity replaces."""

    def listed(self, spec: CorrelateSpec, endpoints: Sequence[str]) -> tuple[Correlation, ...]:
        """What will be replaced, for people: rules, then what was found and is not ignored. `endpoints`: names by
        number. Of rules it is not counted how often they are used."""
        rules = [
            Correlation(variable=r.name, minted=minted, used=r.used_at or ("anywhere",), sessions=0, uses=0, how="rule")
            for r in spec.rules
            for minted in rule_texts(r, endpoints)
        ]
        named = {rule.minted for rule in rules}
        found = [
            Correlation(
                variable=p.variable,
                minted=minted,
                used=used_texts(p, endpoints),
                sessions=p.sessions,
                uses=sum(p.uses.values()),
            )
            for p in self.found
            if not ignored(spec, minted := f"{endpoints[p.endpoint]} {p.where}") and minted not in named
        ]
        return (*rules, *found)


def ignored(spec: CorrelateSpec, minted: str) -> bool:
    """Whether the file says that this one (as it is listed) is not wanted."""
    return any(minted == glob or fnmatchcase(minted, glob) for glob in spec.ignore)


def rule_texts(rule: CorrelationRuleSpec, endpoints: Sequence[str]) -> tuple[str, ...]:
    """What a rule mints, as it is listed, of each endpoint that it fits."""
    method, _, path = rule.minted_by.partition(" ")
    kind, _, where = rule.take.partition(":")
    place = (
        re.sub(r"\[\d+\]", "[*]", where) if kind == "json" else f"{kind}:{where.lower() if kind == 'header' else where}"
    )
    fitting = [e for e in endpoints if e.startswith(f"{method} ") and fnmatchcase(e.split(" ")[1], path.strip())]
    return tuple(f"{endpoint} {place}" for endpoint in fitting)


def used_texts(pattern: Pattern, endpoints: Sequence[str]) -> tuple[str, ...]:
    """Where a value is used, most often first, as `GET /orders header:authorization`."""
    ranked = sorted(pattern.uses.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{endpoints[endpoint]} {place}" for (endpoint, place), _ in ranked[:_MOST_LISTED_USES])


def is_strong(text: str) -> bool:
    """Whether a value can hardly be repeated by chance, so that it is replaced wherever it stands."""
    if _NUMBER.fullmatch(text):
        return len(text) >= 9
    return len(text) >= 12 or (len(text) >= 8 and looks_like_value(text))


def is_number(text: str) -> bool:
    """Whether a text is a number: a price as well as an identifier."""
    return _NUMBER.fullmatch(text) is not None
