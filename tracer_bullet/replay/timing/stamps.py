"""Recorded times as one line that never goes back: whole seconds spread out, disorder counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tracer_bullet.model.exchange import Exchange, Lack

SECOND_NS: Final = 1_000_000_000
# A second with more exchanges than this is spread in parts, so that memory is bounded.
_MOST_HELD: Final = 50_000


@dataclass(slots=True)
class StampCounts:
    """What was done to recorded times. `spread`: exchanges whose place inside their second was invented;
    `disordered`: those that stood behind a later one; `ends`: those whose only stamp is their end."""

    spread: int = 0
    disordered: int = 0
    ends: int = 0


def stamped(exchanges: Iterable[Exchange], counts: StampCounts) -> Iterator[tuple[int, Exchange]]:
    """(start in Unix ns, exchange), in order of the starts.

    Exchanges whose source has whole seconds only (`Lack.SUBSECOND`) are spread evenly over their second, in the order
    of the recording, each time alike: k of n at k/n. That is invention, and counted. A start before its forerunner's
    is moved to it, and counted: no gap is ever negative.
    """
    latest = -(1 << 62)
    for start, exchange in _spread(exchanges, counts):
        if start < latest:
            counts.disordered += 1
        else:
            latest = start
        if exchange.lacks and Lack.START in exchange.lacks:
            counts.ends += 1
        yield latest, exchange


def _spread(exchanges: Iterable[Exchange], counts: StampCounts) -> Iterator[tuple[int, Exchange]]:
    held: list[Exchange] = []  # all of one second, since one of them knows no more than the second
    second = 0
    for exchange in exchanges:
        if held and (exchange.started_ns // SECOND_NS != second or len(held) >= _MOST_HELD):
            yield from _evenly(held, second, counts)
            held = []
        if held or (exchange.lacks and Lack.SUBSECOND in exchange.lacks):
            second = exchange.started_ns // SECOND_NS
            held.append(exchange)
        else:
            yield exchange.started_ns, exchange
    yield from _evenly(held, second, counts)


def _evenly(held: list[Exchange], second: int, counts: StampCounts) -> list[tuple[int, Exchange]]:
    whole = sum(Lack.SUBSECOND in e.lacks for e in held)
    counts.spread += whole
    placed, seen = [], 0
    for exchange in held:
        if Lack.SUBSECOND in exchange.lacks:
            placed.append((second * SECOND_NS + SECOND_NS * seen // whole, exchange))
            seen += 1
        else:
            placed.append((exchange.started_ns, exchange))
    return sorted(placed, key=lambda item: item[0])
