"""A topology from an observed graph: a system that behaves, on average, as the traced one did. Pure.

Kept: services, operations, which calls which and how often a request does, own time, own failures, tables with their
reads and writes, third parties. What a topology cannot say is told in `Draft.notes`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tracer_bullet.errors import UsageError
from tracer_bullet.model import Analysis, Distribution, Latency, Node, NodeKind, OperationEdge, ServiceGraph
from tracer_bullet.sim.from_graph_names import made_up_route, operation_id, plain_names, read_route, route_shape
from tracer_bullet.sim.from_graph_steps import Access, Tables, access_of, call_steps, frequency, store_steps
from tracer_bullet.sim.telemetry import HEALTH_PATH
from tracer_bullet.workspace.topology import Topology

_SHARES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_Z99: Final = 2.3263
_NS_PER_MS: Final = 1e6
_OUTSIDE: Final = (NodeKind.THIRD_PARTY, NodeKind.PEER)
_LISTED: Final = 5
Key = tuple[str, str]
"""A node's id and the name of an operation."""
Hop = tuple[float, Key, list[tuple[float, int]]]
"""When in a request it is made, to what, and with which chances and how often."""
Hops = dict[Key, list[Hop]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A topology and, in words, what of the graph is not in it or is there differently."""

    topology: Topology
    notes: tuple[str, ...]


def draft_topology(graph: ServiceGraph, analysis: Analysis | None = None, *, name: str = "observed") -> Draft:
    """The topology of a graph; own times are those of the analysis, where it has them, else fitted.

    Raises UsageError (TB555) for a graph without a service or without operation edges.
    """
    services = [n for n in graph.nodes if n.kind is NodeKind.SERVICE]
    if not services or (graph.edges and not graph.operation_edges):
        raise UsageError(
            "TB555",
            "no system can be made of this graph",
            why="it holds no service" if not services else "it does not say which operation calls which",
            cure="take a run with traces, and make its graph again: tracer-bullet analyse",
        )
    return _Drafter(graph, analysis, name).draft()


@dataclass
class _Told:
    """Notes by kind of note, each with the names it is about."""

    about: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def tell(self, what: str, one: str = "") -> None:
        self.about[what].append(one)

    def notes(self) -> tuple[str, ...]:
        made = []
        for what in sorted(self.about):
            names = sorted({one for one in self.about[what] if one})
            shown = ", ".join(names[:_LISTED])
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            made.append(f"{what}: {shown}{more}" if shown else what)
        return tuple(made)


class _Drafter:
    def __init__(self, graph: ServiceGraph, analysis: Analysis | None, name: str) -> None:
        self.graph = graph
        self.name = name
        self.told = _Told()
        self.nodes = {n.id: n for n in graph.nodes}
        self.own = {(o.service, o.name): o.own for o in analysis.operations} if analysis is not None else {}
        self.edges = [e for e in graph.operation_edges if e.source in self.nodes and e.target in self.nodes]
        self.stats = {(f"service:{o.service}", o.name): o for o in graph.operations}
        self.by_source: dict[Key, list[OperationEdge]] = defaultdict(list)
        self.by_target: dict[str, list[OperationEdge]] = defaultdict(list)
        for e in self.edges:
            self.by_source[e.source, e.source_operation].append(e)
            self.by_target[e.target].append(e)
        self.calls = self._count_calls()
        inner = [n.id for n in graph.nodes if n.kind is NodeKind.SERVICE]
        outer = [n.id for n in graph.nodes if n.kind in _OUTSIDE and any(k[0] == n.id for k in self.calls)]
        self.names = self._name_nodes([*inner, *outer])
        self.routes = self._find_routes()
        self.services = [i for i in inner if any(key[0] == i for key in self.routes)]
        self.parties = [i for i in outer if any(key[0] == i for key in self.routes)]
        self.hops = self._without_circles(self._hops())

    def draft(self) -> Draft:
        made = {self.names[node]: self._service(node) for node in self.services}
        parties = {self.names[node]: self._third_party(node) for node in self.parties}
        topology = Topology.model_validate(
            {
                "version": 1,
                "name": plain_names([self.name])[self.name],
                "entry": self.names[self._entry()],
                "services": made,
                "third_parties": parties,
            }
        )
        for node in self.parties:
            if self.nodes[node].kind is NodeKind.PEER:
                self.told.tell("left no spans, and is run as a third party", self.nodes[node].name)
        return Draft(topology=topology, notes=self.told.notes())

    def _count_calls(self) -> dict[Key, float]:
        """How often each operation was asked for."""
        received: dict[Key, float] = defaultdict(float)
        makes: dict[Key, float] = defaultdict(float)
        for e in self.edges:
            if self.nodes[e.target].kind in (NodeKind.SERVICE, *_OUTSIDE):
                received[e.target, e.target_operation] += e.calls
            if self.nodes[e.source].kind is NodeKind.SERVICE:
                key = e.source, e.source_operation
                makes[key] = max(makes[key], e.requests)
        found: dict[Key, float] = {key: o.calls for key, o in self.stats.items() if key[0] in self.nodes}
        for key in {*received, *makes} - found.keys():
            if key not in received:
                self.told.tell("begins work by itself, and is now an operation to be called", key[1])
            found[key] = max(received[key], makes[key])
        return found

    def _name_nodes(self, nodes: list[str]) -> dict[str, str]:
        shown = {node: self.nodes[node].name for node in nodes}
        times = Counter(shown.values())
        unique = {node: node if times[name] > 1 else name for node, name in shown.items()}
        plain = plain_names(unique.values())
        for node, name in shown.items():
            if plain[unique[node]] != name:
                self.told.tell("is called otherwise in the topology", f"{name} → {plain[unique[node]]}")
        return {node: plain[unique[node]] for node in nodes}

    def _find_routes(self) -> dict[Key, tuple[str, str]]:
        """Each operation → its id in the topology and its route."""
        by_node: dict[str, list[str]] = defaultdict(list)
        for node, operation in sorted(self.calls):
            if node in self.names:
                by_node[node].append(operation)
        routes: dict[Key, tuple[str, str]] = {}
        for node, operations in by_node.items():
            shapes: set[str] = set()
            ids: set[str] = set()
            # Routes without parameters first: the first that fits is taken.
            for operation in sorted(
                operations, key=lambda o: (read_route(o) is None, (read_route(o) or o).count("{"), o)
            ):
                http = read_route(operation)
                if http == f"GET {HEALTH_PATH}":
                    self.told.tell(f"`GET {HEALTH_PATH}` is left out: the simulation answers it, untraced")
                    continue
                if http is None:
                    http = made_up_route(operation)
                    self.told.tell("has no route, and gets one", f"{operation} → {http}")
                http = _unlike(http, shapes)
                shapes.add(route_shape(http))
                made = _unlike(operation_id(http), ids)
                ids.add(made)
                routes[node, operation] = (made, http)
        return routes

    def _hops(self) -> Hops:
        """Operation → its calls to other operations: when, to what, and how often; by way of queues as well."""
        hops: Hops = defaultdict(list)
        for source in self.routes:
            for e in self.by_source[source]:
                target = e.target, e.target_operation
                if target in self.routes:
                    hops[source].append((e.offset_ms, target, frequency(e.calls, e.requests, self.calls[source])))
                    if e.asynchronous:
                        self.told.tell("is asynchronous, and is a call that is waited for", _shown(self.nodes, e))
                elif self.nodes[e.target].kind is NodeKind.QUEUE:
                    hops[source] += self._through_queue(e, self.calls[source])
        queues = [n for n in self.graph.nodes if n.kind is NodeKind.QUEUE and n.id not in self.by_target]
        for queue in queues:
            self.told.tell("is a queue that nobody was seen to fill; its consumers are not called", queue.name)
        return hops

    def _through_queue(self, sent: OperationEdge, of: float) -> Iterable[Hop]:
        self.told.tell("is a queue; its messages are calls that are waited for", self.nodes[sent.target].name)
        published = sum(e.calls for e in self.by_target[sent.target])
        for got in self.by_source[sent.target, ""]:
            each = got.calls / published
            often = frequency(sent.calls * each, sent.requests * min(each, 1.0), of)
            yield sent.offset_ms, (got.target, got.target_operation), often

    def _without_circles(self, hops: Hops) -> Hops:
        """The calls but those to an operation that is still being answered: a simulated circle would never end."""
        kept: Hops = defaultdict(list)
        over: set[Key] = set()
        for start in sorted(self.routes):
            if start in over:
                continue
            walk = [(start, iter(sorted(hops.get(start, ()))))]
            under_way = {start}
            while walk:
                key, rest = walk[-1]
                hop = next(rest, None)
                if hop is None:
                    walk.pop()
                    under_way.discard(key)
                    over.add(key)
                elif hop[1] in under_way:
                    self.told.tell("closes a circle of calls, and is left out", f"{_name(key)} → {_name(hop[1])}")
                elif hop[1] in self.routes:
                    kept[key].append(hop)
                    if hop[1] not in over:
                        under_way.add(hop[1])
                        walk.append((hop[1], iter(sorted(hops.get(hop[1], ())))))
        return kept

    def _service(self, node: str) -> dict[str, Any]:
        tables = self._tables(node)
        operations = {
            made: {
                "http": http,
                "latency_ms": self._own_time(key),
                "error_rate": self._own_errors(key),
                "steps": self._steps(key, tables),
            }
            for key, (made, http) in self.routes.items()
            if key[0] == node
        }
        return {"tables": tables.specs(), "operations": operations}

    def _steps(self, key: Key, tables: Tables) -> list[dict[str, Any]]:
        placed: list[tuple[float, dict[str, Any]]] = []
        for when, target, often in self.hops[key]:
            made, http = self.routes[target]
            placed += [(when, step) for step in call_steps(f"{self.names[target[0]]}.{made}", http, often)]
        placed += store_steps(self._accesses(key, tables), self.calls[key], tables)
        return [step for _, step in sorted(placed, key=lambda p: p[0])]

    def _accesses(self, key: Key, tables: Tables) -> list[Access]:
        found = []
        for e in self._to_stores(self.by_source[key]):
            kind, table = self._access(e)
            if kind != "talk":
                name = tables.names[e.target, table]
                found.append(Access(kind=kind, table=name, calls=e.calls, requests=e.requests, offset_ms=e.offset_ms))
        return found

    def _access(self, edge: OperationEdge) -> tuple[str, str]:
        kind, table = access_of(edge.target_operation, self.nodes[edge.target].system)
        if not kind:
            self.told.tell("is no known statement, and is taken for a read", edge.target_operation)
        return kind or "read", table

    def _to_stores(self, edges: Iterable[OperationEdge]) -> Iterable[OperationEdge]:
        return (e for e in edges if self.nodes[e.target].kind is NodeKind.STORE)

    def _tables(self, node: str) -> Tables:
        found: set[tuple[str, str]] = set()
        for e in (e for key in self.routes if key[0] == node for e in self._to_stores(self.by_source[key])):
            if self._access(e)[0] != "talk":
                found.add((e.target, self._access(e)[1]))
                store = self.nodes[e.target]
                if len({o.source for o in self.by_target[e.target]}) > 1:
                    self.told.tell("is shared; each service gets one of its own", store.name)
                if store.system not in ("sqlite", "postgresql"):
                    self.told.tell("is a store of another kind, and is simulated by tables", store.name)
        if found:
            self.told.tell("stores take the time that SQLite takes")
        wanted = {pair: pair[1] or self.nodes[pair[0]].name.rpartition("/")[2] or "store" for pair in found}
        times = Counter(wanted.values())
        full = {p: f"{self.nodes[p[0]].name}_{name}" if times[name] > 1 else name for p, name in wanted.items()}
        plain = plain_names(full.values(), joint="_", first="t")
        return Tables(names={pair: plain[name] for pair, name in full.items()})

    def _own_time(self, key: Key) -> dict[str, Any]:
        own = self.own.get((self.nodes[key[0]].name, key[1]))
        if own is not None and own.count:
            return _quantiles(own)
        stats = self.stats.get(key)
        if stats is None:
            return {"constant": 0.0}
        return _lognormal(stats.self_p50_ms, stats.latency)

    def _own_errors(self, key: Key) -> float:
        """The share of requests that fail though what they call does not: 1 − (1 − all) ÷ (calls that succeed)."""
        stats = self.stats.get(key)
        if stats is None or not stats.calls:
            return 0.0
        succeed = 1.0
        for e in self.by_source[key]:
            if e.calls and not e.asynchronous:
                succeed *= (1 - e.errors / e.calls) ** (e.calls / stats.calls)
        failing = stats.errors / stats.calls
        return round(min(max(1 - (1 - failing) / succeed, 0.0), 1.0), 4) if succeed > 0 else 0.0

    def _third_party(self, node: str) -> dict[str, Any]:
        into = [e for e in self.graph.edges if e.target == node]
        longest = max(into, key=lambda e: (e.calls, e.source))
        operations = {}
        for key, (made, http) in self.routes.items():
            if key[0] == node:
                some = [e for e in self.by_target[node] if e.target_operation == key[1]]
                failed = sum(e.errors for e in some) / max(sum(e.calls for e in some), 1)
                operations[made] = {
                    "http": http,
                    "latency_ms": _lognormal(longest.latency.p50_ms, longest.latency),
                    "error_rate": round(failed, 4),
                    "stub": {},
                }
        return {"operations": operations}

    def _entry(self) -> str:
        """Whom the harness calls most; else the service that nobody calls and that is called most; else any."""
        harness = [
            e
            for e in self.graph.edges
            if e.source in self.nodes and self.nodes[e.source].kind is NodeKind.HARNESS and e.target in self.services
        ]
        if harness:
            return min(harness, key=lambda e: (-e.calls, e.target)).target
        called = {hop[1][0] for key, some in self.hops.items() for hop in some if hop[1][0] != key[0]}
        roots = [node for node in self.services if node not in called] or self.services
        roots.sort(key=lambda node: (-self.nodes[node].calls, node))
        for other in roots[1:]:
            self.told.tell("is called from outside as well; send requests to its own address", self.nodes[other].name)
        return roots[0]


def _route_order(operation: str) -> tuple[bool, int, str]:
    http = read_route(operation)
    return http is None, (http or "").count("{"), operation


def _unlike(wanted: str, taken: set[str]) -> str:
    n, found = 1, wanted
    while found in taken or route_shape(found) in taken:
        n += 1
        found = f"{wanted[:60]}_{n}" if " " not in wanted else f"{wanted.rstrip('/')}/v{n}"
    return found


def _quantiles(own: Distribution) -> dict[str, Any]:
    points: list[tuple[float, float]] = []
    highest = 0.0
    for share in _SHARES:
        exact = {0.0: own.min_ns, 1.0: own.max_ns}.get(share)
        ms = (own.quantile_ns(share) if exact is None else exact) / _NS_PER_MS
        highest = max(highest, float(f"{ms:.4g}"))
        points.append((share, highest))
    return {"quantiles": points}


def _lognormal(median_ms: float, latency: Latency) -> dict[str, Any]:
    """`median_ms` with the spread of `latency`: sigma is ln(p99 ÷ p50) ÷ z(0.99)."""
    if not (math.isfinite(median_ms) and median_ms >= 0.001):
        return {"constant": 0.0}
    spread = latency.p99_ms / latency.p50_ms if latency.p50_ms > 0 else 1.0
    sigma = min(max(math.log(max(spread, 1.0)) / _Z99, 0.001), 5.0)
    return {"lognormal": {"median": float(f"{median_ms:.4g}"), "sigma": float(f"{sigma:.3g}")}}


def _name(key: Key) -> str:
    return f"{key[0].partition(':')[2]} {key[1]}"


def _shown(nodes: dict[str, Node], edge: OperationEdge) -> str:
    return f"{nodes[edge.source].name} → {nodes[edge.target].name}"
