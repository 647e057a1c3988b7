"""What planning load costs: arrivals a CPU second of the thread that plans, and the schedule alone.

`python -m benchmarks.load_plan`. CPU time, so that what else the machine does counts little; medians of several runs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracer_bullet.load.planner import Planner
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.share import Share
from tracer_bullet.model.load import SenderJob
from tracer_bullet.workspace.traffic import LoadSpec

RUNS: Final = 5
ARRIVALS: Final = 100_000
_NS: Final = 1_000_000_000
_RATE: Final = {"rate": "100000/s", "duration": "10s"}
PLANS: Final[Mapping[str, tuple[dict[str, Any], int]]] = {
    "one row, no pauses": ({}, 1),
    "1,000 rows": ({"data": [{"file": "skus.csv"}]}, 1000),
    "1,000,000 rows, all different": ({"data": [{"file": "skus.csv", "order": "unique"}]}, 1_000_000),
    "pauses drawn, poisson, a tenth checked": ({"think": "1s..3s", "arrivals": "poisson", "checks": 0.1}, 1),
}


def job(load: Mapping[str, Any], rows: int) -> SenderJob:
    """Two steps, one of them with a body; both with a value of the row."""
    path = "/cart/${sku}"
    steps = [
        {"name": "look", "request": {"path": path}},
        {"name": "order", "request": {"method": "POST", "path": "/orders", "json": {"sku": "${sku}", "count": 1}}},
    ]
    scenario = {"version": 1, "name": "checkout", "target": "shop", "variables": {"sku": "a"}, "steps": steps}
    return SenderJob(
        run_id="benchmark",
        start_ns=0,
        base_url="http://127.0.0.1:8080",
        scenarios=(json.dumps({**scenario, "load": {**_RATE, **load}}),),
        variables=({"sku": "a"},),
        rows=(tuple({"sku": f"sku-{n}"} for n in range(rows)),),
        weights=(1.0,),
        engine={"ahead_s": 2.0},
    )


def planned_a_second(work: SenderJob) -> float:
    """Arrivals a CPU second."""
    planner = Planner(work, Share(1, [0]), now_ns=lambda: 0)
    begin, count = time.thread_time(), 0
    for arrivals in planner:
        count += len(arrivals)
        if count >= ARRIVALS:
            break
    return count / (time.thread_time() - begin)


def scheduled_a_second(profile: Profile) -> float:
    """Due times a CPU second, from the middle of the profile on."""
    begin, count = time.thread_time(), 0
    for due in profile.due_ns(profile.total // 2):
        count += len(due)
        if count >= 2_000_000:
            break
    return count / (time.thread_time() - begin)


def median(measure: Callable[[], float]) -> float:
    """Of some runs."""
    return statistics.median(measure() for _ in range(RUNS))


def main() -> None:
    """Print all."""
    for name, (load, rows) in PLANS.items():
        work = job(load, rows)
        print(f"{name}: {median(lambda work=work: planned_a_second(work)) / 1000:.0f} k arrivals a CPU second")
    day = LoadSpec.model_validate({"rate": "10000/s", "duration": "24h"}).profile
    wave = LoadSpec.model_validate(
        {"stages": [{"for": "24h", "sine": "9000/s", "swing": "9000/s", "period": "24h"}]}
    ).profile
    for name, stages in (("constant", day), ("sine", wave)):
        for arrivals in ("even", "poisson"):
            profile = Profile(stages, arrivals=arrivals)
            rate = median(lambda profile=profile: scheduled_a_second(profile))
            print(f"24 h at 10 k/s, {name}, {arrivals}: {rate / 1e6:.1f} M due times a CPU second")


if __name__ == "__main__":
    main()
