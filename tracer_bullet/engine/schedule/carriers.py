"""The header lines that the engine adds to each request: its place in a trace, and the flag (docs/protocol.md, 1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.settings import EngineSettings

_BLOCK: Final = 512
_ALL_TRACES: Final = 1 << 64


class Carriers:
    """Draws ids and composes the lines. `draw(n)` gives n random bytes.

    traceparent as in https://www.w3.org/TR/trace-context/, version 00, with the flag `sampled` as the settings'
    `trace_share` has it. Raises ValueError when a line would break the head apart.
    """

    def __init__(self, settings: EngineSettings, draw: Callable[[int], bytes] = os.urandom) -> None:
        lines = list(settings.flag_lines)
        if any(c in line for line in [settings.baggage, *lines] for c in "\r\n\0"):
            raise ValueError("a carrier's line holds a line break")
        self._draw = draw
        self._spans: list[bytes] = []
        self._traces: list[bytes] = []
        tail = "".join(f"{line}\r\n" for line in lines).encode()
        baggage = f"\r\nbaggage: {settings.baggage},request_id=".encode() if settings.baggage else b""
        self._middle = b"-01" + baggage if baggage else b""
        self._tail = b"\r\n" + tail if baggage else b"-01\r\n" + tail
        limit = int(settings.trace_share * _ALL_TRACES)
        # Digits of one length are in the order of their numbers. None: all are sampled.
        self._limit = b"%016x" % limit if limit < _ALL_TRACES else None

    def new_trace(self) -> bytes:
        """A trace id: 32 hexadecimal digits."""
        if not self._traces:
            self._traces = self._draw(16 * _BLOCK).hex("-", 16).encode().split(b"-")
        return self._traces.pop()

    def stamp(self, shot: Shot, trace: bytes) -> None:
        """Give the shot a span id of its own within `trace`, and its lines."""
        spans = self._spans
        if not spans:
            # Grouped from the right, which is the same here: the block is a multiple of eight bytes.
            spans = self._spans = self._draw(8 * _BLOCK).hex("-", 8).encode().split(b"-")
        shot.trace = trace
        shot.span = span = spans.pop()
        middle, tail = self._middle, self._tail
        if self._limit is not None and trace[16:] >= self._limit:
            if middle:
                middle = b"-00" + middle[3:]
            else:
                tail = b"-00" + tail[3:]
        if middle:
            shot.carriers = b"".join((b"traceparent: 00-", trace, b"-", span, middle, span, tail))
        else:
            shot.carriers = b"".join((b"traceparent: 00-", trace, b"-", span, tail))
