"""When a replay must stop: errors, latency, lateness, budget, over a sliding window. Pure: time is what shots say."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch
from tracer_bullet.workspace.replay import GuardrailsSpec, LimitsSpec

# Fewer answers decide nothing: one error of two is no outage.
MIN_REQUESTS = 20
_NOT_SENT = np.array([i for i, name in enumerate(SHOT_ERRORS) if name in NOT_SENT])
_NS = 1_000_000_000


@dataclass
class _Second:
    """What ended in one second."""

    second: int
    total: int = 0
    bad: int = 0
    latency_ns: list[np.ndarray] = field(default_factory=list)


class Guardrails:
    """Watches the shots of a replay as they end. `start_ns` is the schedule's start, on the engine's clock."""

    def __init__(self, spec: GuardrailsSpec, limits: LimitsSpec, start_ns: int) -> None:
        self._spec = spec
        self._limits = limits
        self._start_ns = start_ns
        self._window: deque[_Second] = deque()
        self._requests = 0
        self._bytes = 0

    def see(self, batch: ShotBatch) -> StopEvent | None:
        """Take a batch in; why to stop, None when there is no reason."""
        error = np.frombuffer(batch.error, dtype=np.int8)
        sent = ~np.isin(error, _NOT_SENT)
        status = np.frombuffer(batch.status, dtype=np.int32)
        ended = np.frombuffer(batch.ended_ns, dtype=np.int64)
        latency = ended - np.frombuffer(batch.due_ns, dtype=np.int64)
        bad = (error != 0) | (status >= 500)
        self._requests += int(sent.sum())
        self._bytes += sum(batch.request_bytes) + sum(batch.answer_bytes)
        if not sent.any():
            return None
        for second in np.unique(ended[sent] // _NS):
            rows = sent & (ended // _NS == second)
            place = self._at(int(second))
            place.total += int(rows.sum())
            place.bad += int((rows & bad).sum())
            if self._spec.latency_p99_ms is not None:
                place.latency_ns.append(latency[rows])
        last_ns = int(ended[sent].max())
        self._forget(last_ns)
        return self._judge((last_ns - self._start_ns) / _NS)

    def _at(self, second: int) -> _Second:
        for place in reversed(self._window):
            if place.second == second:
                return place
        place = _Second(second)
        self._window.append(place)
        return place

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns // _NS - self._spec.window_s
        self._window = deque(place for place in self._window if place.second > oldest)

    def _judge(self, after_s: float) -> StopEvent | None:
        total = sum(p.total for p in self._window)
        bad = sum(p.bad for p in self._window)
        if total >= MIN_REQUESTS and bad / total > self._spec.errors:
            detail = f"{bad} of {total} answers were errors within {self._spec.window_s:g} s"
            return StopEvent(reason="guardrail", detail=f"{detail} (allowed: {self._spec.errors:.0%})", after_s=after_s)
        limit_ms = self._spec.latency_p99_ms
        if limit_ms is not None and total >= MIN_REQUESTS:
            p99_ms = float(np.quantile(np.concatenate([a for p in self._window for a in p.latency_ns]), 0.99)) / 1e6
            if p99_ms > limit_ms:
                detail = f"p99 was {p99_ms:.0f} ms within {self._spec.window_s:g} s (allowed: {limit_ms:g} ms)"
                return StopEvent(reason="guardrail", detail=detail, after_s=after_s)
        return self._budget(after_s)

    def _budget(self, after_s: float) -> StopEvent | None:
        if self._limits.bytes is not None and self._bytes >= self._limits.bytes:
            return StopEvent(reason="budget", detail=f"{self._bytes} bytes went over the wire", after_s=after_s)
        return None
