"""Cutting a stream of bytes into HTTP/2 frames (RFC 9113, section 4.1). Pure.

h2 could take the bytes as they come, but then one frame that it refuses would cost the events of those before it, and
its own connection ends at a GOAWAY, although the answers under way still come. So it is fed frame by frame, and never
sees a GOAWAY.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 9
GOAWAY: Final = 0x7
# What we allow a peer to send in one frame: the protocol's own default, which we do not raise.
LONGEST: Final = 16_384


class FrameError(ValueError):
    """The bytes are no frames that a peer may send."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame: `raw` with its header of 9 bytes."""

    kind: int
    stream_id: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer takes no more streams. Those above `last_stream_id` were not processed (RFC 9113, section 6.8)."""

    last_stream_id: int
    error_code: int


class FrameCutter:
    """Keeps what is not a whole frame yet."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole with `data`. Raises FrameError for one longer than we allow, after those before it.

        The iterator must be used up, or what remains of `data` is lost.
        """
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= HEADER_BYTES:
            length = int.from_bytes(data[at : at + 3], "big")
            if length > LONGEST:
                raise FrameError(f"a frame of {length} bytes")
            after = at + HEADER_BYTES + length
            if after > end:
                break
            stream_id = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
            yield Frame(data[at + 3], stream_id, data[at:after])
            at = after
        self._rest = data[at:]


def read_goaway(frame: Frame) -> GoAway:
    """What a GOAWAY says. Raises FrameError when it is too short, or sent on a stream."""
    body = frame.raw[HEADER_BYTES:]
    if len(body) < 8 or frame.stream_id:
        raise FrameError("a GOAWAY that is none")
    return GoAway(int.from_bytes(body[:4], "big") & 0x7FFFFFFF, int.from_bytes(body[4:8], "big"))
