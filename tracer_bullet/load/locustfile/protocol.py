"""What the processes of Locust and the conductor say to each other: JSON, one object a line, `t` says which.

Locust → conductor: `hello` (secret, who, pid), `ask` (n, endpoint), `trace` (a trace with its exchanges), `rows`
(requests as Locust counts them), `unflagged` and `refused` (name or host → count), `users`, `bye`.
Conductor → Locust: `welcome` (Terms), `go` (n, how: `arm`, `armed`), `armed` (endpoint), `rate`, `token`, `stop`.
Stdlib only: both sides import it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tracer_bullet.errors import UsageError

# Where the conductor listens, as 127.0.0.1:port, and what proves that a process is one of ours.
LINK: Final = "TRACER_BULLET_LINK"
LINK_SECRET: Final = "TRACER_BULLET_LINK_SECRET"  # noqa: S105
# For a plain `locust`, whose arguments are its own.
TARGET: Final = "TRACER_BULLET_TARGET"
ALLOW_HOSTS: Final = "TRACER_BULLET_ALLOW_HOSTS"
FLAG_HOSTS: Final = "TRACER_BULLET_FLAG_HOSTS"
TRACE: Final = "TRACER_BULLET_TRACE"
# Custom messages of Locust, by which workers on other hosts reach the conductor through their master.
UP: Final = "tb_locustfile_up"
DOWN: Final = "tb_locustfile_down"
# The receiver holds this share of traces (`traces.ids.in_share`); the ids of those that are audited are drawn from it.
KEPT_SHARE: Final = 0.5

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a process sends.

    `flagged`, `allowed`: hosts, as `host` or `host:port`; `baggage`: the members of a bullet; `trace`: `task`, `user`
    or `request`; `rate`: traces that are audited, a second; `armed`: whether endpoints wait for a clean bullet;
    `target`: the URL for users without a host.
    """

    run_id: str
    target: str
    token: str
    baggage: str
    tracestate: str
    flagged: tuple[str, ...]
    allowed: tuple[str, ...]
    trace: str = "task"
    rate: float = 5.0
    armed: bool = True

    def message(self) -> dict[str, Any]:
        """As a `welcome`."""
        return {"t": "welcome", **asdict(self)}

    @classmethod
    def of(cls, message: Message) -> Terms:
        """From a `welcome`."""
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in message.items() if k != "t"}
        return cls(**given)


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def decode(line: bytes | str) -> dict[str, Any]:
    """The message of a line. Raises ValueError for anything else."""
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise ValueError("no message")
    return message


def parse_link(text: str) -> tuple[str, int]:
    """Host and port of LINK. Raises UsageError TB1051: it is loopback, or it is none of ours."""
    host, _, port = text.rpartition(":")
    if host != "127.0.0.1" or not port.isdigit():
        raise UsageError(
            "TB1051",
            f"{LINK}={text!r} is not 127.0.0.1:port",
            cure="leave it unset: `tracer-bullet load -f` sets it",
        )
    return host, int(port)
