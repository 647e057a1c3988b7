"""What a diagram format is."""

from __future__ import annotations

from typing import Protocol

from tracer_bullet.report.diagrams.diagram import Diagram, Level


class DiagramFormat(Protocol):
    """Writes a diagram in one format: the same diagram gives the same text.

    `picture`: it is for eyes, so that large diagrams are folded before. `counted`: it is about numbers, and has them
    always. `levels` are those that it can say.
    """

    @property
    def name(self) -> str:
        """As `--format` has it."""
        ...

    @property
    def picture(self) -> bool:
        """Whether it is to be looked at rather than read by a program."""
        ...

    @property
    def counted(self) -> bool:
        """Whether it is nothing without numbers."""
        ...

    @property
    def levels(self) -> tuple[Level, ...]:
        """What it can say."""
        ...

    def render(self, diagram: Diagram) -> str:
        """The text, with a newline at its end."""
        ...
