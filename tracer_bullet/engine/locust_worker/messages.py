"""Locust's messages on the wire: msgpack of `(type, data, node id)` (locust/rpc/protocol.py, as of 2.47)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack


@dataclass(frozen=True, slots=True)
class Message:
    """What a master or a worker says. `data` is whatever msgpack can carry; times are maps, which nobody here reads."""

    kind: str
    data: Any
    node_id: str


def pack(message: Message) -> bytes:
    """The bytes of a message."""
    packed: bytes = msgpack.packb((message.kind, message.data, message.node_id))
    return packed


def unpack(raw: bytes) -> Message | None:
    """The message of these bytes, or None when they are none."""
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
    # msgpack's own errors are ValueErrors; TypeError comes of unhashable keys, RecursionError of deep nesting.
    except (ValueError, TypeError, RecursionError):
        return None
    match value:
        case [str(kind), data, node_id]:
            return Message(kind, data, node_id if isinstance(node_id, str) else "")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class SpawnJob:
    """What a `spawn` asks for. `users` is how many of our class this worker is to have."""

    timestamp: float
    users: int
    host: str


def spawn_job(data: Any, user_class: str) -> SpawnJob | None:
    """What a `spawn` asks for, or None when it is not understood."""
    match data:
        case {"timestamp": int() | float() as timestamp, "user_classes_count": dict() as counts}:
            users, host = counts.get(user_class, 0), data.get("host")
            if isinstance(users, int):
                return SpawnJob(float(timestamp), users, host if isinstance(host, str) else "")
    return None
