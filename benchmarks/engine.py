"""The engine beside other load generators, all in one run: `python -m benchmarks.engine [--quick]`.

Throughput: requests a CPU second of the generator (all of its processes and threads, user and system) and a second of
wall time, over 64 keep-alive connections to one nginx, generator and server each on a core of its own. Requests are
counted by nginx, and time is taken after the generator has warmed up, so that nobody's start counts.

Punctuality: when requests arrive at a server that notes it, against the evenly spaced schedule that fits best
(the one that begins as early as some request allows). So the generators need not tell, and the server's own delay is
in everybody's figures. Drift: the median of the last tenth minus that of the first. Ours tells by itself too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.engine_load import KINDS, nginx_http
from benchmarks.engine_peers import GO_PROGRAMS, OURS, PEERS, Peer, Wish, find
from tests.servers.certificates import Authority, address
from tests.servers.nginx import NginxServer

_WARM_S = 1.0
_MARGIN_S = 3.0
_TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = _options()
    server_core, own_core = 0, (os.cpu_count() or 1) - 1
    os.sched_setaffinity(0, {server_core})
    programs, missing = {}, []
    for peer in PEERS:
        if options.only and not any(word in peer.name.lower() for word in options.only):
            continue
        try:
            programs[peer] = find(peer)
        except LookupError as error:
            missing.append(str(error))
    began = time.monotonic()
    print(f"{_machine()}; load {os.getloadavg()[0]:.1f} before", flush=True)
    with tempfile.TemporaryDirectory() as place:
        if not options.no_throughput:
            _throughput(Path(place), programs, own_core, options)
        if not options.no_lateness:
            _lateness(Path(place), programs, server_core, own_core, options)
    print(f"\nnot had: {'; '.join(missing) or 'nothing'}\ntook {(time.monotonic() - began) / 60:.1f} minutes")


def _machine() -> str:
    cores = os.cpu_count()
    models = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) or [platform.machine()]
    ours = ", ".join(f"{name} {version(name)}" for name in ("uvloop", "httptools", "locust", "aiohttp", "httpx"))
    theirs = ", ".join(f"{name} {tag}" for name, (_, tag) in GO_PROGRAMS.items())
    return f"{cores} cores of {models[0]}; CPython {platform.python_version()}, {ours}; {theirs}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that it works")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each throughput round")
    parser.add_argument("--rounds", type=int, default=3, help="of each generator, taking turns; the median counts")
    parser.add_argument("--lateness-seconds", type=float, default=60.0, help="of ours, whose drift is looked at")
    parser.add_argument("--peers-seconds", type=float, default=15.0, help="of the others' punctuality")
    parser.add_argument("--rates", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--only", nargs="*", default=[], help="words in generators' names")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, "tls"])
    parser.add_argument("--no-throughput", action="store_true")
    parser.add_argument("--no-lateness", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds, options.lateness_seconds, options.peers_seconds = 2.0, 1, 5.0, 4.0
    return options


# Throughput


def _throughput(place: Path, programs: dict[Peer, str], core: int, options: argparse.Namespace) -> None:
    authority = Authority(place)
    folder = place / "nginx"
    folder.mkdir()
    certificate, key = authority.issue("server", address("127.0.0.1"))
    shutil.copy(certificate, folder / "server.pem")
    shutil.copy(key, folder / "server.key")
    with NginxServer(nginx_http(), folder, connections=4096) as nginx:
        for kind in options.kinds:
            files = place / kind
            files.mkdir()
            url = nginx.tls_url if kind == "tls" else nginx.url
            what = "constant" if kind == "tls" else kind
            rounds: dict[str, list[tuple[float, float]]] = {}
            for _ in range(options.rounds):
                for peer, program in programs.items():
                    wish = Wish(url, what, options.seconds + _WARM_S + _MARGIN_S, files)
                    command = peer.command(program, wish)
                    if command is not None:
                        rounds.setdefault(peer.name, []).append(
                            _round(command, nginx.url, core, options.seconds)
                        )  # fmt: skip
            _print_throughput(kind, rounds)


def _round(command: Sequence[str], url: str, core: int, seconds: float) -> tuple[float, float]:
    """Requests a CPU second, and a second."""
    before = _count(url)
    with _running(command, core) as process:
        deadline = time.monotonic() + 60
        while _count(url) - before < 200 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(_WARM_S)
        wall, cpu, count = time.monotonic(), _cpu_s(process.pid), _count(url)
        time.sleep(seconds)
        count = _count(url) - count - 1
        cpu, wall = _cpu_s(process.pid) - cpu, time.monotonic() - wall
        if process.poll() is not None:
            return float("nan"), float("nan")  # it ended before the measurement did
        process.terminate()
    return count / max(cpu, 1e-9), count / wall


def _print_throughput(kind: str, rounds: dict[str, list[tuple[float, float]]]) -> None:
    rows = {}
    for name, some in rounds.items():
        whole = [row for row in some if row[0] == row[0]]
        if whole:
            rows[name] = [statistics.median(column) for column in zip(*whole, strict=True)]
    wrk = rows.get("wrk", [float("nan")])[0]
    ours = rows.get(OURS, [float("nan")])[0]
    print(
        f"\n{kind}: 64 connections\n\n| generator | per CPU second | per second | of wrk | ours is |\n"
        "|---|---|---|---|---|"
    )
    for name, (per_cpu, per_s) in sorted(rows.items(), key=lambda row: -row[1][0]):
        print(f"| {name} | {per_cpu:,.0f} | {per_s:,.0f} | {per_cpu / wrk:.3f} | {ours / per_cpu:.1f} × |", flush=True)
    if ended := set(rounds) - set(rows):
        print(f"\nnot measured, since it ended before its time was over: {', '.join(sorted(ended))}", flush=True)


def _count(url: str) -> int:
    with urllib.request.urlopen(url + "/count") as answer:
        return int(answer.read().split(b"\n")[2].split()[2])


# Punctuality


def _lateness(place: Path, programs: dict[Peer, str], server_core: int, core: int, options: argparse.Namespace) -> None:
    for rate in options.rates:
        print(
            f"\n{rate:,} requests a second for {options.lateness_seconds:.0f} s (the others: "
            f"{options.peers_seconds:.0f} s); microseconds, as a server sees it\n"
        )
        print("| generator | p50 | p99 | max | drift | CPU | arrived |\n|---|---|---|---|---|---|---|")
        for peer, program in programs.items():
            seconds = options.lateness_seconds if peer.name.startswith(OURS) else options.peers_seconds
            folder = place / f"{peer.name}-{rate}"
            folder.mkdir()
            with _running([sys.executable, "-m", "benchmarks.engine_watch"], server_core) as watch:
                assert watch.stdout is not None
                url = f"http://127.0.0.1:{int(watch.stdout.readline())}"
                command = peer.command(program, Wish(url, "constant", seconds, folder, rate))
                if command is not None:
                    _print_lateness(peer.name, command, watch, rate, core, seconds)


def _print_lateness(
    name: str, command: Sequence[str], watch: subprocess.Popen[bytes], rate: int, core: int, seconds: float
) -> None:
    began = os.times()
    with _running(command, core) as process:
        told, _ = process.communicate(timeout=seconds + 60)
    used = os.times()
    raw, _ = watch.communicate()
    times = np.sort(np.frombuffer(raw, np.int64))[: int(rate * seconds)]
    late = times - np.arange(len(times)) * (1e9 / rate)
    late = (late - late[: max(1, rate // 2)].min()) / 1000
    tenth = max(1, len(late) // 10)
    drift = np.median(late[-tenth:]) - np.median(late[:tenth])
    cpu = (used.children_user + used.children_system - began.children_user - began.children_system) / seconds
    print(
        f"| {name} | {np.median(late):,.0f} | {np.quantile(late, 0.99):,.0f} | {late.max():,.0f} | {drift:,.0f} "
        f"| {cpu:.2f} | {len(times) / (rate * seconds):.1%} |",
        flush=True,
    )
    if name.startswith(OURS):
        own = json.loads(told)
        print(
            f"| {name}, by its own clock | {own['p50']:,.0f} | {own['p99']:,.0f} | {own['max']:,.0f} "
            f"| {own['drift']:,.0f} | | |"
        )


# Processes


@contextmanager
def _running(command: Sequence[str], core: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command on its core, its output kept; it has ended afterwards."""
    environment = {**os.environ, "GOMAXPROCS": "1", "K6_NO_USAGE_REPORT": "true", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None and not process.stdin.closed:  # type: ignore[union-attr]
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and all below it, those that have ended too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return float("nan")  # it has ended
    below = sum(_cpu_s(int(child)) for some in children for child in some)
    return sum(int(fields[n]) for n in (11, 12, 13, 14)) / _TICK + below


if __name__ == "__main__":
    main()
