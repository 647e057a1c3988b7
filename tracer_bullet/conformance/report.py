"""What a run of the kit ends in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How far a service takes part: it only forwards the flag, or it decides and guards too."""

    FORWARDER = "forwarder"
    PARTICIPANT = "participant"


class Outcome(Enum):
    """What became of one check."""

    HONOURED = "honoured"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check. `claim` says what must hold; `detail` what was found instead, or why it was not checked."""

    name: str
    required: bool
    outcome: Outcome
    claim: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of a level, in order."""

    url: str
    level: Level
    results: tuple[Result, ...]

    @property
    def conforms(self) -> bool:
        """Whether all that is required is honoured."""
        return all(r.outcome is Outcome.HONOURED for r in self.results if r.required)

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the checks that the service does not honour, optional ones too."""
        return tuple(r.name for r in self.results if r.outcome is Outcome.BROKEN)
