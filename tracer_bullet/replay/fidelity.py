"""The replay against the recording: order, gaps, loss, concurrency. Memory: a bit a request, a little a session."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from tracer_bullet.model.replay import Fidelity, Quantiles
from tracer_bullet.model.shots import ShotBatch

_NS: Final = 1_000_000_000
_TENTH_NS: Final = 100_000_000
# So many tenths lie together: 4 bytes each, where an entry of a dictionary has a hundred.
_STRETCH: Final = 64
# Gap errors are sampled beyond this many: their quantiles hardly move then.
_MOST_GAPS: Final = 200_000


class _Load:
    """Requests under way: their mean over time, exactly, and the most within one tenth of a second."""

    def __init__(self) -> None:
        self._steps: dict[int, array[int]] = {}  # stretch of tenths → by how many the load changes in each
        self._busy_ns = 0
        self._first_ns: int | None = None
        self._last_ns = 0

    def add(self, started_ns: int, ended_ns: int) -> None:
        self._busy_ns += ended_ns - started_ns
        self._first_ns = started_ns if self._first_ns is None else min(self._first_ns, started_ns)
        self._last_ns = max(self._last_ns, ended_ns)
        self._step(started_ns // _TENTH_NS, 1)
        self._step(ended_ns // _TENTH_NS + 1, -1)

    def result(self) -> tuple[float, int]:
        if self._first_ns is None:
            return 0.0, 0
        under_way = most = 0
        for _, steps in sorted(self._steps.items()):
            running = np.cumsum(steps, dtype=np.int64)
            most = max(most, under_way + int(running.max()))
            under_way += int(running[-1])
        return self._busy_ns / max(self._last_ns - self._first_ns, 1), most

    def _step(self, tenth: int, change: int) -> None:
        stretch, place = divmod(tenth, _STRETCH)
        steps = self._steps.get(stretch)
        if steps is None:
            steps = self._steps[stretch] = array("i", bytes(4 * _STRETCH))
        steps[place] += change


class FidelityMeter:
    """Takes batches as they come back. The recorded gap is that of the schedule, so speed and shape are in it."""

    def __init__(self) -> None:
        self._seen = bytearray()
        self._repeated = 0
        self._sent = 0
        self._pairs = 0
        self._in_order = 0
        self._gaps: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        self._gap_count = 0
        # Session → the how-many-th → [sent, how many of its neighbours were met].
        self._sessions: dict[int, dict[int, list[int]]] = {}
        self._session_count = 0
        self._recorded = _Load()
        self._replayed = _Load()
        self._timed = True
        self._first_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}

    def see(
        self,
        batch: ShotBatch,
        recorded: Sequence[tuple[int, int | None]],
        nths: Sequence[int],
        lasts: Sequence[bool],
    ) -> None:
        """Take a batch in; of each row the recorded start and end (Unix ns, None: unknown), the how-many-th of its
        session it is, and whether the last."""
        self._gap_errors(batch)
        for i, (started_ns, finished_ns) in enumerate(recorded):
            sent_ns, ended_ns = batch.sent_ns[i], batch.ended_ns[i]
            self._order(batch.session[i], nths[i], sent_ns, last=lasts[i])
            if not sent_ns:
                continue
            self._mark(batch.number[i])
            self._extent("recorded", started_ns)
            self._extent("replayed", sent_ns)
            self._replayed.add(sent_ns, max(ended_ns, sent_ns))
            if finished_ns is None:
                self._timed = False
            else:
                self._recorded.add(started_ns, max(finished_ns, started_ns))

    def result(self, planned: int) -> Fidelity:
        """What it came to; `planned` is how many requests there were to send."""
        return Fidelity(
            sessions=self._session_count,
            pairs=self._pairs,
            in_order=self._in_order / self._pairs if self._pairs else 1.0,
            gap_error=_quantiles(self._gaps),
            lost=planned - self._sent,
            repeated=self._repeated,
            span_recorded_s=self._span_s("recorded"),
            span_replayed_s=self._span_s("replayed"),
            concurrency_recorded=self._recorded.result() if self._timed and self._sent else None,
            concurrency_replayed=self._replayed.result(),
        )

    def _gap_errors(self, batch: ShotBatch) -> None:
        """Of requests that follow one another in the schedule and came back together."""
        if self._gap_count >= _MOST_GAPS or len(batch) < 2:
            return
        number, due, sent = (np.asarray(c) for c in (batch.number, batch.due_ns, batch.sent_ns))
        order = np.argsort(number)
        number, due, sent = number[order], due[order], sent[order]
        follow = (np.diff(number) == 1) & (sent[1:] > 0) & (sent[:-1] > 0)
        errors = np.abs(np.diff(sent) - np.diff(due))[follow]
        self._gaps.append(errors)
        self._gap_count += len(errors)

    def _order(self, session: int, nth: int, sent_ns: int, *, last: bool) -> None:
        """Neighbours of a session are compared when both are back; kept is only what still lacks one."""
        self._session_count += nth == 1
        known = self._sessions.setdefault(session, {})
        sides = (nth == 1) + last
        for other in (nth - 1, nth + 1):
            theirs = known.get(other)
            if theirs is None:
                continue
            sides += 1
            theirs[1] += 1
            if sent_ns and theirs[0]:
                self._pairs += 1
                self._in_order += (theirs[0] <= sent_ns) == (other < nth)
            if theirs[1] == 2:
                del known[other]
        if sides < 2:
            known[nth] = [sent_ns, sides]
        if not known:
            del self._sessions[session]

    def _mark(self, number: int) -> None:
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 4096 - len(self._seen)))
        if self._seen[place] & bit:
            self._repeated += 1
        else:
            self._seen[place] |= bit
            self._sent += 1

    def _extent(self, which: str, at_ns: int) -> None:
        self._first_ns[which] = min(self._first_ns.get(which, at_ns), at_ns)
        self._last_ns[which] = max(self._last_ns.get(which, at_ns), at_ns)

    def _span_s(self, which: str) -> float:
        return (self._last_ns.get(which, 0) - self._first_ns.get(which, 0)) / _NS


def _quantiles(gaps: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]]) -> Quantiles:
    values = np.concatenate([np.zeros(0, np.int64), *gaps]) / 1e6
    if not values.size:
        return Quantiles()
    p50, p90, p95, p99, p999 = np.quantile(values, (0.5, 0.9, 0.95, 0.99, 0.999)).tolist()
    return Quantiles(
        count=values.size,
        mean_ms=float(values.mean()),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=float(values.max()),
    )
