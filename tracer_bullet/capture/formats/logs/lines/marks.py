"""Marks of an exchange as bits of an int: cheaper to gather, once a line, than a set of enum members."""

from __future__ import annotations

from functools import cache
from typing import Final

from tracer_bullet.model.exchange import Lack

_ORDER: Final = tuple(Lack)


def bit(lack: Lack) -> int:
    """The bit of a mark."""
    return 1 << _ORDER.index(lack)


@cache  # of the 8,192 sets that there can be, a log has a handful
def lacks_of(bits: int) -> frozenset[Lack]:
    """The marks of bits."""
    return frozenset(lack for lack in _ORDER if bits & bit(lack))


START: Final = bit(Lack.START)
SUBSECOND: Final = bit(Lack.SUBSECOND)
DURATION: Final = bit(Lack.DURATION)
SESSION: Final = bit(Lack.SESSION)
AUTHORITY: Final = bit(Lack.AUTHORITY)
SCHEME: Final = bit(Lack.SCHEME)
REQUEST_HEADERS: Final = bit(Lack.REQUEST_HEADERS)
REQUEST_BODY: Final = bit(Lack.REQUEST_BODY)
ANSWER: Final = bit(Lack.ANSWER)
ANSWER_HEADERS: Final = bit(Lack.ANSWER_HEADERS)
ANSWER_BODY: Final = bit(Lack.ANSWER_BODY)
