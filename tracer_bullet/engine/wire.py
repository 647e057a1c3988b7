"""What driver and engine say to each other over their sockets: frames of msgpack, columns as raw bytes. Pure.

A frame is its length (four bytes, little-endian) and a msgpack list whose first member is the kind. Both ends are the
same machine and the same version, so that columns are native-endian and nothing is negotiated.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

import msgpack

from tracer_bullet.engine.client import Shot
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin, Protocol, Slot, Take
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.shots import EngineNote, KeptAnswer

# Driver to engine.
SETTINGS: Final = "settings"
ORIGIN: Final = "origin"
ENDPOINT: Final = "endpoint"
START: Final = "start"  # start_ns, Unix
ARRIVALS: Final = "arrivals"
SOURCE_ENDED: Final = "source-ended"
STOP: Final = "stop"
# Engine to driver.
READY: Final = "ready"  # pacing
SHOTS: Final = "shots"
KEPT: Final = "kept"
NOTE: Final = "note"
DONE: Final = "done"  # all of the run is accounted for
FAILED: Final = "failed"  # text

_LENGTH: Final = struct.Struct("<I")
STATIC: Final = ("number", "session", "endpoint", "origin")
TIMES: Final = ("due_ns", "ready_ns", "sent_ns", "first_ns", "ended_ns")
COUNTS: Final = ("status", "error", "request_bytes", "answer_bytes")
CODES: Final = {"endpoint": "i", "origin": "i", "status": "i", "error": "b"}

_CODES: Final = [CODES.get(name, "q") for name in (*STATIC, *TIMES, *COUNTS)]
_members: Final = attrgetter("trace", "span", *STATIC, *TIMES, *COUNTS)
NUMBER: Final = 2 + STATIC.index("number")
ENDED: Final = 2 + len(STATIC) + TIMES.index("ended_ns")
ERROR: Final = 2 + len(STATIC) + len(TIMES) + COUNTS.index("error")
"""Where these stand among the columns of `columns_of`."""
_slot: Final = attrgetter(*Slot.__dataclass_fields__)
_take: Final = attrgetter(*Take.__dataclass_fields__)
# Those of a step are the same ones each time.
_taken: Final = lru_cache(maxsize=4096)(Take)

Row = tuple[int, int, int, int, int, int, bytes, bytes]


def pack(*members: Any) -> bytes:
    """A frame: the kind, then what belongs to it."""
    body = cast("bytes", msgpack.packb(members))
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes into frames. `feed` it, then iterate."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """More of the stream."""
        self._rest += data

    def __iter__(self) -> Iterator[list[Any]]:
        at = 0
        try:
            while len(self._rest) - at >= 4:
                (length,) = _LENGTH.unpack_from(self._rest, at)
                if len(self._rest) - at < 4 + length:
                    break
                payload = bytes(memoryview(self._rest)[at + 4 : at + 4 + length])
                at += 4 + length
                yield unpack(payload)
        finally:
            del self._rest[:at]


def unpack(payload: bytes) -> list[Any]:
    """The members of a frame without its length."""
    return cast("list[Any]", msgpack.unpackb(payload, strict_map_key=False))


def pack_origin(origin: Origin) -> bytes:
    """An ORIGIN frame."""
    return pack(ORIGIN, origin.number, origin.scheme, origin.host, origin.port, origin.protocol.value)


def read_origin(members: Sequence[Any]) -> Origin:
    """The origin of an ORIGIN frame's members after the kind."""
    number, scheme, host, port, protocol = members
    return Origin(number=number, scheme=scheme, host=host, port=port, protocol=Protocol(protocol))


def pack_endpoint(endpoint: Endpoint) -> bytes:
    """An ENDPOINT frame: what the engine acts upon."""
    return pack(ENDPOINT, endpoint.number, endpoint.statuses, endpoint.timeout_s)


def read_endpoint(members: Sequence[Any]) -> tuple[int, tuple[str, ...], float]:
    """Number, statuses and time-out (s; 0: none) of an ENDPOINT frame's members after the kind."""
    number, statuses, timeout_s = members
    return number, tuple(statuses), timeout_s


def pack_arrivals(arrivals: Sequence[Arrival]) -> bytes:
    """An ARRIVALS frame: columns, and by index what only few arrivals have."""
    columns = list(zip(*arrivals, strict=True)) or [()] * len(Arrival._fields)
    (numbers, dues, sessions, origins, endpoints, heads, bodies, _, afters, slots, takes, last, keep, pauses, needs,
     cookies) = columns  # fmt: skip
    few: dict[int, tuple[Any, ...]] = {}
    any_after = max(afters, default=-1) >= 0 or max(pauses, default=-1) >= 0
    if any_after or any(keep) or any(cookies) or any(needs) or any(slots) or any(takes):
        rest = zip(afters, keep, slots, takes, pauses, needs, cookies, strict=True)
        few = {
            index: (after, kept, [_slot(s) for s in slot], [_take(t) for t in take], pause, need, cookie)
            for index, (after, kept, slot, take, pause, need, cookie) in enumerate(rest)
            if kept or cookie or need or slot or take or after >= 0 or pause >= 0
        }
    return pack(
        ARRIVALS,
        array("q", numbers).tobytes(), array("q", dues).tobytes(), array("q", sessions).tobytes(),
        array("i", origins).tobytes(), array("i", endpoints).tobytes(), bytes(last), heads, bodies, few,
    )  # fmt: skip


def read_arrivals(members: Sequence[Any]) -> tuple[Iterator[Row], dict[int, tuple[Any, ...]]]:
    """Rows (number, due, session, origin, endpoint, last, head, body) and, by index, (after, keep, slots, takes,
    pause_ns, needs, cookies)."""
    numbers, dues, sessions, origins, endpoints, last, heads, bodies, few = members
    rows = zip(
        array("q", numbers), array("q", dues), array("q", sessions), array("i", origins), array("i", endpoints),
        last, heads, bodies, strict=True,
    )  # fmt: skip
    extras = {
        index: (after, keep, tuple([Slot(*s) for s in slots]), tuple([_taken(*t) for t in takes]), *rest)
        for index, (after, keep, slots, takes, *rest) in few.items()
    }
    return rows, extras


def columns_of(shots: Sequence[Shot]) -> list[tuple[Any, ...]]:
    """Trace and span ids, then the columns named by STATIC, TIMES and COUNTS."""
    # Every shot has its ids from the moment it came in.
    return list(zip(*map(_members, shots), strict=True)) or [()] * (2 + len(_CODES))


def pack_shots(all_columns: Sequence[Sequence[Any]]) -> bytes:
    """A SHOTS frame. Times stay those of the engine's clock, ids their hexadecimal digits: the driver converts."""
    traces, spans, *columns = all_columns
    packers = {code: struct.Struct(f"={len(traces)}{code}").pack for code in "qib"}
    raw = [packers[code](*column) for code, column in zip(_CODES, columns, strict=True)]
    return pack(SHOTS, b"".join(traces), b"".join(spans), *raw)


def pack_kept(shots: Sequence[Shot]) -> bytes:
    """A KEPT frame, of shots that have an answer."""
    rows = []
    for shot in shots:
        if shot.answer is not None:
            a = shot.answer
            rows.append((shot.number, shot.cut, a.status, a.headers, a.body, a.trailers))
    return pack(KEPT, rows)


def read_kept(members: Sequence[Any]) -> list[KeptAnswer]:
    """The answers of a KEPT frame's members."""
    return [
        KeptAnswer(
            number=number,
            answer=Answer(
                status=status,
                headers=tuple((name, value) for name, value in headers),
                body=body,
                trailers=tuple((name, value) for name, value in trailers),
            ),
            cut=cut,
        )
        for number, cut, status, headers, body, trailers in members[0]
    ]


def pack_note(note: EngineNote) -> bytes:
    """A NOTE frame."""
    return pack(NOTE, *astuple(note))


def read_note(members: Sequence[Any]) -> EngineNote:
    """The note of a NOTE frame's members."""
    sent, waiting, connections, backed_off, starved, resent, disabled = members
    return EngineNote(
        sent=sent, waiting=waiting, connections=connections, backed_off=backed_off, starved=starved, resent=resent,
        disabled=disabled,
    )  # fmt: skip
