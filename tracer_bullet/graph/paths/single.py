"""The critical path of one trace in the model's own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from tracer_bullet.graph.paths.load import fitting_grains, grain_of
from tracer_bullet.graph.paths.spans import LATEST_NS, PathSpans
from tracer_bullet.graph.paths.trees import NOBODY, Ints
from tracer_bullet.graph.paths.walk import walk_paths
from tracer_bullet.model import PathSection, Span, Trace
from tracer_bullet.model.attributes import SEAL_SPAN_NAME

# Whose clock timed a span, as in graph/sql/facts.py.
MACHINE_ATTRIBUTES: Final = ("host.id", "host.name", "k8s.pod.name", "container.id")
_RIGHT: Final[Mapping[str, int]] = MappingProxyType({})


def trace_critical_path(
    trace: Trace, *, resolution_ns: int | None = None, clock: Mapping[str, int] = _RIGHT
) -> tuple[PathSection, ...]:
    """The sections of a trace's critical path, by start; empty when it has no root of a length.

    By the same rule as find_critical_paths, and the same answer when `resolution_ns` is that of the whole set
    (None: what the trace's own times look like) and `clock` its offsets (machine → ns that it is ahead;
    read_clock in graph/skew.py). The sections' times are corrected by `clock`.
    """
    spans = tuple(s for s in trace.spans if s.name != SEAL_SPAN_NAME)
    if not spans:
        return ()
    if resolution_ns is None:
        times = [(s.start_ns, s.end_ns) for s in spans]
        resolution_ns = grain_of(len(times), fitting_grains(times))
    found = walk_paths(columns_of(spans, clock), resolution_ns)
    order = np.argsort(found.start)
    rows = zip(found.owner[order].tolist(), found.start[order].tolist(), found.end[order].tolist(), strict=True)
    return tuple(PathSection(span_id=spans[row].span_id, start_ns=a, end_ns=b) for row, a, b in rows)


def machine_of(span: Span) -> str:
    """The machine whose clock timed the span; empty when its resource does not say."""
    return next((name for key in MACHINE_ATTRIBUTES if (name := span.resource.get(key))), "")


def columns_of(spans: Sequence[Span], clock: Mapping[str, int] = _RIGHT) -> PathSpans:
    """The columns of one trace's spans, in their order."""
    places = {s.span_id: i for i, s in enumerate(spans)}
    machines = [machine_of(s) for s in spans]
    parents = [NOBODY if s.parent_id in (None, s.span_id) else places.get(s.parent_id, NOBODY) for s in spans]
    ahead = np.array([clock.get(m, 0) for m in machines], dtype=np.int64)
    same = np.zeros(len(spans), dtype=np.int64)
    return PathSpans(
        trace_hi=same,
        trace_lo=same,
        span_id=np.array([int(s.span_id, 16) for s in spans], dtype=np.uint64),
        parents=np.array(parents, dtype=np.int64),
        orphan=np.array([s.parent_id not in (None, s.span_id) and s.parent_id not in places for s in spans]),
        start=np.clip(np.array([s.start_ns for s in spans], dtype=np.int64) - ahead, -LATEST_NS, LATEST_NS),
        end=np.clip(np.array([s.end_ns for s in spans], dtype=np.int64) - ahead, -LATEST_NS, LATEST_NS),
        kind=np.array([s.kind for s in spans], dtype=np.int64),
        machine=np.where(np.array(machines) == "", 0, _numbers(machines)),
        service=_numbers(s.service for s in spans),
        linked=np.array([any(x.trace_id == s.trace_id and x.span_id == s.parent_id for x in s.links) for s in spans]),
    )


def _numbers(texts: Iterable[str]) -> Ints:
    known: dict[str, int] = {}
    return np.array([known.setdefault(text, len(known) + 1) for text in texts], dtype=np.int64)
