"""Iterations whose time had long passed when their turn came, as shots that were not sent. Thread-safe."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.model.shots import SHOT_ERRORS, ShotBatch

_STALE: Final = SHOT_ERRORS.index("stale")
# More are not counted before these are taken, so that memory is bounded.
_MOST_ROWS: Final = 200_000

Ints = NDArray[np.int64]


class Missed:
    """Collects rows, one for each step of each missed iteration. `steps`: of each scenario, its endpoints' numbers.
    Numbers are given as the planner does: session × `stride` + step."""

    def __init__(self, steps: Sequence[Sequence[int]], stride: int, origin: int) -> None:
        self._first = np.array([numbers[0] for numbers in steps], dtype=np.int64)
        self._count = np.array([len(numbers) for numbers in steps], dtype=np.int64)
        self._stride = stride
        self._origin = origin
        self._lock = threading.Lock()
        self._parts: list[tuple[Ints, Ints, Ints, Ints, int]] = []
        self._rows = 0

    @property
    def is_full(self) -> bool:
        """Whether rows should be taken before more are added."""
        return self._rows >= _MOST_ROWS

    def add(self, session: int, scenarios: Ints, due_ns: Ints, now_ns: int) -> int:
        """Iterations of these scenarios, with sessions from `session` on, due then (Unix ns); how many rows that is."""
        counts = self._count[scenarios]
        rows = int(counts.sum())
        place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
        sessions = np.repeat(session + np.arange(len(scenarios)), counts)
        endpoints = np.repeat(self._first[scenarios], counts) + place
        with self._lock:
            part = (sessions * self._stride + place, sessions, endpoints, np.repeat(due_ns, counts), now_ns)
            self._parts.append(part)
            self._rows += rows
        return rows

    def take(self) -> ShotBatch | None:
        """All that was added since the last time."""
        with self._lock:
            parts, self._parts, self._rows = self._parts, [], 0
        if not parts:
            return None
        numbers, sessions, endpoints, due = (np.concatenate([p[i] for p in parts]) for i in range(4))
        ended = np.concatenate([np.full(len(p[0]), p[4], dtype=np.int64) for p in parts])
        count = len(numbers)
        return ShotBatch(
            number=_column("q", numbers),
            session=_column("q", sessions),
            endpoint=_column("i", endpoints),
            origin=array("i", [self._origin]) * count,
            trace_hi=array("Q", [0]) * count,
            trace_lo=array("Q", [0]) * count,
            span_id=array("Q", [0]) * count,
            due_ns=_column("q", due),
            ready_ns=_column("q", due),
            sent_ns=array("q", [0]) * count,
            first_ns=array("q", [0]) * count,
            ended_ns=_column("q", ended),
            status=array("i", [0]) * count,
            error=array("b", [_STALE]) * count,
            request_bytes=array("q", [0]) * count,
            answer_bytes=array("q", [0]) * count,
        )


def _column(code: str, values: Ints) -> array[int]:
    column = array(code)
    column.frombytes(values.astype(np.int32 if code == "i" else np.int64).tobytes())
    return column
