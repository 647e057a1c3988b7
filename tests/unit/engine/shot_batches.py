"""Makes ShotBatches for tests out of rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from tracer_bullet.model.shots import SHOT_ERRORS, ShotBatch

COLUMNS: Mapping[str, str] = {
    "number": "q",
    "session": "q",
    "endpoint": "i",
    "origin": "i",
    "trace_hi": "Q",
    "trace_lo": "Q",
    "span_id": "Q",
    "due_ns": "q",
    "ready_ns": "q",
    "sent_ns": "q",
    "first_ns": "q",
    "ended_ns": "q",
    "status": "i",
    "error": "b",
    "request_bytes": "q",
    "answer_bytes": "q",
}
SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


def shot(
    *,
    number: int = 0,
    endpoint: int = 0,
    due: int = START,
    held: int = 0,
    late: int = 50_000,
    service: int = 1_000_000,
    status: int = 200,
    error: str = "",
    sent: bool = True,
    answer_bytes: int = 100,
) -> dict[str, int]:
    """A row; times in nanoseconds."""
    ready = due + held
    sent_ns = ready + late
    return {
        "number": number,
        "session": 0,
        "endpoint": endpoint,
        "origin": 0,
        "trace_hi": 1,
        "trace_lo": 2,
        "span_id": number,
        "due_ns": due,
        "ready_ns": ready,
        "sent_ns": sent_ns if sent else 0,
        "first_ns": sent_ns + service // 2 if sent and not error else 0,
        "ended_ns": sent_ns + service,
        "status": 0 if error else status,
        "error": SHOT_ERRORS.index(error),
        "request_bytes": 80,
        "answer_bytes": 0 if error else answer_bytes,
    }


def batch(rows: Iterable[Mapping[str, int]]) -> ShotBatch:
    rows = list(rows)
    return ShotBatch(**{name: array(code, [row[name] for row in rows]) for name, code in COLUMNS.items()})
