"""What a made-up analysis found in a made-up system: waste, critical paths, causes, contrasts and a heatmap."""

from __future__ import annotations

import random

from tests.unit.report.shop_run import START_NS
from tests.unit.report.system import Plan
from tracer_bullet.model.analysis import (
    Cause,
    Contrast,
    CriticalPaths,
    Heatmap,
    PathShare,
    Pattern,
    Symptom,
    Waste,
)

LENGTH_NS = 3_600 * 10**9
SLOTS = 60


def patterns_of(plan: Plan, ids: tuple[str, ...]) -> tuple[Pattern, ...]:
    (service, name), (other, second) = plan.operations[0], plan.operations[1]
    return (
        Pattern(
            waste=Waste.REPEATED,
            service=service,
            operation=name,
            target=plan.services[2],
            traces=880,
            times=9_412,
            cost_ms=212.5,
            message=f"{service} asks {plan.services[2]} 10.7 times for one {name}",
            example_trace_ids=ids[:2],
        ),
        Pattern(
            waste=Waste.RETRY,
            service=other,
            operation=second,
            target=plan.services[3],
            traces=61,
            times=77,
            cost_ms=1_020.0,
            message=f"{other} asked {plan.services[3]} again after an error",
            example_trace_ids=("f" * 32,),
        ),
        Pattern(
            waste=Waste.TIMEOUT,
            service=service,
            operation=name,
            target=plan.services[1],
            traces=5,
            times=5,
            cost_ms=3_000.0,
            message=f"{plan.services[1]} worked on after {service} had given up",
            example_trace_ids=ids[-1:],
        ),
    )


def critical_of(rng: random.Random, plan: Plan) -> CriticalPaths:
    parts = [(service, name, 9000.0 / (1 + i) ** 1.1) for i, (service, name) in enumerate(plan.operations)]
    whole = sum(p[2] for p in parts)
    return CriticalPaths(
        traces=24_000,
        total_ms=whole,
        ambiguous_ms=whole / 40,
        resolution_ns=1_000_000,
        shares=tuple(
            PathShare(
                service=s,
                operation=n,
                traces=24_000 // (1 + i),
                calls=30_000 // (1 + i),
                exclusive_ms=ms,
                share=ms / whole,
                drag_ms=ms * rng.uniform(0.3, 1),
                ambiguous_ms=ms / 50 if i % 3 == 0 else 0.0,
            )
            for i, (s, n, ms) in enumerate(parts)
        ),
        rootless=3,
    )


def causes_of(plan: Plan, ids: tuple[str, ...]) -> tuple[Cause, ...]:
    a, b, c = plan.services[1], plan.services[2], plan.services[3]
    path = (f"{plan.services[0]} GET /cart", f"{a} POST /quote", f"{b} SELECT prices")
    return (
        Cause(
            key="one",
            symptom=Symptom.ERROR,
            traces=814,
            share=0.676,
            service=b,
            operation="SELECT prices",
            peer=False,
            error="OperationalError: canceling statement due to statement timeout",
            owner="group:default/pricing",
            path=path,
            example_trace_ids=ids[:2],
        ),
        Cause(
            key="two",
            symptom=Symptom.ERROR,
            traces=301,
            share=0.25,
            service=c,
            operation="POST /charges",
            peer=True,
            caller=a,
            error="",
            owner="",
            path=path[:2],
            example_trace_ids=("e" * 32,),
        ),
        Cause(
            key="three",
            symptom=Symptom.SLOW,
            traces=89,
            share=0.074,
            service=a,
            operation="POST /quote",
            peer=False,
            error="",
            owner="",
            path=path[:2],
            example_trace_ids=ids[-1:],
        ),
        Cause(
            key="four",
            symptom=Symptom.SWALLOWED,
            traces=12,
            share=1.0,
            service=a,
            operation="GET /hints",
            peer=False,
            error="KeyError: hint",
            owner="",
            path=path[:1],
            example_trace_ids=(),
        ),
    )


def contrasts_of(plan: Plan) -> tuple[Contrast, ...]:
    values = [
        ("db.region", "eu-west-3", 790, 812),
        ("app.version", "4.18.2-rc1", 1_020, 6_400),
        ("customer.tier", "free", 640, 9_000),
    ]
    return tuple(
        Contrast(
            attribute=name,
            value=value,
            service=plan.services[2],
            bad=bad,
            bad_total=1_204,
            good=good,
            good_total=22_796,
            score=bad / 1_300,
            low=bad / 1_204 - good / 22_796 - 0.04,
        )
        for name, value, bad, good in values
    )


def heatmap_of(rng: random.Random) -> Heatmap:
    cells: dict[tuple[int, int], int] = {}
    for slot in range(SLOTS):
        for _ in range(120):
            row = min(11, max(0, round(rng.gauss(5 + (3 if 30 <= slot < 38 and rng.random() < 0.5 else 0), 1.2))))
            cells[slot, row] = cells.get((slot, row), 0) + 1
    return Heatmap(
        start_ns=START_NS,
        slot_ns=LENGTH_NS // SLOTS,
        slots=SLOTS,
        row_0_ms=1.0,
        rows=12,
        cells=tuple((s, r, n) for (s, r), n in sorted(cells.items())),
    )
