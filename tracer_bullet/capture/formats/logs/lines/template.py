"""A log whose lines are in one of a few forms: the loop that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Protocol

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs.errors import format_unclear
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.exchange import Maker, Values
from tracer_bullet.capture.formats.logs.lines.reading import Lines
from tracer_bullet.capture.formats.logs.values.escapes import Unescape
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses


class LinePattern(Protocol):
    """Takes a line apart: values of `columns`, whose escaping `unescape` undoes."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the values are."""
        ...

    @property
    def unescape(self) -> Unescape:
        """Undoes the escaping of a value."""
        ...

    def match(self, line: str) -> Values | None:
        """The values; None when the line has another form."""
        ...

    def lenient(self, line: str) -> Values | None:
        """The same of a line that no pattern takes as it is."""
        ...


_Match = Callable[[str], Values | None]
_Make = Callable[[Values], Exchange | None]


class LineLog:
    """Reads lines by the first pattern that fits; the last one that did is tried first."""

    def __init__(
        self,
        patterns: Sequence[LinePattern],
        *,
        source: str,
        no_answer: frozenset[int] = frozenset({0}),
    ) -> None:
        self._patterns = tuple(patterns)
        self._source, self._no_answer = source, no_answer

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        readers = [(pattern, self._maker(pattern, losses, options).make) for pattern in self._patterns]
        lines = Lines(stream, losses)
        match: _Match = readers[0][0].match
        make: _Make = readers[0][1]
        for line in lines:
            values = match(line)
            if values is None:
                fitting = _fitting(readers, line)
                if fitting is None:
                    losses.lose(c.TORN if lines.torn else c.NO_FORM, line)
                    continue
                match, make, values = fitting
            exchange = make(values)
            if exchange is not None:
                yield exchange

    def _maker(self, pattern: LinePattern, losses: Losses, options: ReadOptions) -> Maker:
        return Maker(
            pattern.columns,
            source=self._source,
            options=options,
            losses=losses,
            unescape=pattern.unescape,
            no_answer=self._no_answer,
        )


def _fitting(readers: Sequence[tuple[LinePattern, _Make]], line: str) -> tuple[_Match, _Make, Values] | None:
    """The first pattern that takes a line as it is; only then one that takes it leniently."""
    for pattern, make in readers:
        if (values := pattern.match(line)) is not None:
            return pattern.match, make, values
    for pattern, make in readers:
        if (values := pattern.lenient(line)) is not None:
            return pattern.match, make, values
    return None


def check(pattern: LinePattern, given: str, wanted: tuple[str, str, str]) -> None:
    """Raises UsageError TB915 where a format tells no target, no method or no time; `wanted` names what would."""
    roles = {column.role for column in pattern.columns}
    needs = (
        {Role.REQUEST_LINE, Role.TARGET, Role.PATH},
        {Role.REQUEST_LINE, Role.METHOD},
        {Role.START, Role.END},
    )
    for need, names in zip(needs, wanted, strict=True):
        if not roles & need:
            raise format_unclear(given, f"it has none of {names}")
