"""Lines of a log of any size, in bounded memory. Text is latin-1: a character is a byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.logs.lines.columns import NUL, TOO_LONG
from tracer_bullet.capture.formats.shared.streams import chunks
from tracer_bullet.model.losses import Losses

LONGEST: Final = 1 << 20


class Lines:
    """Iterates over the lines, without their ends; empty ones are left out. `torn`: the last one given had no end."""

    def __init__(self, stream: BinaryIO, losses: Losses) -> None:
        self._stream = stream
        self._losses = losses
        self.torn = False

    def __iter__(self) -> Iterator[str]:
        rest, skipping = "", False
        for chunk in chunks(self._stream, self._losses):
            first, *others = chunk.decode("latin-1").split("\n")
            if skipping:
                if not others:
                    continue
                skipping, first, rest = False, "", ""
            if not others:
                rest = (rest + first).lstrip("\0") if first[:1] == "\0" else rest + first  # a hole may be of any length
                if len(rest) > LONGEST:
                    self._losses.lose(TOO_LONG, rest[:80])
                    rest, skipping = "", True
                continue
            yield from self._whole([rest + first])
            rest = others.pop()
            yield from self._whole(others)
        if rest and not skipping:
            self.torn = True
            yield from self._whole([rest])

    def _whole(self, lines: list[str]) -> Iterator[str]:
        for line in lines:
            line = line.removesuffix("\r")  # noqa: PLW2901
            if not line:
                continue
            if line[0] in "\0\xef":
                line = self._cleaned(line)  # noqa: PLW2901
            if len(line) > LONGEST:
                self._losses.lose(TOO_LONG, line[:80])
            elif line:
                yield line

    def _cleaned(self, line: str) -> str:
        if line[0] == "\0":
            self._losses.repair(NUL)
            return line.lstrip("\0")
        return line.removeprefix("\xef\xbb\xbf")
