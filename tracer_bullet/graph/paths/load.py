"""Spans of whole traces from an engine, a bounded part at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.paths.spans import LATEST_NS, PathSpans
from tracer_bullet.graph.paths.trees import NOBODY, Ints
from tracer_bullet.graph.sql import paths

# About 250 bytes of arrays a span at the peak.
PART_SPANS = 1_000_000
_GRAINS = (1_000_000, 1_000, 100)
# A few clocks may be finer than the others.
_MOST = 0.99


def detect_grain(engine: Engine) -> int:
    """The resolution of the set's clocks in ns: the coarsest grain that nearly all times are multiples of."""
    count, *fitting = engine.rows(paths.GRAINS)[0]
    return grain_of(count, [int(n or 0) for n in fitting])


def grain_of(count: int, fitting: list[int]) -> int:
    """1 ms, 1 µs, 100 ns or 1 ns, by how many of `count` spans fit the first three."""
    return next((g for g, n in zip(_GRAINS, fitting, strict=True) if count and n >= _MOST * count), 1)


def fitting_grains(times: list[tuple[int, int]]) -> list[int]:
    """How many of (start, end) fit each of the grains that `grain_of` asks for."""
    return [sum(start % g == 0 and end % g == 0 for start, end in times) for g in _GRAINS]


def read_parts(engine: Engine, spans: int, part_spans: int) -> Iterator[tuple[PathSpans, Ints]]:
    """The spans in parts of about `part_spans`, each of whole traces, with their operations' numbers (from 0).

    `spans` is how many there are; their row numbers are 1 to `spans`.
    """
    parts = -(-spans // part_spans)
    places = np.zeros(spans + 1, dtype=np.int64)
    for part in range(parts):
        table = engine.table(paths.PART.format(parts=parts, part=part))
        places[_ints(table, "row_id")] = np.arange(table.num_rows)
        over = _ints(table, "parent")
        yield (
            PathSpans(
                trace_hi=_ints(table, "trace_hi"),
                trace_lo=_ints(table, "trace_lo"),
                span_id=_ints(table, "span_id").view(np.uint64),
                parents=np.where(over == 0, NOBODY, places[over]),
                orphan=_flags(table, "orphan"),
                start=np.clip(_ints(table, "start_ns"), -LATEST_NS, LATEST_NS),
                end=np.clip(_ints(table, "end_ns"), -LATEST_NS, LATEST_NS),
                kind=table.column("kind").to_numpy(),
                machine=table.column("machine_id").to_numpy(),
                service=table.column("service_id").to_numpy(),
                linked=_flags(table, "linked"),
            ),
            _ints(table, "operation_id") - 1,
        )


def _ints(table: pa.Table, name: str) -> Ints:
    values: npt.NDArray[np.int64] = table.column(name).to_numpy().astype(np.int64, copy=False)
    return values


def _flags(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = table.column(name).to_numpy() != 0
    return flags
