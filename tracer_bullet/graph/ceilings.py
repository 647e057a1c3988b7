"""Time-outs as they show in durations, and those that are longer than the caller's."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.graph.distributions import read_distributions
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.nodes import make_node
from tracer_bullet.graph.sql import waste
from tracer_bullet.model import Distribution, Pattern, Waste
from tracer_bullet.model.distribution import GROWTH

_NS_PER_MS = 1e6
_WRAP = 1 << 64
_LEAST = 3
_WIDTH = 3
_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    edge_id: int
    source: tuple[str, str, str]
    target: tuple[str, str, str]
    ceiling_ns: float
    least_ns: float


def ceiling_of(failed: Distribution, passed: Distribution) -> tuple[float, float] | None:
    """The time-out that durations of failed calls show, and its lower border, in ns; None where they show none.

    Half of the failed calls and at least 3 last equally long, within 6 %, and no call lasts longer.
    """
    if failed.count < _LEAST or passed.max_ns > failed.max_ns:
        return None
    last = failed.buckets[-1][0]
    together = sum(n for bucket, n in failed.buckets if bucket > last - _WIDTH)
    if together < max(_LEAST, _SHARE * failed.count):
        return None
    return float(failed.max_ns), GROWTH ** (last - _WIDTH + 1)


def find_long_timeouts(engine: Engine) -> list[tuple[int, Pattern]]:
    """Each edge whose time-out is longer than that of a call into its source, with the ns that it costs in all.

    Needs the tables of graph/prepare.py.
    """
    edges = _edges(engine)
    found = []
    for inner in edges:
        outer = min(
            (e for e in edges if e.target == inner.source and e.ceiling_ns * GROWTH**2 < inner.ceiling_ns),
            key=lambda e: (e.ceiling_ns, e.source),
            default=None,
        )
        if outer is not None:
            found.append(_pattern(engine, inner, outer))
    return found


def _edges(engine: Engine) -> list[_Edge]:
    timed = read_distributions(
        engine, ("u.edge_id", "CASE WHEN c.failed THEN 1 ELSE 0 END AS bad"), "c.duration_ns", waste.WAITED
    )
    found = []
    for edge_id, *ends in engine.rows(waste.EDGES):
        failed, passed = timed.get((edge_id, 1), Distribution()), timed.get((edge_id, 0), Distribution())
        ceiling = ceiling_of(failed, passed)
        if ceiling is not None:
            source, target = (ends[0], ends[1], ends[2]), (ends[3], ends[4], ends[5])
            found.append(
                _Edge(edge_id=edge_id, source=source, target=target, ceiling_ns=ceiling[0], least_ns=ceiling[1])
            )
    return found


def _pattern(engine: Engine, inner: _Edge, outer: _Edge) -> tuple[int, Pattern]:
    late = engine.rows(waste.AT_CEILING.format(edge_id=inner.edge_id, least_ns=int(inner.least_ns)))
    times = sum(int(n) for _, _, n in late)
    beyond = inner.ceiling_ns - outer.ceiling_ns
    pattern = Pattern(
        waste=Waste.TIMEOUT,
        service=inner.source[1],
        operation="",
        target=make_node(*inner.target).id,
        traces=len(late),
        times=times,
        cost_ms=beyond / _NS_PER_MS,
        message=(
            f"gives {inner.target[1]} up after {inner.ceiling_ns / _NS_PER_MS:,.0f} ms, but its caller"
            f" {outer.source[1]} gives up after {outer.ceiling_ns / _NS_PER_MS:,.0f} ms"
        ),
        example_trace_ids=tuple(f"{high % _WRAP:016x}{low % _WRAP:016x}" for high, low, _ in late[:3]),
    )
    return int(beyond) * times, pattern
