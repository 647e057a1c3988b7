"""The secrets in one exchange. Pure functions; nothing in an exchange makes them raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.redaction.audit.unfold import Found, search_named, search_text
from tracer_bullet.capture.redaction.audit.walk import Spot, spots_of
from tracer_bullet.capture.redaction.rules import Action, Books, Rules, RuleSet
from tracer_bullet.model.exchange import Exchange

_SHOWN: Final = 4
_SHORTEST_SHOWN: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret that was left in.

    `kind`: `jwt`, `card`, `private-key`, `named` (a telling name) …. `where`: as `Exchange.redacted` names places, and
    the encodings around it: `answer:json:$.next > base64 > json:$.token`. `excerpt`: its first characters and length.
    """

    kind: str
    where: str
    excerpt: str
    exchange: str


class Auditor:
    """Searches exchanges. What `rules` keep on purpose is no finding; they say whether e-mail addresses are secrets."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._books = Books(self._rules)

    def find(self, exchange: Exchange) -> Iterator[Secret]:
        """The secrets left in an exchange, each once a place."""
        rules = self._books.of(exchange.request.target.partition("?")[0])
        seen: set[tuple[str, str]] = set()
        values: set[str] = set()
        for spot in spots_of(exchange, rules, self._rules.body_limit):
            for found in _search(spot, rules):
                if (spot.structured and found.value in values) or _is_kept(found.value, rules):
                    continue
                values.add(found.value)
                where = " > ".join((spot.where, *found.trail)).replace(found.value, "…")  # a name may be a secret, too
                if (where, found.value) not in seen:
                    seen.add((where, found.value))
                    yield Secret(kind=found.kind, where=where, excerpt=excerpt(found.value), exchange=exchange.id)


def find_secrets(exchange: Exchange, rules: Rules | None = None) -> Iterator[Secret]:
    """The secrets left in an exchange, as Auditor finds them."""
    return Auditor(rules).find(exchange)


def excerpt(value: str) -> str:
    """What a report may show of a secret: the first four characters of a long one, and the length."""
    shown = value[:_SHOWN] if len(value) >= _SHORTEST_SHOWN else ""
    return f"{shown}… ({len(value)} characters)"


def _search(spot: Spot, rules: RuleSet) -> Iterator[Found]:
    if spot.name is not None:
        yield from search_named(spot, rules)
    yield from search_text(spot.text, rules, structured=spot.structured)


def _is_kept(value: str, rules: RuleSet) -> bool:
    return any(action is Action.KEEP and pattern.fullmatch(value) for pattern, action in rules.patterns)
