"""The other end of the addon's pipe: flows in mitmproxy's format → exchanges, cut to the limit, recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from tracer_bullet.capture.cuts import cut
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.mitmproxy.reader import Mitmproxy
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came of a stream. `left_out`: not taken by the recorder, which says why."""

    kept: int
    left_out: int
    losses: Losses = field(default_factory=Losses)


def receive(stream: BinaryIO, take: Callable[[Exchange], bool], *, body_limit: int) -> Received:
    """Record the flows of a stream until it ends. `stream` must give what there is, and not wait for more (as a raw
    FileIO does): an exchange is recorded when it comes. Raises what `take` raises."""
    losses = Losses()
    kept = left_out = 0
    for exchange in Mitmproxy().read(stream, losses, ReadOptions()):
        if take(cut(exchange, body_limit)):
            kept += 1
        else:
            left_out += 1
    return Received(kept=kept, left_out=left_out, losses=losses)
