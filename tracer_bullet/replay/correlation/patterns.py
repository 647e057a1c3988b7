"""What correlates: which place of which endpoint's answer mints a value, and where requests use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracer_bullet.model.replay import Correlation
from tracer_bullet.replay.reading.endpoints import looks_like_value

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

    def listed(self, endpoints: Sequence[str]) -> tuple[Correlation, ...]:
        """For people; `endpoints` are names by number."""
        return tuple(
            Correlation(
                variable=p.variable,
                minted=f"{endpoints[p.endpoint]} {p.where}",
                used=used_texts(p, endpoints),
                sessions=p.sessions,
                uses=sum(p.uses.values()),
            )
            for p in self.found
        )


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
