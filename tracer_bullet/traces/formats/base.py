"""What every importer is: a format that recognises its values, and a reader that turns them into spans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tracer_bullet.traces.columns import SpanColumns

_EXAMPLES: Final = 3
_EXAMPLE_LENGTH: Final = 120


@dataclass(slots=True)
class Losses:
    """What was lost or repaired on the way in: the loss report. Reasons are short sentences without values.

    `lost` counts what is not in the table (spans, attributes, links …), `repaired` what is there in another
    shape than it came. `examples` holds up to three values a reason, cut to 120 characters.
    """

    lost: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def lose(self, reason: str, example: object = "", count: int = 1) -> None:
        """Count something that is not in the table."""
        self.lost[reason] += count
        self._keep(reason, example)

    def repair(self, reason: str, example: object = "", count: int = 1) -> None:
        """Count something that was put right, or guessed."""
        self.repaired[reason] += count
        self._keep(reason, example)

    def merge(self, other: Losses) -> None:
        """Add another's counts."""
        self.lost.update(other.lost)
        self.repaired.update(other.repaired)
        for reason, some in other.examples.items():
            for example in some:
                self._keep(reason, example)

    def _keep(self, reason: str, example: object) -> None:
        kept = self.examples.setdefault(reason, [])
        if len(kept) >= _EXAMPLES:
            return
        try:
            text = str(example)[:_EXAMPLE_LENGTH]
        except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
            return
        if text and text not in kept:
            kept.append(text)


class Reader(Protocol):
    """Reads the values of one input. Never raises for what is inside a value: what is bad is counted as lost."""

    def feed(self, value: Any, to: SpanColumns) -> None:
        """Add the spans of one JSON value (a document, or one line) to `to`.

        A reader that must see several pieces before a span is whole keeps them until `finish`.
        """
        ...

    def finish(self, to: SpanColumns) -> None:
        """Add what was kept. Called once, at the end of the input."""
        ...


class Format(Protocol):
    """One way to write spans as JSON. One file a format; tests/unit/traces/formats holds the contract."""

    name: str
    """As in the import's summary: `Jaeger`, `AWS X-Ray`."""

    def recognises(self, value: Any) -> bool:
        """Whether a JSON value (of a document its start, of lines one line) is in this format. Never raises."""
        ...

    def reader(self, losses: Losses) -> Reader:
        """A new reader that counts into `losses`."""
        ...
