"""The header lines that the engine adds to each request: its place in a trace, and the flag (docs/protocol.md, 1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.settings import EngineSettings

_BLOCK: Final = 512


class Carriers:
    """Draws ids and composes the lines. `draw(n)` gives n random bytes.

    traceparent as in https://www.w3.org/TR/trace-context/, version 00, sampled.
    """

    def __init__(self, settings: EngineSettings, draw: Callable[[int], bytes] = os.urandom) -> None:
        lines = list(settings.flag_lines)
        if any(c in line for line in [settings.baggage, *lines] for c in "\r\n\0"):
            raise ValueError("a carrier's line holds a line break")
        self._draw = draw
        self._spans: list[bytes] = []
        self._traces: list[bytes] = []
        self._middle = f"-01\r\nbaggage: {settings.baggage},request_id=".encode() if settings.baggage else b""
        tail = "".join(f"{line}\r\n" for line in lines).encode()
        self._tail = b"\r\n" + tail if settings.baggage else b"-01\r\n" + tail

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
        middle = self._middle
        if middle:
            shot.carriers = b"".join((b"traceparent: 00-", trace, b"-", span, middle, span, self._tail))
        else:
            shot.carriers = b"".join((b"traceparent: 00-", trace, b"-", span, self._tail))
