"""Shots as columns, on the driver's side: numpy, which the engine's own process does without."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer_bullet.engine.wire import CODES, COUNTS, STATIC, TIMES
from tracer_bullet.model.shots import ShotBatch


def read_shots(members: Sequence[Any], unix_ns: int) -> ShotBatch:
    """The batch of a SHOTS frame's members; `unix_ns` is added to times that are there."""
    traces, spans, *columns = members
    halves = _ids(traces)
    read: dict[str, array[int]] = {}
    for name, raw in zip((*STATIC, *TIMES, *COUNTS), columns, strict=True):
        read[name] = array(CODES.get(name, "q"))
        read[name].frombytes(_unix(raw, unix_ns) if name in TIMES else raw)
    return ShotBatch(trace_hi=halves[::2], trace_lo=halves[1::2], span_id=_ids(spans), **read)


def _unix(times: bytes, unix_ns: int) -> bytes:
    read = np.frombuffer(times, np.int64)
    return np.where(read != 0, read + unix_ns, 0).tobytes()


def _ids(digits: bytes) -> array[int]:
    ids = array("Q")
    ids.frombytes(np.frombuffer(bytes.fromhex(digits.decode("ascii")), ">u8").astype(np.uint64).tobytes())
    return ids
