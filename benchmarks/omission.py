"""Coordinated omission: who notices that a server stalls for 1 s every 10 s? `python -m benchmarks.omission [--quick]`

The server (tests/servers/stalling.py) answers everything after the same few milliseconds, but for the stalls, in which
it answers nothing. What users would have waited is therefore known: a request that falls due in a stall waits for the
rest of it. Ours sends by a schedule and counts from it; the others wait for answers before they send on, or count from
when they got round to sending. All aim at the same rate, and all measure by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.engine_peers import PEERS, find
from tests.servers.stalling import Plan, Stalling, stalling_server
from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.engine.histogram import Histograms
from tracer_bullet.model.arrival import Arrival, Origin
from tracer_bullet.model.shots import ShotBatch

_QUANTILES = (50.0, 99.0, 99.9)
_LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task
class Visitor(FastHttpUser):
    wait_time = constant_throughput({each})
    @task
    def visit(self):
        self.client.get("/")
"""


@dataclass(frozen=True)
class Row:
    """Milliseconds; `requests` is how many were sent."""

    name: str
    requests: int
    p50: float
    p99: float
    p999: float


def main() -> None:
    options = _options()
    print(f"{os.cpu_count()} cores; stalls of {options.stall:g} s every {options.every:g} s")
    print(f"other answers take {options.service_ms:g} ms")
    print(f"{options.rate}/s for {options.seconds} s, {options.users} users or workers where there are some\n")
    with (
        tempfile.TemporaryDirectory() as place,
        stalling_server(options.every, options.stall, options.service_ms / 1000) as server,
    ):
        rows = [known(server.plan, options.rate, options.seconds)]
        rows.append(asyncio.run(ours(server, options.rate, options.seconds)))
        rows.append(locust(server, options, Path(place)))
        rows += vegeta(server, options, Path(place))
        rows += wrk(server, options)
    print("| who | requests | p50 | p99 | p99.9 |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {row.requests:,} | {row.p50:,.1f} ms | {row.p99:,.1f} ms | {row.p999:,.1f} ms |")


def known(plan: Plan, rate: int, seconds: int) -> Row:
    """What requests that are due evenly have to wait, by the server's plan alone."""
    due = _first_ns(plan) + np.arange(rate * seconds, dtype=np.int64) * 1_000_000_000 // rate
    waits = [(plan.answered_ns(at) - at) / 1e6 for at in due.tolist()]
    return Row("known answer", rate * seconds, *np.percentile(waits, _QUANTILES, method="higher").tolist())


async def ours(server: Stalling, rate: int, seconds: int) -> Row:
    """Our engine, by an absolute schedule; latency from the intended time."""
    head = f"GET / HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n".encode()
    histograms, unix_ns = Histograms(), time.time_ns() - time.monotonic_ns()

    def source() -> Iterator[list[Arrival]]:
        for first in range(0, rate * seconds, rate):
            numbers = range(first, first + rate)
            yield [
                Arrival(
                    number=n, due_ns=n * 1_000_000_000 // rate, session=n, origin=0, endpoint=0, head=head, last=True
                )
                for n in numbers
            ]

    async with EngineProcess(EngineSettings(connections=4096)) as engine:
        engine.define(Origin(number=0, scheme="http", host="127.0.0.1", port=server.port))
        async for result in engine.run(source(), _first_ns(server.plan) + unix_ns):
            if isinstance(result, ShotBatch):
                histograms.record(result)
    p50, p99, p999 = (us / 1000 for us in histograms.latency().values_us(_QUANTILES))
    return Row("tracer-bullet, from the intended time", histograms.overall().sent, p50, p99, p999)


def locust(server: Stalling, options: argparse.Namespace, place: Path) -> Row:
    """Locust's FastHttpUser, each at its share of the rate."""
    (place / "visitors.py").write_text(_LOCUSTFILE.format(each=options.rate / options.users))
    command = [
        sys.executable, "-m", "locust", "-f", "visitors.py", "--headless", "-u", str(options.users), "-r", "1000",
        "-t", f"{options.seconds}s", "-H", f"http://127.0.0.1:{server.port}", "--csv", "out", "--only-summary",
    ]  # fmt: skip
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    with (place / "out_stats.csv").open() as file:
        row = {row["Name"]: row for row in csv.DictReader(file)}["Aggregated"]
    times = (float(row[name]) for name in ("50%", "99%", "99.9%"))
    return Row("Locust FastHttpUser, constant_throughput", int(row["Request Count"]), *times)


def vegeta(server: Stalling, options: argparse.Namespace, place: Path) -> Iterator[Row]:
    """vegeta, with as many workers as it likes, and with as many as Locust has users."""
    program = _program("vegeta")
    if not program:
        return
    for name, most in (("vegeta, -max-workers", options.users), ("vegeta", 4096)):
        attack = [program, "attack", f"-rate={options.rate}", f"-duration={options.seconds}s", f"-max-workers={most}"]
        target = f"GET http://127.0.0.1:{server.port}/".encode()
        (place / "hits").write_bytes(subprocess.run(attack, input=target, capture_output=True, check=True).stdout)
        report = subprocess.run([program, "encode", "-to=csv", "hits"], cwd=place, capture_output=True, check=True)
        waits = [int(line.split(",")[2]) / 1e6 for line in report.stdout.decode().splitlines()]
        yield Row(name, len(waits), *np.percentile(waits, _QUANTILES, method="higher").tolist())


def wrk(server: Stalling, options: argparse.Namespace) -> Iterator[Row]:
    """wrk knows no rate: as fast as so many connections can; its figures are corrected by its own mean interval."""
    program = shutil.which("wrk")
    if not program:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            "done = function(s, l) io.stderr:write(string.format("
            "'[%d, %f, %f, %f]', s.requests, l:percentile(50), l:percentile(99), l:percentile(99.9))) end\n"
        )
        script.flush()
        command = [program, "-t1", f"-c{options.users}", f"-d{options.seconds}s", "-s", script.name]
        done = subprocess.run([*command, f"http://127.0.0.1:{server.port}/"], capture_output=True, check=True)
    requests, *times = json.loads(done.stderr)
    yield Row("wrk, no rate, corrected by its mean interval", requests, *(us / 1000 for us in times))


def _first_ns(plan: Plan) -> int:
    """The beginning of the next period that is a little ahead, so that all see the same stalls."""
    every_ns = int(plan.every_s * 1e9)
    return plan.origin_ns + ((time.monotonic_ns() + 500_000_000 - plan.origin_ns) // every_ns + 1) * every_ns


def _program(name: str) -> str:
    try:
        return find(next(peer for peer in PEERS if peer.program == name))
    except (LookupError, StopIteration):
        return ""


def _options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two periods, to see that it works")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from stall to stall")
    parser.add_argument("--stall", type=float, default=1.0, help="seconds")
    parser.add_argument("--service-ms", type=float, default=5.0, help="of an answer out of a stall")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=60, help="a multiple of --every")
    options = parser.parse_args(words)
    if options.quick:
        options.seconds = round(2 * options.every)
    return options


if __name__ == "__main__":
    main()
