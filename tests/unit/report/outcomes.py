"""Made-up objectives and drift for a made-up system."""

from __future__ import annotations

import random

from tests.unit.report.shop_run import START_NS
from tests.unit.report.system import Plan
from tracer_bullet.model.drift import Change, Drift, EdgeDrift, ErrorDrift, LatencyDrift
from tracer_bullet.model.slo import (
    BurnRate,
    DerivationCheck,
    DerivedObjective,
    Indicator,
    Objective,
    ObjectiveVerdict,
    SloReport,
)


def slos_of(plan: Plan) -> SloReport:
    """Three verdicts (met, missed, unknown), two derived objectives and their check."""
    quick = Objective(
        name="cart is quick",
        service=plan.services[0],
        indicator=Indicator.LATENCY,
        target=0.99,
        threshold_ms=300,
        operation="GET /cart",
        owner="group:default/shop",
        where="slos/cart.yaml:4",
    )
    works = Objective(name="pricing works", service=plan.services[2], indicator=Indicator.AVAILABILITY, target=0.999)
    return SloReport(
        verdicts=(
            _verdict(works, 0.9996, "", met=True),
            _verdict(quick, 0.982, "1.8 % of calls took longer than 300 ms", met=False),
            _verdict(
                Objective(
                    name="mail arrives", service=plan.services[-1], indicator=Indicator.AVAILABILITY, target=0.99
                ),
                1.0,
                "4 calls are too few to tell",
                met=None,
            ),
        ),
        derived=tuple(
            DerivedObjective(
                outer="cart is quick",
                service=plan.services[depth],
                operation="POST /quote",
                depth=depth,
                calls=1.5,
                share=0.4,
                target=0.995,
                threshold_ms=80,
                observed_ms=70.0 + 30 * depth,
                met_now=depth == 0,
                message="",
            )
            for depth in range(2)
        ),
        checks=(
            DerivationCheck(
                outer="cart is quick",
                resamples=2_000,
                share_low=0.988,
                share_high=0.996,
                target=0.99,
                holds=True,
                message="when all of these hold, 99.2 % of calls are within 300 ms (98.8 to 99.6 %)",
            ),
        ),
        notes=("search is fresh: freshness is not in spans",),
    )


def _verdict(objective: Objective, share: float, message: str, *, met: bool | None) -> ObjectiveVerdict:
    return ObjectiveVerdict(
        objective=objective,
        calls=4 if met is None else 12_000,
        good=4 if met is None else round(12_000 * share),
        met=met,
        share=share,
        low=share - 0.002,
        high=min(share + 0.002, 1.0),
        windows=12,
        windows_missed=0 if met else 3,
        worst_share=share - 0.05,
        worst_start_ns=START_NS + 1_800 * 10**9,
        budget_left=0.6 if met else -0.8,
        burn_rates=(
            BurnRate(window_s=3_600, rate=0.4 if met else 15.2, limit=14.4, short_s=300, fired=met is False),
            BurnRate(window_s=21_600, rate=0.2, limit=6, short_s=1_800),
        ),
        measured_ms=412.0 if objective.indicator is Indicator.LATENCY else None,
        message=message,
    )


def drift_of(rng: random.Random, plan: Plan) -> Drift:
    """An edge that came, one that went, shifts both ways with their intervals, and error rates."""
    shifts = []
    for i, (service, name) in enumerate(plan.operations[:8]):
        before = rng.uniform(5, 200)
        moved = (0.4, -0.2, 0.0, 0.08)[i % 4] * before
        shifts.append(
            LatencyDrift(
                service=service,
                operation=name,
                quantile=(0.5, 0.99)[i % 2],
                before_calls=900,
                after_calls=1_100,
                before_ms=before,
                after_ms=before + moved,
                difference_ms=moved,
                low_ms=moved - 0.06 * before,
                high_ms=moved + 0.07 * before,
                effect=moved / before,
                magnitude="medium" if abs(moved) > 0.1 * before else "negligible",
                change=(Change.SLOWER, Change.FASTER, Change.SAME, Change.SLOWER)[i % 4],
            )
        )
    first = plan.operations[0]
    return Drift(
        before="20260130-1400-analyse",
        after="20260131-1400-analyse",
        edges=(
            EdgeDrift(
                source=f"service:{plan.services[0]}",
                target="third_party:tracker.example",
                change=Change.CAME,
                calls=412,
                expected=380.2,
                p_value=1e-9,
                message="new: not one of 23,110 traces had it before",
            ),
            EdgeDrift(
                source=f"service:{plan.services[1]}",
                target="store:legacy",
                change=Change.WENT,
                calls=9,
                expected=9.4,
                p_value=0.03,
                message="gone, though nine calls were expected",
            ),
        ),
        latencies=tuple(shifts),
        errors=(
            ErrorDrift(
                service=first[0],
                operation=first[1],
                before_calls=900,
                after_calls=1_100,
                before=0.001,
                after=0.031,
                low=0.02,
                high=0.041,
                change=Change.MORE_ERRORS,
            ),
        ),
        regressed=(f"{first[0]} {first[1]}: p50 is 40 % slower (34 to 47 %)",),
        unknown=17,
    )
