"""Latency, rate and errors by service, operation and edge (docs/latency.md says what each number is)."""

from __future__ import annotations

from collections import defaultdict

from tracer_bullet.graph.distributions import read_distributions
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.nodes import make_node
from tracer_bullet.graph.operations import find_owners
from tracer_bullet.graph.sql import latency
from tracer_bullet.model import Distribution, EdgeLatency, OperationLatency, ServiceLatency

_NS_PER_S = 1e9
_NOTHING = Distribution()


def measure_latency(
    engine: Engine,
) -> tuple[tuple[ServiceLatency, ...], tuple[OperationLatency, ...], tuple[EdgeLatency, ...]]:
    """Services, operations and edges, each by the time spent there, most first.

    Needs the tables of graph/prepare.py. Rates are over the time from the first start to the last end of all
    spans; 0 where that is no time.
    """
    seconds = _seconds(engine)
    operations = _operations(engine, seconds)
    return _services(operations, seconds), operations, _edges(engine, seconds)


def _seconds(engine: Engine) -> float:
    start, end = engine.rows(latency.EXTENT)[0]
    return 0.0 if start is None else max(int(end) - int(start), 0) / _NS_PER_S


def _rate(calls: int, seconds: float) -> float:
    return calls / seconds if seconds else 0.0


def _operations(engine: Engine, seconds: float) -> tuple[OperationLatency, ...]:
    keys = ("s.service", "s.name")
    durations = read_distributions(engine, keys, "s.duration_ns", latency.ENTRIES)
    own = read_distributions(engine, keys, "o.own_ns", latency.ENTRIES)
    met = {(service, name): (int(n), int(traces)) for service, name, n, traces in engine.rows(latency.ENTRY_ERRORS)}
    owners = find_owners(engine)
    made = {(service, name): int(n) for service, name, n in engine.rows(latency.CALLS_MADE.format(owners=owners))}
    engine.drop(owners)
    found = [
        OperationLatency(
            service=service,
            name=name,
            calls=durations[service, name].count,
            errors=met[service, name][0],
            rate_per_s=_rate(durations[service, name].count, seconds),
            durations=durations[service, name],
            own=own[service, name],
            fan_out=made.get((service, name), 0) / durations[service, name].count,
            traces=met[service, name][1],
        )
        for service, name in durations
    ]
    return tuple(sorted(found, key=lambda o: (-o.durations.total_ns, o.service, o.name)))


def _services(operations: tuple[OperationLatency, ...], seconds: float) -> tuple[ServiceLatency, ...]:
    grouped: dict[str, list[OperationLatency]] = defaultdict(list)
    for operation in operations:
        grouped[operation.service].append(operation)
    found = [
        ServiceLatency(
            service=service,
            calls=sum(o.calls for o in some),
            errors=sum(o.errors for o in some),
            rate_per_s=_rate(sum(o.calls for o in some), seconds),
            durations=_merged([o.durations for o in some]),
            own=_merged([o.own for o in some]),
        )
        for service, some in grouped.items()
    ]
    return tuple(sorted(found, key=lambda s: (-s.durations.total_ns, s.service)))


def _merged(some: list[Distribution]) -> Distribution:
    """All together, in time of their buckets: two by two merging would be square in a service's operations."""
    counts: dict[int, int] = defaultdict(int)
    for one in some:
        for bucket, n in one.buckets:
            counts[bucket] += n
    return Distribution(
        buckets=tuple(sorted(counts.items())),
        total_ns=sum(d.total_ns for d in some),
        min_ns=min(d.min_ns for d in some),
        max_ns=max(d.max_ns for d in some),
    )


def _edges(engine: Engine, seconds: float) -> tuple[EdgeLatency, ...]:
    callers = read_distributions(engine, ("u.edge_id",), "u.duration_ns", latency.CALLERS)
    callees = read_distributions(engine, ("u.edge_id",), "u.duration_ns", latency.CALLEES)
    found = []
    for edge_id, *ends, calls, errors, traces in engine.rows(latency.EDGES):
        found.append(
            EdgeLatency(
                source=make_node(*ends[:3]).id,
                target=make_node(*ends[3:]).id,
                calls=int(calls),
                errors=int(errors),
                rate_per_s=_rate(int(calls), seconds),
                caller=callers.get((edge_id,), _NOTHING),
                callee=callees.get((edge_id,), _NOTHING),
                calls_per_trace=int(calls) / int(traces),
            )
        )
    return tuple(sorted(found, key=lambda e: (-max(e.caller.total_ns, e.callee.total_ns), e.source, e.target)))
