"""Where spans come from: one small Protocol, and what all sources promise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tracer_bullet.model import Span


class TraceSource(Protocol):
    """A place to fetch the spans of bullets from. tests/unit/traces holds its contract."""

    async def fetch(self, trace_ids: Collection[str]) -> Mapping[str, Sequence[Span]]:
        """Spans known so far of each trace asked for, by lower-case id of 32 digits; none yet is empty.

        Raises UnreachableError when the source is away, ValueError when an id is not hex.
        """
        ...

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """Return a number other than `seen` once there may be new spans, or after `timeout_s` at the latest.

        Begin with 0, and pass the number of the last call. A source that cannot tell waits a
        while and says that there may be.
        """
        ...

    async def close(self) -> None:
        """Let go of sockets and threads; a second call does nothing."""
        ...
