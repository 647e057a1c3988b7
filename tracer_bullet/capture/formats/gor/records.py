"""A `.gor` file cut into its records: a header line, and a raw HTTP message up to the line of three monkeys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES, chunks
from tracer_bullet.model.losses import Losses

SEPARATOR: Final = "\n🐵🙈🙉\n".encode()
# Five fields would be another tool's; the fourth may be -1.
HEADER: Final = re.compile(rb"([123]) ([0-9A-Za-z_.\-]{1,64}) (-?\d{1,20})(?: (-?\d{1,20}))?\r?\n")

NO_RECORD: Final = "pieces between separators that are no GoReplay record"
TOO_LARGE: Final = "GoReplay records that are too large to be held"
SEPARATOR_INSIDE: Final = "GoReplay records with the separator inside of a body: kept whole"
NOT_ENDED: Final = "a last GoReplay record without its separator: kept"


@dataclass(frozen=True, slots=True)
class Record:
    """`kind` is 1, 2 or 3; `stamp_ns` when its first byte came; `took_ns` how long it took to arrive, if it says so."""

    kind: int
    id: str
    stamp_ns: int
    took_ns: int | None
    message: bytes


def records(stream: BinaryIO, losses: Losses) -> Iterator[Record]:
    """The records, in the order of the file. The separator inside of a body is told by what follows it."""
    held = bytearray()
    begin = 0  # of the search
    skipping = False
    for chunk in chunks(stream, losses):
        held += chunk
        while (at := held.find(SEPARATOR, begin)) >= 0:
            behind = at + len(SEPARATOR)
            if len(held) - behind < _LONGEST_HEADER:
                break  # what follows is not here yet
            if not HEADER.match(held, behind) and HEADER.match(held):
                begin = at + 1
                continue
            if not skipping:
                yield from _record(bytes(held[:at]), losses)
            del held[:behind]
            begin, skipping = 0, False
        else:
            begin = max(begin, len(held) - len(SEPARATOR))
        if len(held) > RECORD_BYTES:
            losses.lose(TOO_LARGE, bytes(held[:80]).decode("utf-8", "replace"))
            del held[:begin]
            begin, skipping = 0, True
    yield from _rest(bytes(held), skipping, losses)


_LONGEST_HEADER: Final = 1 + 1 + 64 + 1 + 20 + 1 + 20 + 2


def _rest(held: bytes, skipping: bool, losses: Losses) -> Iterator[Record]:
    """The last records, of which everything is here."""
    while held.strip(b"\r\n"):
        at = held.find(SEPARATOR)
        while at >= 0 and held[at + len(SEPARATOR) :].strip() and not HEADER.match(held, at + len(SEPARATOR)):
            at = held.find(SEPARATOR, at + 1)
        piece = held if at < 0 else held[:at]
        if not skipping:
            if at < 0:
                losses.repair(NOT_ENDED)
            yield from _record(piece, losses)
        if at < 0:
            return
        held, skipping = held[at + len(SEPARATOR) :], False


def _record(piece: bytes, losses: Losses) -> Iterator[Record]:
    if not piece.strip(b"\r\n"):
        return
    found = HEADER.match(piece)
    if found is None:
        losses.lose(NO_RECORD, piece[:80].decode("utf-8", "replace"))
        return
    if SEPARATOR in piece:
        losses.repair(SEPARATOR_INSIDE)
    kind, name, stamp, took = found.groups()
    took_ns = None if took is None else int(took)
    yield Record(int(kind), name.decode("ascii"), int(stamp), took_ns, piece[found.end() :])
