"""Where the brackets of JSON text are, at the speed of numpy: how large documents are cut without being parsed.

Only brackets outside strings are looked for; whether the text is JSON, the parser says afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

_CASE: Final = 0x20
# `[` and `{`, `]` and `}` differ in one bit each, which `| 0x20` sets.
_OPEN: Final = 0x7B
_CLOSE: Final = 0x7D
_CLOSERS: Final = {ord("{"): ord("}"), ord("["): ord("]")}


@dataclass(frozen=True, slots=True)
class Brackets:
    """Brackets outside strings: `at` their places, `opens` which ones open, `depth` after each of them."""

    at: Any
    opens: Any
    depth: Any

    def closing(self, depth: int) -> Any:
        """Places of the brackets that close down to `depth`."""
        return self.at[~self.opens & (self.depth == depth)]

    def opening(self, depth: int) -> Any:
        """Places of the brackets that open `depth`."""
        return self.at[self.opens & (self.depth == depth)]


class Scanner:
    """Scans text piece by piece; places count from the first byte of the first piece."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._inside = False
        self._escaped = False

    def scan(self, piece: bytes | bytearray | memoryview) -> Brackets:
        """The brackets of the next piece."""
        codes = np.frombuffer(piece, np.uint8)
        folded = codes | _CASE
        # `{` is 0x7b and `[` 0x5b, but 0x5b | 0x20 is 0x7b too, and nothing else becomes it.
        where = np.flatnonzero((folded == _OPEN) | (folded == _CLOSE))
        quotes = self._quotes(codes)
        outside = (np.searchsorted(quotes, where) + self._inside) % 2 == 0
        where = where[outside]
        opens = folded[where] == _OPEN
        depth = np.cumsum(np.where(opens, 1, -1), dtype=np.int64) + self._depth
        if len(depth):
            self._depth = int(depth[-1])
        self._inside = bool((len(quotes) + self._inside) % 2)
        found = Brackets(where + self._at, opens, depth)
        self._at += len(codes)
        return found

    def _quotes(self, codes: Any) -> Any:
        """Places of the quotes that are not escaped: with an even number of backslashes before them."""
        quotes = np.flatnonzero(codes == ord('"'))
        slashes = np.flatnonzero(codes == ord("\\"))
        escaped = self._escaped
        if not len(slashes):
            self._escaped = self._escaped and not len(codes)
            return quotes[1:] if escaped and len(quotes) and quotes[0] == 0 else quotes
        first = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        starts, ends = slashes[first], slashes[np.append(first[1:], len(slashes)) - 1]
        odd = (ends - starts + 1 + (escaped & (starts == 0))) % 2 == 1
        self._escaped = bool(odd[-1] and ends[-1] == len(codes) - 1)
        behind = ends[odd] + 1
        if escaped and starts[0] != 0:
            behind = np.append(behind, 0)
        return quotes[~np.isin(quotes, behind)]


def closers(text: bytes | bytearray, found: Brackets, upto: int) -> bytes:
    """What closes the containers that are open after bracket number `upto` of `found`, a whole value's start."""
    depth = int(found.depth[upto])
    opened = np.flatnonzero(found.opens[: upto + 1])
    levels = found.depth[opened]
    last = np.full(max(depth, 0) + 1, -1)
    inside = (levels > 0) & (levels <= depth)
    np.maximum.at(last, levels[inside], opened[inside])  # what is open at a level is what opened it last
    if (last[1:] < 0).any():
        return b""
    return bytes(_CLOSERS[text[at]] for at in found.at[last[:0:-1]].tolist())


def mended(text: bytes) -> bytes:
    """The start of a JSON value that was cut, closed after its last whole container; empty when there is none."""
    found = Scanner().scan(text)
    whole = np.flatnonzero(~found.opens)
    if not len(whole):
        return b""
    last = int(whole[-1])
    if found.depth[last] <= 0:
        return b""
    return text[: int(found.at[last]) + 1] + closers(text, found, last)


def slices(text: bytes, ends: Sequence[int]) -> list[bytes]:
    """The text between places, each slice without commas and blanks around it."""
    return [text[a:b].strip(b", \t\r\n") for a, b in pairwise((0, *ends))]
