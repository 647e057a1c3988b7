"""Whether memory is flat over 24 hours of load: a real run at a high rate, and a day that is only told of.

`python -m benchmarks.load_memory [--rate 4000] [--minutes 40]`. Needs nginx. Two measurements, since two things could
grow: what is kept of each request, and what is kept of each second.

- `tracer-bullet load` sends at a high rate; the resident memory of its process and of its engine is read each second,
  and a line is fitted through the second half. Histograms of the last 10 to 20 minutes are kept, so that a run of less
  than 40 minutes tells how they fill up, which ends. Few traces are audited: how many there may be in all is bounded
  (`proof.max_traces`), however long the run.
- All that the process keeps of shots (figures, thresholds, failures, audited traces) is told of a day in which there
  are 5 iterations a second, and the objects that it holds are counted (tracemalloc) at some hours of it.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from array import array
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from tests.servers.nginx import NginxServer
from tracer_bullet.context.keys import create_keys
from tracer_bullet.load.thresholds import parse_all
from tracer_bullet.model.load import CheckFailure, SenderFailures, StepKey
from tracer_bullet.model.shots import SHOT_ERRORS, ShotBatch
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.judging import Judging
from tracer_bullet.runs.replay.bullets import Bullets, rows_in
from tracer_bullet.workspace.thresholds import ThresholdSpec
from tracer_bullet.workspace.traffic import LoadSpec

_MB: Final = 1 << 20
_DAY_S: Final = 86_400
_NS: Final = 1_000_000_000
_START: Final = 1_800_000_000 * _NS
_NGINX: Final = """
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  server { listen 127.0.0.1:@PORT@ backlog=4096; location / { return 200 "fine"; } }
"""
_SETTINGS: Final = """
version: 1
targets: {answerer: {url: %s}}
traces: {source: embedded, listen: "127.0.0.1:0", settle_s: 1, quiet_s: 0.1}
"""
_SCENARIO: Final = """
version: 1
name: simple
target: answerer
variables: {n: 0}
steps:
  - name: look
    request: {path: /look, query: {n: "${bullet}"}}
  - name: order
    request: {method: POST, path: /order, json: {n: "${bullet}"}}
load:
  rate: %g/s
  duration: %gm
  thresholds: [p(99) < 10s]
  guardrails: {lateness_p99_ms: 60000}
  proof: {max_traces: 100}
"""

Sample = tuple[float, float, float, float]  # seconds, MB of the conductor, of the engine, requests that were due


def _workspace(folder: Path, url: str, rate: float, minutes: float) -> Path:
    create_keys(folder / ".tracer-bullet" / "keys")
    (folder / "tracer-bullet.yaml").write_text(_SETTINGS % url)
    file = folder / "simple.yaml"
    file.write_text(_SCENARIO % (rate / 2, minutes))
    return file


def _samples(process: subprocess.Popen[bytes], rate: float, span_s: float) -> Iterator[Sample]:
    """Each second, from when the engine is there to the end of the schedule."""
    conductor = psutil.Process(process.pid)
    while not (engines := conductor.children()):
        time.sleep(0.1)
    engine, began_s = engines[0], time.monotonic()
    while process.poll() is None and (t_s := time.monotonic() - began_s) < span_s:
        try:
            yield t_s, conductor.memory_info().rss / _MB, engine.memory_info().rss / _MB, t_s * rate
        except psutil.NoSuchProcess:
            return
        time.sleep(1)


def measure(rate: float, minutes: float) -> None:
    """A real run: its memory, and the slopes."""
    with tempfile.TemporaryDirectory() as name, NginxServer(_NGINX, Path(name) / "nginx", connections=4096) as server:
        file = _workspace(Path(name), server.url, rate, minutes)
        command = [sys.executable, "-m", "tracer_bullet", "load", str(file), "--unarmed"]
        with subprocess.Popen(command, cwd=name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            rows = np.array(list(_samples(process, rate, minutes * 60)))
            out = process.communicate()[0].decode()
    print("\n".join(line for line in out.splitlines() if "sent" in line)[:400])
    half = rows[len(rows) // 2 :]
    print(f"{rate:g} requests/s for {minutes:g} min; a line through the second half:")
    print("| process | at 30 s | at the end | MB a million requests | MB a minute |\n|---|---|---|---|---|")
    for column, who in ((1, "conductor"), (2, "engine")):
        slope = float(np.polyfit(half[:, 0], half[:, column], 1)[0])
        early = float(rows[min(30, len(rows) - 1), column])
        a_million = slope / rate * 1e6
        print(f"| {who} | {early:.0f} MB | {rows[-1, column]:.0f} MB | {a_million:.2f} | {slope * 60:.2f} |")
        print(f"  in 24 h at this rate, were it to go on: {slope * _DAY_S:.0f} MB", file=sys.stderr)


STEPS: Final = [
    StepKey(scenario="simple", step="look", method="GET", path="/look", index=0, of=2),
    StepKey(scenario="simple", step="order", method="POST", path="/order", index=1, of=2),
]


def _hour(chance: random.Random, numbers: Iterator[int], hour: int, rate: int) -> Iterator[ShotBatch]:
    """An hour of iterations, a batch a second; one in a thousand fails, and a stall is met now and then."""
    failed, draw = SHOT_ERRORS.index("unexpected"), np.random.default_rng(hour)
    for second in range(3600):
        sessions = np.array([next(numbers) for _ in range(rate)], np.int64).repeat(2)
        size = len(sessions)
        due = _START + (hour * 3600 + second) * _NS + np.arange(size, dtype=np.int64) * 1000
        took = (draw.lognormal(15.5, 0.7, size) + (chance.random() < 0.01) * 1e9).astype(np.int64)
        error = np.where(draw.random(size) < 0.001, failed, 0).astype(np.int8)
        ids = draw.integers(1, 1 << 63, size // 2, dtype=np.int64).repeat(2)
        sent = due + 50_000

        def column(code: str, values: object) -> array[int]:
            kinds = {"q": np.int64, "i": np.int32, "Q": np.uint64, "b": np.int8}
            return array(code, np.broadcast_to(np.asarray(values, kinds[code]), size).tobytes())  # noqa: B023

        yield ShotBatch(
            number=column("q", sessions * 2 + np.arange(size) % 2),
            session=column("q", sessions),
            endpoint=column("i", np.arange(size) % 2),
            origin=column("i", 0),
            trace_hi=column("Q", 1),
            trace_lo=column("Q", ids),
            span_id=column("Q", ids),
            due_ns=column("q", due),
            ready_ns=column("q", due),
            sent_ns=column("q", sent),
            first_ns=column("q", sent + took),
            ended_ns=column("q", sent + took),
            status=column("i", np.where(error, 500, 200)),
            error=column("b", error),
            request_bytes=column("q", 300),
            answer_bytes=column("q", 200),
        )


class _Place:
    def __init__(self, n: int) -> None:
        self.nth, self.last = n + 1, n == 1


def tell_a_day(rate: int) -> None:
    """What is held after some hours of a day with so many iterations a second."""
    spec = LoadSpec.model_validate(
        {"rate": f"{rate}/s", "duration": "24h", "thresholds": ["p(99) < 10s"], "stop": {"percentile": 99}}
    )
    figures = LoadFigures(STEPS, measured_from_ns=_START)
    judging = Judging(spec, STEPS, figures, span_s=_DAY_S)
    failures, numbers, bullets = Failures(STEPS), count(), count(1)
    gathered = Bullets("simple", "r", random.Random(1), bullets, per_request=False)
    parse_all((ThresholdSpec(expect="p(99) < 10s"),), STEPS)
    share = 2000 / (rate * _DAY_S)
    audited = 0
    print("| hour | requests | MB held | seconds of CPU |\n|---|---|---|---|")
    tracemalloc.start()
    begin = time.process_time()
    for hour in range(24):
        for batch in _hour(random.Random(hour), numbers, hour, rate):
            judging.shots(figures.shots(0, batch))
            endpoints = dict(zip(batch.number, batch.endpoint, strict=True))
            for row in rows_in(batch, share):
                n = endpoints[row.number]
                audited += gathered.add(row, _Place(n), "GET x", "http://x/x") is not None
            wrong = [i for i, error in enumerate(batch.error) if error]
            if wrong:
                told = tuple((CheckFailure(endpoint=batch.endpoint[i], message="s", trace_id="0"), 1) for i in wrong)
                failures.add(SenderFailures(sender=0, failures=told))
            figures.users[batch.due_ns[0] // _NS] = rate
        if hour + 1 in (1, 2, 6, 12, 18, 24):
            gc.collect()
            held, cpu_s = tracemalloc.get_traced_memory()[0] / _MB, time.process_time() - begin
            print(f"| {hour + 1} | {figures.planned:,} | {held:.1f} | {cpu_s:.0f} |", flush=True)
    tracemalloc.stop()
    counted = figures.accounting()
    assert counted.planned == counted.sent == rate * 2 * _DAY_S
    assert counted.begun == counted.whole + counted.broken == rate * _DAY_S
    print(f"{audited} bullets were audited; {len(gathered._open)} still open; {len(figures._open)} iterations open")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4000)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--no-day", action="store_true", help="only the real run")
    parser.add_argument("--no-run", action="store_true", help="only the day that is told of")
    given = parser.parse_args()
    os.environ.setdefault("NO_COLOR", "1")
    if not given.no_run:
        measure(given.rate, given.minutes)
    if not given.no_day:
        tell_a_day(5)


if __name__ == "__main__":
    main()
