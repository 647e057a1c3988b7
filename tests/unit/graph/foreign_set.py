"""A fixed set of traces that Jaeger, Tempo and Zipkin draw differently: gaps, circles, brokers, peers, failures."""

from __future__ import annotations

import random

from tracer_bullet.model import Span, SpanKind, SpanStatus

BASE_NS = 1_772_366_400_000_000_000
SERVICES = ("web", "Cart", "stock", "mail", "unknown_service")
PEERS = ("", "", "", "Cart", "kafka", "bank")


def foreign_set(traces: int = 200, *, whole: bool = False) -> list[Span]:
    """`traces` traces of up to 12 spans; the same in every run. `whole`: parents come first, none is missing."""
    rng = random.Random(4)
    return [span for number in range(1, traces + 1) for span in _trace(rng, number, whole)]


def _trace(rng: random.Random, number: int, whole: bool) -> list[Span]:
    size = rng.randint(1, 12)
    ids = [rng.getrandbits(64) | 1 for _ in range(size + 1)]
    spans = []
    for index in range(size):
        # Usually an earlier span; sometimes any (a circle, oneself), or the last id, which no span has.
        parent = rng.randrange(index) if index else None
        if not whole and rng.random() < 0.15:
            parent = rng.choice([None, rng.randrange(size), size])
        peer = rng.choice(PEERS)
        start = BASE_NS + number * 10**9 + index * 10**6
        spans.append(
            Span(
                trace_id=f"{number:032x}",
                span_id=f"{ids[index]:016x}",
                parent_id=None if parent is None else f"{ids[parent]:016x}",
                name="op",
                kind=rng.choice(tuple(SpanKind)),
                service=rng.choice(SERVICES[:4] if whole else SERVICES),
                start_ns=start,
                end_ns=start + rng.randint(1, 50) * 10**6,
                status=rng.choice((SpanStatus.UNSET, SpanStatus.OK, SpanStatus.ERROR)),
                attributes={"peer.service": peer} if peer else {},
            )
        )
    return spans
