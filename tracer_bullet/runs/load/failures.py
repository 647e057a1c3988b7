"""Answers that are not what their steps expect, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracer_bullet.model.load import CheckFailure, FailureGroup, SenderFailures, StepKey

# Kinds beyond these are counted together: what varies in every message would fill the memory.
MAX_KINDS = 200
_OTHERS = "other failures"


@dataclass
class Failures:
    """Groups what senders tell."""

    steps: Sequence[StepKey]
    _first: dict[tuple[int, str], CheckFailure] = field(default_factory=dict)
    _counts: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(self, event: SenderFailures) -> None:
        """Count some."""
        for failure, count in event.failures:
            key = (failure.endpoint, failure.message)
            if key not in self._counts and len(self._counts) >= MAX_KINDS:
                key = (failure.endpoint, _OTHERS)
            self._first.setdefault(key, failure)
            self._counts[key] = self._counts.get(key, 0) + count

    def groups(self) -> list[FailureGroup]:
        """The most frequent first."""
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return [
            FailureGroup(
                step=self.steps[endpoint].name,
                message=message,
                count=count,
                trace_id=self._first[endpoint, message].trace_id,
                row=self._first[endpoint, message].row,
            )
            for (endpoint, message), count in ordered
        ]
