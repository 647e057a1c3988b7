"""A shop's run, made up in full: manifest, verdict, graph and traces, as a harness would hold them.

harness → gateway → catalog, cart, checkout; checkout → inventory, payment, notifications and a
queue; payment → a payment API outside the system. SQLite stores, every write guarded, unless
a bullet is told to go wrong.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tracer_bullet.model import (
    BulletVerdict,
    Check,
    Edge,
    Evidence,
    Finding,
    Latency,
    Node,
    NodeKind,
    Operation,
    Outcome,
    RequestType,
    RunManifest,
    ServiceGraph,
    Severity,
    Span,
    SpanKind,
    SpanStatus,
    Trace,
    Verdict,
)

START_NS = 1_769_860_800_000_000_000
RUN_ID = "20260131-1200-7f3a"
THIRD_PARTY = "api.payments.example"
LOST = Finding(
    rule="flag-lost",
    severity=Severity.ERROR,
    message="payment served the bullet as a customer's request: the flag did not arrive from checkout",
    cure="Let checkout's HTTP client forward baggage: set OTEL_PROPAGATORS=tracecontext,baggage,tracer_bullet",
    service="payment",
    hop="checkout → payment",
    operation="POST /charges",
)
UNGUARDED = Finding(
    rule="unguarded-write",
    severity=Severity.ERROR,
    message="payment wrote to payment-db and no guard decided on it",
    cure="Call tracer_bullet.guards.arm() in payment before its engine is made, then fire again",
    service="payment",
    hop="payment → sqlite payment-db",
    operation="INSERT charges",
)
GAP = Finding(
    rule="trace-incomplete",
    severity=Severity.GAP,
    message="inventory sealed 3 spans and 2 of them arrived",
    cure="Wait longer with settle_timeout_s, or see why inventory's exporter drops spans",
    service="inventory",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    manifest: RunManifest
    verdict: Verdict
    graph: ServiceGraph
    traces: tuple[Trace, ...]


@dataclass
class _Clock:
    now: int
    rng: random.Random

    def spend(self, median_ms: float) -> None:
        self.now += int(median_ms * 1e6 * self.rng.lognormvariate(0, 0.35))


@dataclass
class _Maker:
    bullet: int
    rng: random.Random
    lost: bool = False
    missing: bool = False
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trace_id = f"{self.rng.getrandbits(128):032x}"
        self.clock = _Clock(now=START_NS + self.bullet * 60_000_000, rng=self.rng)

    def span(
        self,
        parent: str | None,
        service: str,
        name: str,
        kind: SpanKind,
        inner,
        *,
        flag: bool = True,
        **attributes: str,
    ) -> str:
        span_id, start = f"{self.rng.getrandbits(64):016x}", self.clock.now
        self.clock.spend(0.15)
        failed = bool(inner(span_id))
        self.clock.spend(0.2)
        known = {k.replace("__", "."): v for k, v in attributes.items()}
        if flag:
            known |= {"tb.request_type": "TRACE", "tb.run": RUN_ID}
            if kind is SpanKind.SERVER:
                known["tb.carriers"] = "baggage,tracestate,header"
        self.spans.append(
            Span(
                trace_id=self.trace_id,
                span_id=span_id,
                parent_id=parent,
                name=name,
                kind=kind,
                service=service,
                start_ns=start,
                end_ns=self.clock.now,
                status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
                status_message="answered 503" if failed else "",
                attributes=known,
            )
        )
        return span_id

    def call(self, parent: str, caller: str, callee: str, name: str, inner, *, flag: bool = True) -> None:
        def server(client_id: str) -> bool:
            self.clock.spend(0.3)
            self.span(client_id, callee, name, SpanKind.SERVER, inner, flag=flag)
            self.clock.spend(0.3)
            return False

        self.span(parent, caller, name.partition(" ")[0], SpanKind.CLIENT, server, server__address=callee)

    def sql(self, parent: str, service: str, operation: str, median_ms: float, *, guarded: bool = True) -> None:
        write = not operation.startswith("SELECT")
        extra = {"tb__guard__decision": "rolled_back", "tb__guard__operation": operation} if write and guarded else {}
        self.span(
            parent,
            service,
            operation,
            SpanKind.CLIENT,
            lambda _: self.clock.spend(median_ms),
            flag=guarded,
            db__system="sqlite",
            **extra,
        )

    def trace(self) -> Trace:
        self.span(None, "tracer-bullet", "bullet checkout", SpanKind.INTERNAL, self._steps)
        return Trace.of(self.trace_id, self.spans)

    def _steps(self, root: str) -> None:
        self.call(root, "tracer-bullet", "gateway", "GET /products", self._products)
        self.call(root, "tracer-bullet", "gateway", "POST /cart/items", self._cart)
        self.call(root, "tracer-bullet", "gateway", "POST /checkout", self._checkout)

    def _products(self, gateway: str) -> None:
        def inner(catalog: str) -> None:
            self.sql(catalog, "catalog", "SELECT products", 2.1)

        self.call(gateway, "gateway", "catalog", "GET /products", inner)

    def _cart(self, gateway: str) -> None:
        def inner(cart: str) -> None:
            self.sql(cart, "cart", "SELECT carts", 0.8)
            self.sql(cart, "cart", "INSERT cart_items", 1.4)

        self.call(gateway, "gateway", "cart", "POST /cart/items", inner)

    def _checkout(self, gateway: str) -> None:
        self.call(gateway, "gateway", "checkout", "POST /checkout", self._order)

    def _order(self, checkout: str) -> None:
        self.call(checkout, "checkout", "inventory", "POST /reservations", self._reserve)
        self.call(checkout, "checkout", "payment", "POST /charges", self._charge, flag=not self.lost)
        self.sql(checkout, "checkout", "INSERT orders", 1.9)
        self.sql(checkout, "checkout", "INSERT order_items", 1.1)
        self.span(
            checkout,
            "checkout",
            "order.created publish",
            SpanKind.PRODUCER,
            lambda _: self.clock.spend(0.2),
            messaging__system="kafka",
            tb__guard__decision="suppressed",
            tb__guard__operation="PUBLISH order.created",
        )
        self.call(checkout, "checkout", "notifications", "POST /mails", lambda _: self.clock.spend(1.2))

    def _reserve(self, inventory: str) -> None:
        self.sql(inventory, "inventory", "SELECT stock", 0.9)
        if not self.missing:
            self.sql(inventory, "inventory", "UPDATE stock", 1.6)

    def _charge(self, payment: str) -> bool:
        self.sql(payment, "payment", "INSERT charges", 1.3, guarded=not self.lost)
        down = self.rng.random() < 0.006
        self.span(
            payment,
            "payment",
            "POST",
            SpanKind.CLIENT,
            lambda _: self.clock.spend(14.0) or down,
            flag=not self.lost,
            server__address=THIRD_PARTY,
            tb__guard__decision="stubbed",
            tb__guard__operation=f"POST {THIRD_PARTY}/v1/charges",
        )
        return down


def shop_run(
    *,
    bullets: int = 500,
    lost: Iterable[int] = (),
    missing: Iterable[int] = (),
    request_type: RequestType = RequestType.TRACE,
) -> Run:
    """`lost`: bullets whose flag is lost before payment; `missing`: those with a span that never came."""
    rng = random.Random(7)
    lost_set, missing_set = set(lost), set(missing)
    traces, verdicts = [], []
    for i in range(bullets):
        maker = _Maker(bullet=i, rng=rng, lost=i in lost_set, missing=i in missing_set)
        trace = maker.trace()
        traces.append(trace)
        verdicts.append(_judge(i, trace, i in lost_set, i in missing_set))
    outcomes = {v.outcome for v in verdicts}
    order = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED)
    found = {f.rule: f for v in reversed(verdicts) for f in v.findings}
    return Run(
        manifest=_manifest(bullets, request_type),
        verdict=Verdict(
            run_id=RUN_ID,
            scenario="checkout",
            outcome=next((o for o in order if o in outcomes), Outcome.PASSED),
            bullets=tuple(verdicts),
            findings=tuple(found[r] for r in sorted(found)),
            planned=bullets,
        ),
        graph=shop_graph(traces),
        traces=tuple(traces),
    )


def _judge(bullet: int, trace: Trace, lost: bool, missing: bool) -> BulletVerdict:
    def check(name: str, expected: str, line: int, step: str, **said: object) -> Check:
        return Check(
            name=name,
            expected=expected,
            where=f"scenarios/checkout.yaml:{line}",
            step=step,
            **{"passed": True, "actual": expected, **said},  # type: ignore[arg-type]
        )

    findings = [
        replace(f, trace_id=trace.trace_id, span_id=next((s.span_id for s in trace.spans if s.name == f.operation), ""))
        for f, on in ((LOST, lost), (UNGUARDED, lost), (GAP, missing))
        if on
    ]
    outcome = Outcome.FAILED if lost else Outcome.INCONCLUSIVE if missing else Outcome.PASSED
    return BulletVerdict(
        bullet=bullet,
        trace_id=trace.trace_id,
        outcome=outcome,
        findings=tuple(findings),
        checks=(
            check("status", "200", 14, "browse"),
            check("status", "201", 22, "fill the cart"),
            check("status", "201", 31, "check out"),
            check("$.order.total", "49.90", 33, "check out"),
            check("answers within", "250 ms", 34, "check out"),
            check("payment is asked once", "1 span", 38, "", passed=not lost, actual="2 spans" if lost else "1 span"),
            check("no writes", "0", 1, "", passed=not lost, actual="1: INSERT charges" if lost else "0"),
        ),
    )


def _manifest(bullets: int, request_type: RequestType) -> RunManifest:
    return RunManifest(
        run_id=RUN_ID,
        kind="fire",
        scenario="checkout",
        scenario_file="scenarios/checkout.yaml",
        target="shop-staging",
        target_url="http://gateway.shop.internal:8080",
        production=False,
        request_type=request_type,
        bullets=bullets,
        concurrency=8,
        started_ns=START_NS,
        ended_ns=START_NS + 34_210_000_000,
        token_id="2026-01 (expires 2026-01-31 13:00 UTC)",
        fired_by="maria@build-14",
        versions={"tracer-bullet": "0.1.0", "python": "3.11.7", "scenario": "sha256:9f2c"},
        state="done",
    )


def shop_graph(traces: Iterable[Trace]) -> ServiceGraph:
    """The graph of the shop's traces, by the rules of this made-up shop alone."""
    edges: dict[tuple[str, str], list[Span]] = defaultdict(list)
    entries: dict[tuple[str, str], list[Span]] = defaultdict(list)
    all_traces = list(traces)
    for trace in all_traces:
        for span in trace.spans:
            if span.kind is SpanKind.SERVER:
                entries[span.service, span.name].append(span)
            target = _target(span)
            if target:
                edges[_id(span.service), target].append(span)
    ids = sorted({i for pair in edges for i in pair})
    return ServiceGraph(
        nodes=tuple(_node(i, edges) for i in ids),
        edges=tuple(_edge(ends, spans) for ends, spans in sorted(edges.items())),
        operations=tuple(
            Operation(
                service=service,
                name=name,
                calls=len(spans),
                errors=sum(s.failed for s in spans),
                latency=latency([s.duration_ms for s in spans]),
                self_p50_ms=latency([s.duration_ms for s in spans]).p50_ms * 0.2,
            )
            for (service, name), spans in sorted(entries.items())
        ),
        traces=len(all_traces),
        spans=sum(len(t.spans) for t in all_traces),
    )


def _id(service: str) -> str:
    return "harness:tracer-bullet" if service == "tracer-bullet" else f"service:{service}"


def _target(span: Span) -> str:
    if "db.system" in span.attributes:
        return f"store:{span.service}-db"
    if span.kind is SpanKind.PRODUCER:
        return "queue:order.created"
    if span.kind is not SpanKind.CLIENT:
        return ""
    peer = span.attributes["server.address"]
    return f"third_party:{peer}" if peer == THIRD_PARTY else f"service:{peer}"


def _node(node_id: str, edges: Mapping[tuple[str, str], list[Span]]) -> Node:
    kind, name = node_id.split(":", 1)
    inbound = [s for (_, target), spans in edges.items() if target == node_id for s in spans]
    return Node(
        id=node_id,
        name=name,
        kind=NodeKind(kind),
        system={"store": "sqlite", "queue": "kafka"}.get(kind, ""),
        calls=len(inbound),
        errors=sum(s.failed for s in inbound),
    )


def _edge(ends: tuple[str, str], spans: list[Span]) -> Edge:
    decisions = Counter(s.attributes["tb.guard.decision"] for s in spans if "tb.guard.decision" in s.attributes)
    return Edge(
        source=ends[0],
        target=ends[1],
        calls=len(spans),
        errors=sum(s.failed for s in spans),
        latency=latency([s.duration_ms for s in spans]),
        evidence=(
            Evidence(rule="client-peer", count=len(spans), example_trace_ids=tuple(s.trace_id for s in spans[:3])),
        ),
        writes=sum(decisions.values()),
        decisions=tuple(sorted(decisions.items())),
        asynchronous=ends[1].startswith("queue:"),
    )


def latency(durations: list[float]) -> Latency:
    ordered = sorted(durations)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Latency(
        p50_ms=at(0.5), p90_ms=at(0.9), p95_ms=at(0.95), p99_ms=at(0.99), p999_ms=at(0.999), max_ms=ordered[-1]
    )


def wide_graph(services: int = 40) -> ServiceGraph:
    """A bigger system: layers of services with stores, queues and third parties, about 1.5 nodes a service."""
    rng = random.Random(11)
    names = [f"service:{w}-{i}" for i, w in zip(range(services), _WORDS * 9, strict=False)]
    nodes = {"harness:tracer-bullet": None, **dict.fromkeys(names)}
    pairs = [("harness:tracer-bullet", names[0])]
    for i, name in enumerate(names[1:], start=1):
        parents = {max(0, (i - 1) // 3)} | (
            {rng.randrange(max(0, i // 3 - 2), max(1, i // 2))} if i % 3 == 0 else set()
        )
        pairs += [(names[j], name) for j in sorted(parents)]
        if i % 3 == 0:
            pairs.append((name, f"store:{name.split(':')[1]}-db"))
        if i % 9 == 4:
            pairs.append((name, f"queue:{name.split(':')[1]}.events"))
        if i % 13 == 5:
            pairs.append((name, f"third_party:api{i}.example"))
    nodes |= {target: None for _, target in pairs}
    edges = []
    for source, target in pairs:
        calls, base = rng.randrange(50, 9000), rng.uniform(0.4, 90)
        edges.append(
            Edge(
                source=source,
                target=target,
                calls=calls,
                errors=rng.randrange(1, 60) if rng.random() < 0.06 else 0,
                latency=Latency(
                    p50_ms=base,
                    p90_ms=base * 1.6,
                    p95_ms=base * 2,
                    p99_ms=base * 3.1,
                    p999_ms=base * 5,
                    max_ms=base * 7,
                ),
                evidence=(Evidence(rule="parent-child", count=calls, example_trace_ids=(f"{calls:032x}",)),),
                asynchronous=target.startswith("queue:"),
            )
        )
    into = Counter({t: sum(e.calls for e in edges if e.target == t) for t in nodes})
    bad = Counter({t: sum(e.errors for e in edges if e.target == t) for t in nodes})
    return ServiceGraph(
        nodes=tuple(
            Node(id=i, name=i.split(":", 1)[1], kind=NodeKind(i.split(":", 1)[0]), calls=into[i], errors=bad[i])
            for i in nodes
        ),
        edges=tuple(edges),
        operations=(),
        traces=9000,
        spans=400_000,
        orphans=(("billing-5", 12),),
    )


_WORDS = ["gateway", "catalog", "search", "pricing", "cart", "billing", "stock", "users", "mailer", "ranking", "tax"]
