"""The critical paths of all traces of an engine, summed by operation."""

from __future__ import annotations

import numpy as np

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.paths.load import PART_SPANS, detect_grain, read_parts
from tracer_bullet.graph.paths.spans import PathSpans
from tracer_bullet.graph.paths.trees import Ints
from tracer_bullet.graph.paths.walk import Paths, walk_paths
from tracer_bullet.graph.sql import figures, paths
from tracer_bullet.model import CriticalPaths, PathShare

_NS_PER_MS = 1e6
_HALF = 32


def find_critical_paths(engine: Engine, *, part_spans: int = PART_SPANS) -> CriticalPaths:
    """The critical paths of all traces (docs/critical-path.md has the rule).

    Needs the tables of graph/prepare.py and `clock` of graph/skew.py. Memory is bounded by about
    `part_spans` spans, or those of the largest trace. Shares are sorted by what they add.
    """
    engine.define("path_operation", paths.OPERATIONS)
    engine.define("path_machine", paths.MACHINES)
    engine.define("path_link", paths.LINKS)
    names = engine.rows(paths.NAMES)
    traces, spans = engine.rows(figures.TOTALS)[0]
    grain = detect_grain(engine)
    sums = _Sums(len(names))
    for part, operations in read_parts(engine, spans, part_spans):
        sums.add(part, operations, walk_paths(part, grain))
    for table in ("path_operation", "path_machine", "path_link"):
        engine.drop(table)
    return CriticalPaths(
        traces=sums.traces,
        total_ms=sums.total_ns / _NS_PER_MS,
        ambiguous_ms=sum(_whole(sums.ambiguous)) / _NS_PER_MS,
        resolution_ns=grain,
        shares=sums.shares([(str(service), str(name)) for service, name in names]),
        rootless=sums.rootless,
        extra_roots=sums.extra_roots,
        circular=traces - sums.traces,
        detached=sums.detached,
    )


class _Sums:
    """What the operations' spans add up to over the parts."""

    def __init__(self, operations: int) -> None:
        self.traces = self.rootless = self.extra_roots = self.detached = 0
        self.exclusive, self.drag, self.ambiguous = np.zeros((3, 2, operations), dtype=np.int64)
        self.calls, self.met = np.zeros((2, operations), dtype=np.int64)

    @property
    def total_ns(self) -> int:
        """Of all roots, which their sections cover."""
        return sum(_whole(self.exclusive))

    def add(self, spans: PathSpans, operations: Ints, found: Paths) -> None:
        """Count one part in."""
        self.traces += len(found.roots)
        self.rootless += found.rootless
        self.extra_roots += found.extra_roots
        self.detached += found.detached
        length = found.end - found.start
        operation = operations[found.owner]
        _add(self.exclusive, operation, length)
        _add(self.drag, operation, found.alone)
        _add(self.ambiguous, operation[found.tied], length[found.tied])
        on_path = np.zeros(len(operations), dtype=np.bool_)
        on_path[found.owner] = True
        called = np.flatnonzero(on_path)
        np.add.at(self.calls, operations[called], 1)
        self.met += _traces_of(spans, called, operations, len(self.met))

    def shares(self, names: list[tuple[str, str]]) -> tuple[PathShare, ...]:
        """Of each operation that is on a path, most first."""
        columns = (self.met.tolist(), self.calls.tolist(), *map(_whole, (self.exclusive, self.drag, self.ambiguous)))
        total_ns = self.total_ns
        found = [
            PathShare(
                service=service,
                operation=name,
                traces=traces,
                calls=calls,
                exclusive_ms=exclusive / _NS_PER_MS,
                share=exclusive / total_ns,
                drag_ms=drag / _NS_PER_MS,
                ambiguous_ms=ambiguous / _NS_PER_MS,
            )
            for (service, name), traces, calls, exclusive, drag, ambiguous in zip(names, *columns, strict=True)
            if calls
        ]
        return tuple(sorted(found, key=lambda s: (-s.exclusive_ms, s.service, s.operation)))


def _add(sums: Ints, at: Ints, ns: Ints) -> None:
    """Add in halves of 32 bits: a few spans of decades, as a clock that starts at 1970 makes them, leave 64 bits."""
    np.add.at(sums[0], at, ns >> _HALF)
    np.add.at(sums[1], at, ns & (1 << _HALF) - 1)


def _whole(sums: Ints) -> list[int]:
    return [(high << _HALF) + low for high, low in zip(*sums.tolist(), strict=True)]


def _traces_of(spans: PathSpans, rows: Ints, operations: Ints, size: int) -> Ints:
    """In how many traces each operation is among `rows`."""
    operation = operations[rows]
    high, low = spans.trace_hi[rows], spans.trace_lo[rows]
    order = np.lexsort((operation, low, high))
    operation, high, low = operation[order], high[order], low[order]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (operation[1:] != operation[:-1]) | (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return np.bincount(operation[new], minlength=size)
