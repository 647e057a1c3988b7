"""Requests as Locust counts them, gathered into messages: the endpoint's name is sent once, then its number."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from tracer_bullet.load.locustfile.traces import Hit

# What a row's last but one member is: an index into model.shots.SHOT_ERRORS, which both sides import.
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


class Rows:
    """Rows that wait to be told. A row: endpoint, trace id, span id, sent and ended in ns, status, error, bytes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._new: list[str] = []
        self._rows: list[tuple[int, str, str, int, int, int, int, int]] = []
        self.unflagged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.strangers: Counter[str] = Counter()

    def add(
        self, endpoint: str, hit: Hit | None, *, sent_ns: int, ended_ns: int, error: int, answer_bytes: int
    ) -> None:
        """Take in a request that has ended."""
        number = self._numbers.get(endpoint)
        if number is None:
            number = self._numbers[endpoint] = len(self._numbers)
            self._new.append(endpoint)
        last = hit.last if hit is not None else None
        trace_id = hit.trace.trace_id if hit is not None and hit.trace is not None else _NO_TRACE
        span_id, status = (last.span_id, last.status) if last is not None else (_NO_SPAN, 0)
        self._rows.append((number, trace_id, span_id, sent_ns, ended_ns, status, error, answer_bytes))

    def take(self) -> list[dict[str, Any]]:
        """The messages of all that is new; empty when nothing is."""
        messages: list[dict[str, Any]] = []
        if self._rows:
            messages.append({"t": "rows", "new": self._new, "rows": self._rows})
            self._new, self._rows = [], []
        for name in ("unflagged", "refused", "strangers"):
            counts: Counter[str] = getattr(self, name)
            if counts:
                messages.append({"t": name, "counts": dict(counts)})
                setattr(self, name, Counter())
        return messages
