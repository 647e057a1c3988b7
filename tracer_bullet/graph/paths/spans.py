"""The columns that the walk reads: one row a span, of whole traces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_bullet.graph.paths.trees import NOBODY, Bools, Codes, Ids, Ints
from tracer_bullet.model import SpanKind

# Times beyond 2116 are taken for that year, so that no difference of two leaves 64 bits.
LATEST_NS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSpans:
    """Spans of whole traces, in any order, each once.

    `parents` are row numbers, NOBODY where there is none; `orphan` says that there was to be one. Times are
    corrected ones. `machine` is 0 where it is unknown. `linked`: has a span link to its own parent.
    """

    trace_hi: Ints
    trace_lo: Ints
    span_id: Ids
    parents: Ints
    orphan: Bools
    start: Ints
    end: Ints
    kind: Codes
    machine: Codes
    service: Codes
    linked: Bools


def choose_roots(spans: PathSpans) -> Ints:
    """The one root of each trace from which its path is walked; traces that only go round in a circle have none.

    A real root before an orphan, then the earliest start, the latest end, the smallest id.
    """
    tops = np.flatnonzero(spans.parents == NOBODY)
    high, low = spans.trace_hi[tops], spans.trace_lo[tops]
    best = (spans.span_id[tops], -spans.end[tops], spans.start[tops], spans.orphan[tops])
    order = np.lexsort((*best, low, high))
    high, low = high[order], low[order]
    first = np.ones(len(tops), dtype=np.bool_)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return tops[order[first]]


def non_blocking(spans: PathSpans, grain_ns: int) -> Bools:
    """Which spans their parents do not wait for: consumers of a producer, spans that link to their parent, and
    spans that end after it though one clock timed both."""
    found: Bools = np.zeros(len(spans.parents), dtype=np.bool_)
    kids = np.flatnonzero(spans.parents != NOBODY)
    over = spans.parents[kids]
    message = (spans.kind[over] == SpanKind.PRODUCER) & (spans.kind[kids] == SpanKind.CONSUMER)
    late = np.flatnonzero(spans.end[kids] > spans.end[over] + grain_ns)
    child, parent = kids[late], over[late]
    known = (spans.machine[child] != 0) & (spans.machine[parent] != 0)
    together = np.where(
        known, spans.machine[child] == spans.machine[parent], spans.service[child] == spans.service[parent]
    )
    found[kids] = message | spans.linked[kids]
    found[child[together]] = True
    return found
