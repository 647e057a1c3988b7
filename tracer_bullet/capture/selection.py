"""What is recorded at all: never a bullet or another replay, not what the user leaves out, and a share of sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from fnmatch import translate
from typing import Final

from tracer_bullet.context.carriers import BAGGAGE, CARRIER_NAMES, HEADER, TRACESTATE, read_claim
from tracer_bullet.model.exchange import Exchange

# Why an exchange is left out.
BULLET: Final = "bullet"
REPLAY: Final = "replay"
EXCLUDED: Final = "excluded"
NOT_SAMPLED: Final = "not-sampled"


class Selection:
    """Decides by one exchange at a time.

    `marks`: names of headers that other tools' replays carry. `exclude_paths`: globs on the path without the query; `*`
    crosses slashes. `sample`: the share of sessions that is recorded, 0 to 1, by `share`, which gives each session the
    same number from 0 to 1 each time (`Pseudonyms.share`); what has no session counts as a session of its own.
    """

    def __init__(
        self,
        *,
        marks: Collection[str] = (),
        exclude_paths: Sequence[str] = (),
        sample: float = 1.0,
        share: Callable[[str], float] | None = None,
    ) -> None:
        if sample < 1 and share is None:
            raise ValueError("a sample needs to know each session's share")
        self._marks = frozenset(mark.lower() for mark in marks)
        self._excluded = (
            re.compile("|".join(f"(?:{translate(glob)})" for glob in exclude_paths)) if exclude_paths else None
        )
        self._sample = sample
        self._share = share

    def why_not(self, exchange: Exchange) -> str:
        """Why it is not recorded, whatever its session: `bullet`, `replay`, `excluded`; empty when it is."""
        if never := why_never(exchange, self._marks):
            return never
        if self._excluded is not None and self._excluded.match(exchange.request.target.partition("?")[0]):
            return EXCLUDED
        return ""

    def is_sampled(self, exchange: Exchange) -> bool:
        """Whether its session, which it has by now, is among those that are recorded."""
        if self._sample >= 1 or self._share is None:
            return True
        return self._share(exchange.session or f"{exchange.started_ns} {exchange.request.target}") < self._sample


def why_never(exchange: Exchange, marks: Collection[str] = ()) -> str:
    """Why an exchange must never be recorded: `bullet` or `replay`; empty when it may be.

    A bullet, and what our own replay sends, claims the flag in a carrier (docs/protocol.md), be it valid or not.
    `marks` are in lower case.
    """
    carriers: dict[str, list[str]] = {}
    for name, value in exchange.request.headers:
        lowered = name.lower()
        if lowered in CARRIER_NAMES:
            carriers.setdefault(lowered, []).append(value)
        elif lowered in marks:
            return REPLAY
    if not carriers:
        return ""
    claim = read_claim(carriers.get(BAGGAGE, ()), carriers.get(TRACESTATE, ()), carriers.get(HEADER, ()))
    return BULLET if claim is not None else ""
