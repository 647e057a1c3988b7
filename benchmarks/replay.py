"""What a long replay takes: 5 million recorded requests through the whole command, and the memory of its processes.

The target is nginx with one small answer, the recording a mix of 1,000 paths and 500,000 sessions, sent at a constant
rate. Memory is the resident set of each process, sampled twice a second: the command (survey, plan, figures, proof) and
its engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.servers.nginx import NginxServer
from tracer_bullet.capture.archive import ArchiveWriter, open_archive
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model.exchange import Answer, Exchange, Request

BEGAN_NS = 1_750_000_000_000_000_000
PATHS = 1_000
SETTINGS = """
version: 1
targets:
  nginx: {url: "%s"}
traces: {source: embedded, listen: "127.0.0.1:0", settle_s: 1, quiet_s: 0.1}
"""
FILE = """
version: 1
name: long
target: nginx
archive: long.tba
trace: request
timing: {rate: "%d/s"}
compare: {enabled: false}
proof: {traces_per_s: 0.1}
guardrails: {lateness_p99_ms: 1000}
"""


def exchanges(count: int, hours: float) -> Iterator[Exchange]:
    """Ten requests a session, a thousand sessions at once, spread over so many hours."""
    spacing_ns = round(hours * 3_600_000_000_000 / count)
    answer = Answer(status=200, headers=(("content-type", "text/plain"),), body=b"hello")
    headers = (("user-agent", "bench"), ("accept", "*/*"))
    for n in range(count):
        started = BEGAN_NS + n * spacing_ns
        request = Request(
            method="GET", scheme="http", authority="nginx", target=f"/p{n % PATHS}/items?page={n % 7}", headers=headers
        )
        yield Exchange(
            id=f"{n:x}",
            session=f"s-{n // 10_000}-{n % 1_000}",
            source="bench",
            started_ns=started,
            first_byte_ns=started + 1_000_000,
            ended_ns=started + 2_000_000,
            request=request,
            answer=answer,
        )


def peaks_mb(process: subprocess.Popen[str]) -> tuple[float, float]:
    """The largest resident sets of the command and of its engine, until it ends."""
    driver, most = psutil.Process(process.pid), [0, 0]
    while process.poll() is None:
        try:
            most[0] = max(most[0], driver.memory_info().rss)
            for child in driver.children():
                most[1] = max(most[1], child.memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.5)
    return most[0] / 1e6, most[1] / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000_000)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--hours", type=float, default=8.0, help="how long the recording is; sessions end after 30 min")
    wanted = parser.parse_args()
    server = "listen 127.0.0.1:@PORT@; keepalive_requests 1000000; location / { return 200 hello; }"
    block = f"access_log off; server {{ {server} }}"
    with tempfile.TemporaryDirectory() as name, NginxServer(block, Path(name) / "nginx") as nginx:
        folder = Path(name) / "work"
        (folder / "replay").mkdir(parents=True)
        create_keys(folder / ".tracer-bullet" / "keys")
        (folder / "tracer-bullet.yaml").write_text(SETTINGS % nginx.url)
        (folder / "replay" / "long.yaml").write_text(FILE % wanted.rate)
        began = time.perf_counter()
        with ArchiveWriter(folder / "replay" / "long.tba", created_by="benchmarks") as writer:
            for one in exchanges(wanted.requests, wanted.hours):
                writer.append(one)
        wrote_s = time.perf_counter() - began
        info = open_archive(folder / "replay" / "long.tba").info
        print(f"archive: {info.count:,} exchanges, {info.bytes / 1e6:,.0f} MB, written in {wrote_s:.0f} s")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tracer_bullet", "replay", "replay/long.yaml", "--unarmed", "--json"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        driver_mb, engine_mb = peaks_mb(process)
        took_s = time.perf_counter() - began
        found = json.loads(process.stdout.read())["replay"]  # type: ignore[union-attr]
        sent, timing = found["accounting"], found["timing"]
        print(f"sent {sent['sent']:,} of {sent['planned']:,}, failed {sent['failed']:,}, {took_s:.0f} s in all")
        print(f"lateness p50 {timing['lateness']['p50_ms']:.3f} ms, p99 {timing['lateness']['p99_ms']:.3f} ms,"
              f" drift {timing['drift_ms']:.3f} ms")  # fmt: skip
        print(f"peak memory: command {driver_mb:.0f} MB, engine {engine_mb:.0f} MB")


if __name__ == "__main__":
    main()
