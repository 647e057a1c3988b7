"""What an importer of any kind lost or repaired. The one mutable type of the vocabulary: a tally, as it goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_EXAMPLES: Final = 3
_EXAMPLE_LENGTH: Final = 120


@dataclass(slots=True)
class Losses:
    """What was lost or repaired on the way in: the loss report. Reasons are short sentences without values.

    `lost` counts what did not come in (spans, requests, attributes …), `repaired` what is there in another
    shape than it came. `examples` holds up to three values a reason, cut to 120 characters.
    """

    lost: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def lose(self, reason: str, example: object = "", count: int = 1) -> None:
        """Count something that did not come in."""
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
