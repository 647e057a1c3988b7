"""One side of a comparison: what `graph.json` and `analysis.json` of one or several runs say, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tracer_bullet.model import Analysis, Distribution, OperationLatency, ServiceGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls of an operation, and in how many traces they were."""

    calls: int
    errors: int
    traces: int
    durations: Distribution

    @property
    def worth(self) -> int:
        """How many independent calls these are worth: calls of one trace are taken to be alike, and count once."""
        return min(self.calls, self.traces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The calls over an edge, and in how many traces they were."""

    calls: int
    traces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A set of traces. Operations by (service, name), edges by node ids, `called`: how often a node was called."""

    name: str
    traces: int = 0
    operations: Mapping[tuple[str, str], Calls] = field(default_factory=dict)
    edges: Mapping[tuple[str, str], Uses] = field(default_factory=dict)
    called: Mapping[str, int] = field(default_factory=dict)

    def chances(self, node: str) -> int:
        """In how many traces `node` could have used an edge: at most all, at most as often as it was called.

        A node that nobody is seen to call (a root without a server span) could in all of them.
        """
        calls = self.called.get(node, 0)
        return min(self.traces, calls) if calls else self.traces


def side_of(name: str, runs: Iterable[tuple[ServiceGraph, Analysis]]) -> Side:
    """The traces of several runs as one set. A trace is in one run only."""
    traces = 0
    operations: dict[tuple[str, str], Calls] = {}
    edges: dict[tuple[str, str], Uses] = {}
    called: dict[str, int] = {}
    for graph, analysis in runs:
        traces += graph.traces
        using = {(e.source, e.target): e.calls_per_trace for e in analysis.edges}
        for node in graph.nodes:
            called[node.id] = called.get(node.id, 0) + node.calls
        for edge in graph.edges:
            ends = (edge.source, edge.target)
            uses = _uses(edge.calls, using.get(ends, 0.0), graph.traces)
            known = edges.get(ends, Uses(calls=0, traces=0))
            edges[ends] = Uses(calls=known.calls + uses.calls, traces=known.traces + uses.traces)
        for operation in analysis.operations:
            key = (operation.service, operation.name)
            operations[key] = _joined(operations.get(key), _calls(operation, analysis))
    return Side(name=name, traces=traces, operations=operations, edges=edges, called=called)


def _uses(calls: int, calls_per_trace: float, traces: int) -> Uses:
    using = round(calls / calls_per_trace) if calls_per_trace > 0 else calls
    return Uses(calls=calls, traces=max(min(using, calls, traces), 1))


def _calls(operation: OperationLatency, analysis: Analysis) -> Calls:
    return Calls(
        calls=operation.calls,
        errors=operation.errors,
        traces=operation.traces or _traces_guessed(operation, analysis),
        durations=operation.durations,
    )


def _traces_guessed(operation: OperationLatency, analysis: Analysis) -> int:
    """At least so many traces: as if all calls of a trace into the service went to this operation."""
    into = [e.calls_per_trace for e in analysis.edges if e.target == f"service:{operation.service}"]
    crowd = max([1.0, operation.calls / max(analysis.traces, 1), *into])
    return max(int(operation.calls / crowd), 1)


def _joined(known: Calls | None, more: Calls) -> Calls:
    if known is None:
        return more
    return Calls(
        calls=known.calls + more.calls,
        errors=known.errors + more.errors,
        traces=known.traces + more.traces,
        durations=known.durations.merge(more.durations),
    )
