"""Fleets: from one worker to two, and our percentiles beside Locust's own: `python -m benchmarks.fleet [--quick]`.

Scaling. One worker at a rate, then two at twice the rate, at nginx with `return 200`, everything on this machine. The
senders' own time is what would limit them where each has cores of its own, so CPU seconds of each process stand beside
what was reached: a worker's two processes, Locust's master, the conductor (this process, which counts every shot). Does
a request cost a sender the same when there are two, then two send twice as much; until the conductor's core is full.

Percentiles. The same run as the conductor counts it (every latency, from the intended time, HdrHistogram with three
digits) and as Locust's master has it (whole milliseconds, two digits above 100 ms).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from tests.servers.nginx import NginxServer
from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.model.load import SenderJob, SenderShots
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions
from tracer_bullet.sim import Simulation, shop_topology

_NGINX = "server { listen 127.0.0.1:@PORT@ reuseport; keepalive_requests 1000000; location / { return 200 'ok'; } }"
_QUANTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass
class Took:
    """One run: what came of it, and CPU seconds by role while it sent."""

    rate: float
    sent: int
    seconds: float
    histogram: Histogram
    lateness_p99_ms: float
    cpu: dict[str, float]
    table: list[dict[str, object]]
    lost: int


def job(url: str, path: str, rate: float, seconds: float) -> SenderJob:
    scenario = {
        "version": 1,
        "name": "bench",
        "target": "here",
        "steps": [{"name": path, "request": {"path": path}}],
        "load": {"rate": f"{rate}/s", "duration": f"{seconds}s"},
    }
    return SenderJob(
        run_id="bench",
        start_ns=0,
        base_url=url,
        scenarios=(json.dumps(scenario),),
        variables=({},),
        rows=((),),
        weights=(1.0,),
        engine={"run_id": "bench", "flag_lines": ("tracestate: tb=t", "x-tracer-bullet: " + "x" * 400)},
    )


def cpu_s(pids: Sequence[int]) -> float:
    """User and system seconds of these processes and all below them, those that have ended (engines) included."""
    total = 0.0
    for pid in pids:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


async def run(url: str, path: str, *, workers: int, rate: float, seconds: float) -> Took:
    histogram, sent, marks, last_ns, rows = Histogram(), 0, {}, 0, []
    async with Fleet(FleetOptions(local=workers, lateness_ms=1e9)) as fleet:
        assert fleet._crew is not None
        pids = [program.pid for program in fleet._crew.programs]

        def usage() -> dict[str, float]:
            own = psutil.Process().cpu_times()
            return {"workers": cpu_s(pids), "master": cpu_s([fleet._master.pid]), "conductor": own.user + own.system}

        async for event in fleet.run(job(url, path, rate, seconds)):
            if isinstance(event, SenderShots):
                marks = marks or usage()  # what starting took is not counted
                rows.append(event.batch)
        used = {role: value - marks[role] for role, value in usage().items()}
        for batch in rows:
            times = np.asarray(batch.sent_ns)
            sent += int((times > 0).sum())
            histogram.record_ns((np.asarray(batch.ended_ns) - np.asarray(batch.due_ns))[times > 0])
            last_ns = max(last_ns, int(times.max()))
        return Took(
            rate=rate,
            sent=sent,
            seconds=(last_ns - fleet.start_ns) / 1e9,
            histogram=histogram,
            lateness_p99_ms=max(r.lateness.p99_ms for r in fleet.results),
            cpu=used,
            table=fleet.table,
            lost=sum(r.unaccounted for r in fleet.results),
        )


def scaling(rates: Sequence[int], seconds: float) -> None:
    print("\n| workers | asked, /s | sent, /s | not accounted for | lateness p99, ms | µs of CPU a request: a worker | "
          "master | conductor | cores busy |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, NginxServer(_NGINX, Path(folder), connections=4096) as nginx:
        for rate in rates:
            costs = []
            for workers in (1, 2):
                url = f"http://127.0.0.1:{nginx.port}"
                took = asyncio.run(run(url, "/a", workers=workers, rate=rate * workers, seconds=seconds))
                each = {role: 1e6 * used / max(took.sent, 1) for role, used in took.cpu.items()}
                costs.append(each)
                busy = sum(took.cpu.values()) / took.seconds
                print(
                    f"| {workers} | {rate * workers:,} | {took.sent / took.seconds:,.0f} | {took.lost} "
                    f"| {took.lateness_p99_ms:.2f} | {each['workers']:.0f} | {each['master']:.1f} "
                    f"| {each['conductor']:.1f} | {busy:.2f} |",
                    flush=True,
                )
            one, two = costs
            print(
                f"\nA request costs two senders {two['workers'] / one['workers']:.2f} of what it costs one: with cores "
                f"of their own they send {2 * one['workers'] / two['workers']:.2f} × as much.\n"
                f"The conductor is full at {1e6 / two['conductor']:,.0f}/s, "
                f"the master at {1e6 / two['master']:,.0f}/s.\n",
                flush=True,
            )


def percentiles(name: str, url: str, path: str, *, rate: float, seconds: float) -> None:
    took = asyncio.run(run(url, path, workers=2, rate=rate, seconds=seconds))
    ours = took.histogram.values_us(_QUANTILES)
    row = next(r for r in took.table if r["name"] == "Aggregated")
    theirs = row["percentiles_ms"]
    assert isinstance(theirs, dict)
    reached = f"{took.sent / took.seconds:,.1f}/s sent, lateness p99 {took.lateness_p99_ms:.2f} ms"
    print(f"\n{name}: {rate:g}/s asked, {reached}\n")
    print("| | requests | p50, ms | p90 | p95 | p99 | p99.9 |\n|---|---|---|---|---|---|---|")
    print(f"| exact | {took.sent:,} | " + " | ".join(f"{us / 1000:.2f}" for us in ours) + " |")
    print(
        f"| Locust | {row['requests']:,} | "
        + " | ".join(f"{theirs[str(round(q / 100, 4))]:.0f}" for q in _QUANTILES)
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rates", type=int, nargs="*", default=[1000, 2000, 4000])
    parser.add_argument("--shop-rate", type=float, default=40.0)
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rates = 4.0, [1000]
    began = time.monotonic()
    print(f"{os.cpu_count()} cores, CPython {platform.python_version()}, load {os.getloadavg()[0]:.1f} before")
    scaling(options.rates, options.seconds)
    with tempfile.TemporaryDirectory() as folder, NginxServer(_NGINX, Path(folder), connections=4096) as nginx:
        url = f"http://127.0.0.1:{nginx.port}"
        percentiles("nginx", url, "/a", rate=options.rates[0], seconds=options.seconds)
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulation(shop_topology(), data_dir=Path(folder), otlp_endpoint=None, keys=None, ports="free") as shop,
    ):
        percentiles("the shop", shop.url, "/products", rate=options.shop_rate, seconds=options.seconds * 2)
    print(f"\ntook {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
