"""What guards cost a customer: an endpoint bare, with OpenTelemetry, and with OpenTelemetry and armed guards.

Each variant is a server process of its own with one worker (benchmarks/guard_server.py). One
client sends STANDARD requests over loopback on one connection, in rounds: in each round
every variant gets the same number of requests, in an order that rotates, so that what the
machine does otherwise meets all of them. CPU time is the server's own, user and system.
Processes differ by some microseconds from start to start (memory layout, hash seeds), so the
servers are started anew several times.

The table gives medians over all rounds; the ratio is that of the medians of each round's own
differences, with a 95 % interval from a bootstrap over starts and the rounds in them.

    python -m benchmarks.guard --starts 10 --rounds 50 --requests 100
"""

from __future__ import annotations

import argparse
import http.client
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.guard_micro import micro_costs
from benchmarks.guard_server import VARIANTS

BODY = b'{"sku":"sku-1","quantity":1}'
# What a customer's request brings when OpenTelemetry's defaults are in force upstream.
PLAIN = {"content-type": "application/json", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
BAGGAGE = {**PLAIN, "baggage": "user_id=4711,account_id=a-42", "tracestate": "vendor=opaque"}
SHAPES = {"traceparent": PLAIN, "traceparent, tracestate and baggage": BAGGAGE}
AIM = 0.05


@dataclass(frozen=True)
class Round:
    """Microseconds a request, by variant."""

    cpu_us: dict[str, float] = field(default_factory=dict)
    wall_us: dict[str, float] = field(default_factory=dict)

    @property
    def by_otel(self) -> float:
        """CPU that OpenTelemetry adds to bare."""
        return self.cpu_us["otel"] - self.cpu_us["bare"]

    @property
    def by_guards(self) -> float:
        """CPU that guards add to OpenTelemetry."""
        return self.cpu_us["guards"] - self.cpu_us["otel"]


@dataclass(frozen=True)
class Server:
    """A running variant."""

    name: str
    connection: http.client.HTTPConnection

    def cpu_ns(self) -> int:
        self.connection.request("GET", "/cpu")
        return int(self.connection.getresponse().read())

    def post(self, count: int, headers: dict[str, str]) -> None:
        for _ in range(count):
            self.connection.request("POST", "/orders", BODY, headers)
            answer = self.connection.getresponse()
            answer.read()
            if answer.status != 201:
                raise SystemExit(f"{self.name} answered {answer.status}")

    def measure(self, count: int, headers: dict[str, str], into: Round) -> None:
        cpu_ns, wall_ns = self.cpu_ns(), time.perf_counter_ns()
        self.post(count, headers)
        wall_ns = time.perf_counter_ns() - wall_ns
        into.cpu_us[self.name] = (self.cpu_ns() - cpu_ns) / count / 1e3
        into.wall_us[self.name] = wall_ns / count / 1e3


@contextmanager
def serve(variant: str, folder: Path) -> Iterator[Server]:
    script = Path(__file__).with_name("guard_server.py")
    command = [sys.executable, str(script), variant, str(folder / f"{variant}.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise SystemExit(f"the server {variant} did not start")
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        connection.connect()
        yield Server(variant, connection)
        connection.close()
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def run(rounds: int, requests: int, headers: dict[str, str]) -> list[Round]:
    """The rounds of one start of all servers."""
    tmpfs = Path("/dev/shm")
    found = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=tmpfs if tmpfs.is_dir() else None))
        servers = [stack.enter_context(serve(variant, Path(folder))) for variant in VARIANTS]
        for server in servers:
            server.post(1000, headers)  # caches, pools, and the specialising interpreter
        for index in range(rounds):
            found.append(Round())
            for step in range(len(servers)):
                servers[(index + step) % len(servers)].measure(requests, headers, found[-1])
    return found


def ratio(rounds: Sequence[Round]) -> float:
    return statistics.median(r.by_guards for r in rounds) / statistics.median(r.by_otel for r in rounds)


def interval(starts: Sequence[Sequence[Round]], seed: int) -> tuple[float, float]:
    """95 % of a bootstrap of the ratio: starts are drawn, then rounds in each."""
    rng = random.Random(seed)

    def drawn() -> float:
        chosen = rng.choices(starts, k=len(starts))
        return ratio([r for rounds in chosen for r in rng.choices(rounds, k=len(rounds))])

    found = sorted(drawn() for _ in range(1000))
    return found[25], found[974]


def spread(values: Iterable[float]) -> str:
    lower, middle, upper = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({lower:.1f}–{upper:.1f})"


def report(shape: str, starts: Sequence[Sequence[Round]], requests: int) -> None:
    rounds = [r for start in starts for r in start]
    print(f"\nSTANDARD requests with {shape}; {len(starts)} starts of {len(starts[0])} rounds of {requests} requests\n")
    print("| variant | server CPU, µs a request (quartiles) | wall, µs a request (quartiles) |")
    print("|---|---|---|")
    names = ("bare", "with OpenTelemetry", "with OpenTelemetry and armed guards")
    for variant, name in zip(VARIANTS, names, strict=True):
        cpu, wall = spread(r.cpu_us[variant] for r in rounds), spread(r.wall_us[variant] for r in rounds)
        print(f"| {name} | {cpu} | {wall} |")
    print(f"| OpenTelemetry adds | {spread(r.by_otel for r in rounds)} | |")
    print(f"| guards add | {spread(r.by_guards for r in rounds)} | |")
    low, high = interval(starts, seed=1)
    print(f"\nGuards add {ratio(rounds):.1%} of what OpenTelemetry adds (95 %: {low:.1%} to {high:.1%}; by start:")
    print(f"{', '.join(f'{ratio(start):.1%}' for start in starts)}). Aim: at most {AIM:.0%}.")


def machine() -> str:
    names = ("sqlalchemy", "starlette", "uvicorn", "uvloop", "opentelemetry-sdk", "opentelemetry-instrumentation")
    found = []
    for name in names:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return f"{platform.system()} {platform.machine()}, CPython {platform.python_version()}; {', '.join(found)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10, help="how often all servers are started anew")
    parser.add_argument("--rounds", type=int, default=50, help="rounds a start")
    parser.add_argument("--requests", type=int, default=100, help="requests a variant and round")
    parser.add_argument("--micro-batches", type=int, default=2000, help="0 leaves the micro costs out")
    options = parser.parse_args()
    if options.rounds < 2 or options.requests < 1 or options.starts < 1:
        parser.error("at least 1 start with 2 rounds of 1 request is needed")
    print(machine())
    for shape, headers in SHAPES.items():
        starts = [run(options.rounds, options.requests, headers) for _ in range(options.starts)]
        report(shape, starts, options.requests)
    if options.micro_batches:
        print("\nMicro costs on STANDARD requests, in process\n")
        print("| what | without, ns | with, ns | added, ns | p99 of batches with, ns |")
        print("|---|---|---|---|---|")
        for cost in micro_costs(options.micro_batches):
            numbers = (cost.without_ns, cost.with_ns, cost.added_ns, cost.p99_ns)
            print(f"| {cost.name} | {' | '.join(f'{ns:,.0f}' for ns in numbers)} |")


if __name__ == "__main__":
    main()
