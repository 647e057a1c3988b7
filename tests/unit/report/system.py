"""A made-up system of layers, and traces through it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tracer_bullet.model import Span, SpanKind, SpanStatus

CALLS = 3_000
WORDS = (
    "gateway",
    "catalog",
    "pricing",
    "payments",
    "cart",
    "search",
    "stock",
    "users",
    "mailer",
    "ranking",
    "tax",
    "orders",
)
VERBS = (
    "GET /items/{id}",
    "POST /quote",
    "GET /cart",
    "PUT /cart/{id}",
    "SELECT prices",
    "POST /charges",
    "publish order",
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """An edge to be."""

    source: str
    target: str
    calls: int
    errors: int
    middle_ms: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Names of services, (service, operation) pairs, all node ids, and who calls whom."""

    services: tuple[str, ...]
    operations: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]
    calls: tuple[Call, ...]


def plan_of(rng: random.Random, services: int, operations: int, edges: int) -> Plan:
    """A connected system: each service is called by an earlier one; the rest of the edges go anywhere down."""
    names = [WORDS[i] if i < len(WORDS) else f"{WORDS[i % len(WORDS)]}-{i // len(WORDS)}" for i in range(services)]
    ids = [f"service:{n}" for n in names]
    pairs = {(ids[rng.randrange(max(0, (i - 1) // 3), i)], ids[i]): None for i in range(1, services)}
    for i in range(2, services, 3):
        pairs[ids[i], f"store:{names[i]}-db"] = None
    pairs[ids[1], f"queue:{names[1]}.events"] = None
    pairs[ids[min(3, services - 1)], "third_party:api.payments.example"] = None
    while len(pairs) < edges:
        low = rng.randrange(services - 1)
        pairs[ids[low], ids[rng.randrange(low + 1, services)]] = None
    calls = tuple(
        Call(
            source=a,
            target=b,
            calls=rng.randrange(40, 9_000),
            errors=rng.randrange(1, 300) if rng.random() < 0.12 else 0,
            middle_ms=rng.lognormvariate(2, 1.3),
        )
        for a, b in pairs
    )
    return Plan(
        services=tuple(names),
        operations=tuple(
            (names[i % services], f"{VERBS[i % len(VERBS)]}{'' if i < 40 else f' v{i}'}") for i in range(operations)
        ),
        ids=tuple(dict.fromkeys([*ids, *(b for _, b in pairs)])),
        calls=calls,
    )


def spans_of(rng: random.Random, plan: Plan, trace_id: str, count: int, start_ns: int) -> list[Span]:
    """A tree of `count` spans; children lie inside their parents, one after the other or side by side."""
    made: list[Span] = []
    length = 4_000_000 * count
    for i in range(count):
        parent = made[rng.randrange(max(0, i - 12), i)] if i else None
        begin, end = (parent.start_ns, parent.end_ns) if parent else (start_ns, start_ns + length)
        room = max(end - begin, 2)
        first = begin + rng.randrange(max(room // 2, 1)) if parent else begin
        last = min(end, first + max(room // 10, rng.randrange(max(room // 2, 1)))) if parent else end
        service, name = plan.operations[rng.randrange(min(len(plan.operations), 24))] if i else plan.operations[0]
        failed = i % 19 == 7
        made.append(
            Span(
                trace_id=trace_id,
                span_id=f"{i + 1:016x}",
                parent_id=parent.span_id if parent else None,
                name=name,
                kind=SpanKind.SERVER if i % 3 else SpanKind.CLIENT,
                service=service,
                start_ns=first,
                end_ns=last,
                status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
                status_message="canceling statement due to statement timeout" if failed else "",
                attributes={},
            )
        )
    return made
