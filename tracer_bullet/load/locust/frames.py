"""What the conductor and the Locust master's process say to each other: frames of msgpack on a socket. Pure.

A frame is its length (four bytes, little-endian) and a msgpack list whose first member is the kind. Both ends are the
same machine and version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgpack

# Conductor to master.
SEND: Final = "send"  # client id, or None for all; kind; data
RUNNING: Final = "running"  # host: show a run that begins
IDLE: Final = "idle"  # show that it is over
FORGET: Final = "forget"  # client id: it was lost, and gets no answers any more
ASK_TABLE: Final = "ask-table"
END: Final = "end"
# Master to conductor.
BOUND: Final = "bound"  # port, the page's port or 0, Locust's version
FAILED: Final = "failed"  # why
JOINED: Final = "joined"  # client id
LEFT: Final = "left"  # client id
MISSING: Final = "missing"  # client id: no heartbeat for 4 to 5 s
MESSAGE: Final = "message"  # client id, kind, data
STOP: Final = "stop"  # the page's Stop
TABLE: Final = "table"  # rows, errors
# Both ways, every half second: silence is noticed on either side.
BEAT: Final = "beat"

BEAT_S: Final = 0.5
SILENT_BEATS: Final = 6
"""So many of its own beats without a word of the other: it is gone. Counted, not timed, so that whoever was itself
frozen does not take that for the other's silence."""

# Custom messages of Locust's protocol. Conductor to worker; `epoch` counts the fleet's jobs.
PING: Final = "tb_ping"  # {at_ns}
PIECE: Final = "tb_piece"  # {piece}: of the job that follows
JOB: Final = "tb_job"  # {epoch, sender, shards, start_ns (on the worker's clock), residues, from_ns}
SHARE: Final = "tb_share"  # {epoch, residues, from_ns}
HALT: Final = "tb_stop"  # {epoch}
DROP: Final = "tb_drop"  # {why}: it is taken for lost
BYE: Final = "tb_bye"
# Worker to conductor.
PONG: Final = "tb_pong"  # {at_ns, here_ns, name, pid, version}
READY: Final = "tb_ready"  # {epoch}
EVENTS: Final = "tb_events"  # {epoch, users, events}, every half second at least while it sends
ENDED: Final = "tb_ended"  # {epoch, rows, why}
TOOK: Final = "tb_took"  # {epoch, from_ns, since_ns}: the share that it was given holds from `since_ns` on
WORKER_KINDS: Final = (PONG, READY, EVENTS, ENDED, TOOK)

_LENGTH: Final = 4


def pack(*members: Any) -> bytes:
    """A frame: the kind, then what belongs to it."""
    body = cast("bytes", msgpack.packb(members))
    return len(body).to_bytes(_LENGTH, "little") + body


class Frames:
    """Cuts a stream of bytes into frames. `feed` it, then iterate."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._rest += data

    def __iter__(self) -> Iterator[list[Any]]:
        at = 0
        try:
            while len(self._rest) - at >= _LENGTH:
                length = int.from_bytes(self._rest[at : at + _LENGTH], "little")
                if len(self._rest) - at < _LENGTH + length:
                    break
                payload = bytes(memoryview(self._rest)[at + _LENGTH : at + _LENGTH + length])
                at += _LENGTH + length
                yield cast("list[Any]", msgpack.unpackb(payload, strict_map_key=False))
        finally:
            del self._rest[:at]
