"""Requests drawn from the spans of an outer operation, and what each inner call adds to their critical paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.paths.load import grain_of
from tracer_bullet.graph.paths.spans import LATEST_NS, PathSpans
from tracer_bullet.graph.paths.trees import NOBODY, Bools, Ints, fold, positions
from tracer_bullet.graph.paths.walk import walk_paths
from tracer_bullet.graph.sql import slo
from tracer_bullet.model import Objective

MOST_REQUESTS: Final = 2_000
MOST_SPANS: Final = 1_000_000
_BAND: Final = 0.01
_BAND_LEAST, _BAND_MOST = 25, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Calls of an outer operation, and the calls that they led to.

    A request: `duration_ns`, `near` (it is near the outer quantile), `own_ns` (its critical time outside of all inner
    calls). An inner call: its `request`, `operation` (a number into `names`), `depth` (1 for the outer's own callees),
    `critical_ns` (what the request waited for it, its own callees included) and `call_ns` (its whole duration).
    """

    names: tuple[tuple[str, str], ...]
    duration_ns: Ints
    near: Bools
    own_ns: Ints
    request: Ints
    operation: Ints
    depth: Ints
    critical_ns: Ints
    call_ns: Ints
    seen: int


def draw_requests(engine: Engine, objective: Objective, *, seed: int) -> Requests:
    """The requests nearest to the objective's quantile, and others drawn at random, 2,000 in all or fewer.

    Near are those within 1 % of the calls by rank, at least 25 and at most 200 on either side. Needs the tables of
    graph/prepare.py and `clock` of graph/skew.py. The same spans and seed give the same requests, whatever the
    spans' order.
    """
    engine.fill(
        "outer_call", (("service", "VARCHAR"), ("operation", "VARCHAR")), [(objective.service, objective.operation)]
    )
    calls = engine.table(slo.OUTER_CALLS)
    sizes = {(hi, lo): n for hi, lo, n in engine.rows(slo.OUTER_SIZES)}
    near = _near(calls.num_rows, objective.target)
    places = _drawn(calls, near, sizes, np.random.default_rng(seed))
    hi, lo = (_ints(calls, name)[places].tolist() for name in ("trace_hi", "trace_lo"))
    traces = sorted(set(zip(hi, lo, strict=True)))
    engine.fill("drawn_trace", (("trace_hi", "BIGINT"), ("trace_lo", "BIGINT")), traces)
    spans = engine.table(slo.DRAWN)
    for name in ("drawn_trace", "outer_call"):
        engine.drop(name)
    return _requests(spans, _ints(calls, "row_id")[places], near[places], calls.num_rows)


def _near(calls: int, target: float) -> Bools:
    """Which ranks are near the quantile."""
    middle = int(target * (calls - 1)) if calls else 0
    reach = min(max(int(calls * _BAND), _BAND_LEAST), _BAND_MOST)
    found = np.zeros(calls, dtype=np.bool_)
    found[max(middle - reach, 0) : middle + reach + 1] = True
    return found


def _drawn(
    calls: pa.Table, near: Bools, sizes: dict[tuple[int, int], int], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Places of the calls to look at, ascending: those near first, as many as their traces' spans allow."""
    others = np.flatnonzero(~near)
    wanted = max(MOST_REQUESTS - int(near.sum()), 0)
    if len(others) > wanted:
        others = rng.choice(others, wanted, replace=False)
    order = np.concatenate((rng.permutation(np.flatnonzero(near)), others))
    hi, lo = _ints(calls, "trace_hi")[order].tolist(), _ints(calls, "trace_lo")[order].tolist()
    spans = np.cumsum([sizes[trace] for trace in zip(hi, lo, strict=True)])
    kept = max(int(np.searchsorted(spans, MOST_SPANS, side="right")), 1)
    return np.sort(order[:kept])


def _requests(table: pa.Table, outer_rows: Ints, near_rows: Bools, seen: int) -> Requests:
    rows = _ints(table, "row_id")
    place = np.zeros(int(rows.max(initial=0)) + 1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    over = _ints(table, "parent")
    parents = np.where(over == 0, NOBODY, place[over])
    outer = np.zeros(len(rows), dtype=np.bool_)
    outer[place[outer_rows]] = True
    # A request inside a request is a part of it.
    above = outer.copy()
    fold(parents, (above, np.logical_or))
    outer &= (parents == NOBODY) | ~above[parents]
    parents = np.where(outer, NOBODY, parents)
    top = fold(parents)
    inside = np.flatnonzero((top != NOBODY) & outer[top])
    number = positions(outer)
    spans = _path_spans(table, inside, parents, number[top[inside]])
    names, operation = _operations(table, inside)
    near = np.zeros(len(rows), dtype=np.bool_)
    near[place[outer_rows[near_rows]]] = True
    return _measured(spans, names, operation, near[np.flatnonzero(outer)], seen)


def _path_spans(table: pa.Table, inside: Ints, parents: Ints, request: Ints) -> PathSpans:
    number = np.full(len(parents), NOBODY, dtype=np.int64)
    number[inside] = np.arange(len(inside))
    over = parents[inside]
    none = np.zeros(len(inside), dtype=np.bool_)
    machines, services = (_numbers(table, name)[inside] for name in ("machine", "service"))
    return PathSpans(
        trace_hi=np.zeros(len(inside), dtype=np.int64),
        trace_lo=request,
        span_id=_ints(table, "span_id")[inside].view(np.uint64),
        parents=np.where(over == NOBODY, NOBODY, number[over]),
        orphan=none,
        start=np.clip(_ints(table, "start_ns")[inside], -LATEST_NS, LATEST_NS),
        end=np.clip(_ints(table, "end_ns")[inside], -LATEST_NS, LATEST_NS),
        kind=_ints(table, "kind")[inside],
        machine=machines,
        service=services,
        linked=none,
    )


def _measured(
    spans: PathSpans, names: tuple[tuple[str, str], ...], operation: Ints, near: Bools, seen: int
) -> Requests:
    """The critical paths below the outer spans, by inner call: a span that entered a service."""
    found = walk_paths(spans, _grain(spans))
    own = np.zeros(len(operation), dtype=np.int64)
    np.add.at(own, found.owner, found.end - found.start)
    entry = _entries(spans, operation)
    holder = fold(np.where(entry, NOBODY, spans.parents))
    calls = np.flatnonzero(entry)
    number = positions(entry)
    exclusive = np.zeros(len(calls), dtype=np.int64)
    np.add.at(exclusive, number[holder], own)
    over = spans.parents[calls]
    caller = np.where(over == NOBODY, NOBODY, number[holder[over]])
    depth = _depths(caller)
    critical = exclusive.copy()
    for level in range(int(depth.max(initial=0)), 0, -1):
        here = np.flatnonzero(depth == level)
        np.add.at(critical, caller[here], critical[here])
    order = np.argsort(spans.trace_lo[calls], kind="stable")
    outer, inner = order[depth[order] == 0], order[depth[order] > 0]
    duration = (spans.end - spans.start)[calls]
    return Requests(
        names=names,
        duration_ns=np.maximum(duration[outer], 0),
        near=near,
        own_ns=exclusive[outer],
        request=spans.trace_lo[calls][inner],
        operation=operation[calls][inner],
        depth=depth[inner],
        critical_ns=critical[inner],
        call_ns=np.maximum(duration[inner], 0),
        seen=seen,
    )


def _entries(spans: PathSpans, operation: Ints) -> Bools:
    """Spans that entered a service; one right below another of the same operation is a part of it."""
    root = spans.parents == NOBODY
    entry = root | (spans.kind == 2) | (spans.kind == 5) | (spans.service != spans.service[spans.parents])
    holder = fold(np.where(entry, NOBODY, spans.parents))
    calls = np.flatnonzero(entry & ~root)
    entry[calls[operation[calls] == operation[holder[spans.parents[calls]]]]] = False
    return np.asarray(entry, dtype=np.bool_)


def _depths(caller: Ints) -> Ints:
    depth = np.where(caller == NOBODY, 0, NOBODY)
    left = np.flatnonzero(depth == NOBODY)
    while left.size:
        above = depth[caller[left]]
        ready = above != NOBODY
        depth[left[ready]] = above[ready] + 1
        left = left[~ready]
    return depth


def _grain(spans: PathSpans) -> int:
    fits = [int(np.sum((spans.start % g == 0) & (spans.end % g == 0))) for g in (1_000_000, 1_000, 100)]
    return grain_of(len(spans.start), fits)


def _operations(table: pa.Table, inside: Ints) -> tuple[tuple[tuple[str, str], ...], Ints]:
    pairs = list(zip(table.column("service").to_pylist(), table.column("name").to_pylist(), strict=True))
    known = {pair: number for number, pair in enumerate(sorted(set(pairs)))}
    return tuple(known), np.asarray([known[pairs[i]] for i in inside.tolist()], dtype=np.int64)


def _numbers(table: pa.Table, name: str) -> Ints:
    """A number for each text, 0 for the empty one."""
    texts = table.column(name).to_pylist()
    known = {text: number for number, text in enumerate(sorted({"", *texts}))}
    return np.asarray([known[text] for text in texts], dtype=np.int64)


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table.column(name).to_numpy(), dtype=np.int64)
