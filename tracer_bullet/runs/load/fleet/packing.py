"""What fleet and worker tell each other, as msgpack and JSON can carry it. Pure.

Shots go as raw columns, little-endian: an object a request would cost more than sending it.
"""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final

import numpy as np

from tracer_bullet.model.load import (
    CheckFailure,
    SenderChange,
    SenderEvent,
    SenderFailures,
    SenderJob,
    SenderNote,
    SenderShots,
)
from tracer_bullet.model.shots import EngineNote, ShotBatch

COLUMNS: Final = {
    "number": "q", "session": "q", "endpoint": "i", "origin": "i",
    "trace_hi": "Q", "trace_lo": "Q", "span_id": "Q",
    "due_ns": "q", "ready_ns": "q", "sent_ns": "q", "first_ns": "q", "ended_ns": "q",
    "status": "i", "error": "b", "request_bytes": "q", "answer_bytes": "q",
}  # fmt: skip
# Rows that are written or read at once: nothing else runs in the process meanwhile, and its beats must go on.
_BLOCK: Final = 10_000
_TIMES: Final = ("due_ns", "ready_ns", "sent_ns", "first_ns", "ended_ns")
# Numbers are unique within one sender only; below this, which is more than anybody sends, they are made so in all.
_SENDER: Final = 1 << 44


def pack_job(job: SenderJob) -> bytes:
    """A job as compressed JSON lines: all but the rows, then the rows, block by block."""
    lines = [{field.name: getattr(job, field.name) for field in fields(job) if field.name != "rows"}, len(job.rows)]
    packer = zlib.compressobj(1)
    blocks = ([n, rows[at : at + _BLOCK]] for n, rows in enumerate(job.rows) for at in range(0, len(rows), _BLOCK))
    return b"".join(packer.compress(_line(line)) for line in (*lines, *blocks)) + packer.flush()


def read_job(packed: bytes) -> SenderJob:
    """A job as it was, but for lists in `engine`, where tuples had been. Raises ValueError."""
    try:
        first, count, *blocks = (json.loads(line) for line in zlib.decompress(packed).splitlines())
        rows: list[list[Any]] = [[] for _ in range(count)]
        for scenario, some in blocks:
            rows[scenario] += some
        return SenderJob(
            **first
            | {
                "scenarios": tuple(first["scenarios"]),
                "variables": tuple(first["variables"]),
                "rows": tuple(map(tuple, rows)),
                "weights": tuple(first["weights"]),
                "curves": {name: tuple((t, n) for t, n in points) for name, points in first["curves"].items()},
            }
        )
    except (zlib.error, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"this is no job: {error!r}") from None


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=dict).encode() + b"\n"


def pack_events(events: Iterable[SenderEvent]) -> list[dict[str, Any]]:
    """Events of one sender, each as a map; shots of neighbours are joined."""
    packed: list[dict[str, Any]] = []
    for event in events:
        match event:
            case SenderShots():
                row = {name: _little(getattr(event.batch, name)) for name in COLUMNS}
                if packed and packed[-1]["kind"] == "shots":
                    for name, raw in row.items():
                        packed[-1][name] += raw
                else:
                    packed.append({"kind": "shots", **row})
            case SenderNote():
                packed.append({"kind": "note", **asdict(event)})
            case SenderFailures():
                packed.append({"kind": "failures", "failures": [[asdict(f), n] for f, n in event.failures]})
            case SenderChange():
                pass  # the fleet says what becomes of its senders
    return packed


def read_events(packed: Iterable[Mapping[str, Any]], sender: int) -> list[SenderEvent]:
    """The events, as of this sender. Raises ValueError."""
    try:
        return [_event(row, sender) for row in packed]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"these are no events: {error!r}") from None


def moved(batch: ShotBatch, *, sender: int, offset_ns: int) -> ShotBatch:
    """A worker's batch with its clock's offset taken off the times, and numbers that no other sender has."""
    columns = {}
    for name in _TIMES:
        times = np.asarray(getattr(batch, name))
        columns[name] = _array("q", np.where(times != 0, times - offset_ns, 0).astype("<i8").tobytes())
    for name in ("number", "session"):
        columns[name] = _array("q", (np.asarray(getattr(batch, name)) + sender * _SENDER).astype("<i8").tobytes())
    return replace(batch, **columns)


def _event(row: Mapping[str, Any], sender: int) -> SenderEvent:
    match row["kind"]:
        case "shots":
            columns = {name: _array(code, row[name]) for name, code in COLUMNS.items()}
            if len({len(column) for column in columns.values()}) != 1:
                raise ValueError("columns of unequal length")
            return SenderShots(sender=sender, batch=ShotBatch(**columns))
        case "note":
            members = {n: row[n] for n in ("planned", "iterations", "users", "cpu")}
            return SenderNote(sender=sender, engine=EngineNote(**row["engine"]), **members)
        case "failures":
            failures = tuple((CheckFailure(**failure), int(count)) for failure, count in row["failures"])
            return SenderFailures(sender=sender, failures=failures)
    raise ValueError(f"no event is a {row['kind']!r}")


def _little(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _array(code: str, raw: bytes) -> array[int]:
    column = array(code)
    column.frombytes(raw)
    if sys.byteorder == "big":
        column.byteswap()
    return column
