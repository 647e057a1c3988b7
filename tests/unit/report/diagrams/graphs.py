"""Graphs for the tests of diagrams: a shop, hostile ones, large ones."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from tracer_bullet.model import Edge, Latency, Node, NodeKind, Operation, OperationEdge, ServiceGraph

NAMES = (
    "end", "END", "o", "x", "1st", "a b", "a-b", "a_b", "A-B", "graph", "subgraph", "style", "label", "shape", "near",
    "_", "constructor", "__proto__", "null", "true", "workspace", "model", "element", "group", "!docs", "a.b.c",
    "a -> b", "{", "}", "{{ x }}", "${HOME}", "$$", "\\", "tail\\", "\\N", 'say "hi"', "it's", "a;b:c#d&e*f|g",
    "<b>bold</b>", "&amp;", "&lt;", "]]>", "--> x", "%% c", "// c", "# c", "@import", "`code`", "日本語", "été", "🙂",
    "line\nbreak", "\t", "\u202eabc", "\x00", "\x1b[31m", "\ud800", "\u2028", "ﬂ°x¶ß", "x" * 400, "", "-", "...",
    "1. one", "- item", "key: value", "[list]", "> quote", "*", "GET /orders/{id}",
)  # fmt: skip
LATENCY = Latency(p50_ms=1, p90_ms=2, p95_ms=3, p99_ms=4, p999_ms=5, max_ms=6)
PREFIX = {kind: f"{kind.value}:" for kind in NodeKind}


def edge(source: str, target: str, calls: int = 10, errors: int = 0, *, asynchronous: bool = False) -> Edge:
    return Edge(
        source=source,
        target=target,
        calls=calls,
        errors=errors,
        latency=LATENCY,
        evidence=(),
        asynchronous=asynchronous,
    )


def node(kind: NodeKind, name: str, system: str = "", calls: int = 10, errors: int = 0) -> Node:
    return Node(id=PREFIX[kind] + name, name=name, kind=kind, system=system, calls=calls, errors=errors)


def call(source: str, operation: str, target: str, called: str, calls: int = 10) -> OperationEdge:
    return OperationEdge(
        source=source,
        source_operation=operation,
        target=target,
        target_operation=called,
        calls=calls,
        errors=0,
        requests=calls,
        offset_ms=1.0,
    )


def shop() -> ServiceGraph:
    """harness → web → cart, pay; cart → a store; pay → a bank outside and a queue, which mail reads; web is failing."""
    web, cart, pay, mail = (f"service:{n}" for n in ("web", "cart", "pay", "mail"))
    store, queue, bank = "store:postgresql/db/cart", "queue:kafka/orders", "third_party:bank.example"
    return ServiceGraph(
        nodes=(
            node(NodeKind.HARNESS, "tracer-bullet", calls=0),
            Node(id=queue, name="orders", kind=NodeKind.QUEUE, system="kafka", calls=10),
            *(node(NodeKind.SERVICE, n, errors=2 if n == "pay" else 0) for n in ("cart", "mail", "pay", "web")),
            Node(id=store, name="db/cart", kind=NodeKind.STORE, system="postgresql", calls=30),
            node(NodeKind.THIRD_PARTY, "bank.example"),
        ),
        edges=(
            edge("harness:tracer-bullet", web),
            edge(queue, mail, asynchronous=True),
            edge(cart, store, 30),
            edge(pay, queue, asynchronous=True),
            edge(pay, bank),
            edge(web, cart),
            edge(web, pay, errors=2),
        ),
        operations=tuple(
            Operation(service=s, name=o, calls=10, errors=0, latency=LATENCY, self_p50_ms=1)
            for s, o in (("cart", "POST /carts"), ("mail", "process"), ("pay", "POST /pay"), ("web", "POST /"))
        ),
        traces=10,
        spans=100,
        operation_edges=(
            call("harness:tracer-bullet", "checkout", web, "POST /"),
            call(queue, "", mail, "process"),
            call(cart, "POST /carts", store, "INSERT carts"),
            call(cart, "POST /carts", store, "SELECT carts", 20),
            call(pay, "POST /pay", queue, ""),
            call(pay, "POST /pay", bank, "POST /charges"),
            call(web, "POST /", cart, "POST /carts"),
            call(web, "POST /", pay, "POST /pay"),
        ),
    )


def large(services: int, seed: int = 3) -> ServiceGraph:
    """Services of twelve teams, each with a store of its own, calling two others on average; a few share a bus."""
    rng = random.Random(seed)
    teams = ["shop", "pay", "ship", "user", "data", "mail", "risk", "tax", "ads", "feed", "auth", "help"]
    names = [f"{teams[i % len(teams)]}-{i:03d}" for i in range(services)]
    nodes = [node(NodeKind.SERVICE, n, calls=rng.randrange(1, 10_000)) for n in names]
    nodes += [node(NodeKind.STORE, f"{n}-db", "postgresql") for n in names[::2]]
    nodes.append(node(NodeKind.QUEUE, "bus", "kafka"))
    edges = {(f"service:{n}", f"store:{n}-db"): rng.randrange(1, 10_000) for n in names[::2]}
    for i, name in enumerate(names[1:], 1):
        for _ in range(rng.randrange(1, 4)):
            edges[f"service:{names[rng.randrange(i)]}", f"service:{name}"] = rng.randrange(1, 10_000)
    edges |= {(f"service:{n}", "queue:bus"): 5 for n in names[::7]}
    return ServiceGraph(
        nodes=tuple(sorted(nodes, key=lambda n: n.id)),
        edges=tuple(edge(s, t, n, n // 100 if n % 5 == 0 else 0) for (s, t), n in sorted(edges.items())),
        operations=(),
        traces=1,
        spans=1,
    )


any_name = st.one_of(st.sampled_from(NAMES), st.text(st.characters(exclude_categories=()), max_size=12))


@st.composite
def graphs(draw: st.DrawFn) -> ServiceGraph:
    """Any names at all, also unequal ones that look alike; edges to nodes that are not there."""
    kinds = st.sampled_from(NodeKind)
    nodes = draw(st.lists(st.builds(node, kinds, any_name, any_name), max_size=8, unique_by=lambda n: n.id))
    ends = [*(n.id for n in nodes), "service:nobody"]
    pairs = draw(st.lists(st.tuples(st.sampled_from(ends), st.sampled_from(ends)), max_size=10, unique=True))
    edges = [edge(s, t, 3, draw(st.integers(0, 3)), asynchronous=draw(st.booleans())) for s, t in pairs]
    services = [n for n in nodes if n.kind is NodeKind.SERVICE]
    operations = [
        Operation(service=n.name, name=draw(any_name), calls=1, errors=0, latency=LATENCY, self_p50_ms=1)
        for n in services
    ]
    calls = [call(s, draw(any_name), t, draw(any_name)) for s, t in pairs]
    return ServiceGraph(
        nodes=tuple(nodes),
        edges=tuple(edges),
        operations=tuple(operations),
        traces=1,
        spans=1,
        operation_edges=tuple(calls),
    )
