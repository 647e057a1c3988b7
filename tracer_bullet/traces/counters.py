"""What the receiver has taken and refused."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One moment's counts. `ignored` counts requests of other signals, which are answered and dropped."""

    requests: int = 0
    spans: int = 0
    rejected_requests: Mapping[str, int] = field(default_factory=dict)
    rejected_spans: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


class Tally:
    """Counts from one thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._spans = 0
        self._rejected_requests: Counter[str] = Counter()
        self._rejected_spans: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def request(self) -> None:
        """A request for an OTLP path came."""
        with self._lock:
            self._requests += 1

    def accepted(self, spans: int) -> None:
        """Spans were taken."""
        with self._lock:
            self._spans += spans

    def rejected_request(self, reason: str) -> None:
        """A request was refused as a whole."""
        with self._lock:
            self._rejected_requests[reason] += 1

    def rejected_spans(self, reasons: Mapping[str, int]) -> None:
        """Single spans were refused, by reason."""
        with self._lock:
            self._rejected_spans.update(reasons)

    def ignored(self, signal: str) -> None:
        """A request of another signal was answered and dropped."""
        with self._lock:
            self._ignored[signal] += 1

    def snapshot(self) -> Counters:
        """The counts now."""
        with self._lock:
            return Counters(
                requests=self._requests,
                spans=self._spans,
                rejected_requests=dict(self._rejected_requests),
                rejected_spans=dict(self._rejected_spans),
                ignored=dict(self._ignored),
            )
