"""What every importer is: a format that recognises its values, and a reader that turns them into spans."""

from __future__ import annotations

from typing import Any, Protocol

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns


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
