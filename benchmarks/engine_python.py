"""The Python load generators of engine.py: `python -m benchmarks.engine_python WHO URL KIND SECONDS [RATE]`.

Ours (driver and engine), Locust's FastHttpUser, aiohttp on uvloop, httpx. Without RATE each goes as fast as it can
over 64 connections (httpx and aiohttp: 64 tasks; Locust: 64 users). Ours prints what it knows of its own lateness.
"""

# ruff: noqa: PLC0415  # one generator must not load another one's packages
from __future__ import annotations

import sys

if sys.argv[1:2] == ["locust"]:
    import locust  # noqa: F401  (gevent patches sockets and TLS, before anybody has them)

import asyncio
import itertools
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks.engine_load import calls, head, traceparent

CONNECTIONS = 64
REALTIME = False


def ours(url: str, kind: str, seconds: float, rate: float) -> None:
    import numpy as np

    from tracer_bullet.engine import EngineProcess, EngineSettings
    from tracer_bullet.model.arrival import Arrival, Origin
    from tracer_bullet.model.shots import EngineNote, ShotBatch

    parts = urlsplit(url)
    origin = Origin(number=0, scheme=parts.scheme, host=parts.hostname or "", port=parts.port or 0)
    rows = [(head(call, parts.netloc), call.body) for call in calls(kind)]
    flag = {"baggage": "request_type=TRACE,tb-run=bench,tb-token=" + "t" * 300} if kind == "mix" else {}
    flags = ("tracestate: tb=t", "x-tracer-bullet: " + "t" * 300) if kind == "mix" else ()
    end_ns = time.monotonic_ns() + int(seconds * 1e9)

    def source() -> Iterator[list[Arrival]]:
        for first in itertools.count(0, 128):
            if (rate and first / rate > seconds) or (not rate and time.monotonic_ns() > end_ns):
                return
            yield [arrival(n) for n in range(first, first + 128)]

    def arrival(n: int) -> Arrival:
        lines, body = rows[n % len(rows)]
        due_ns = int(n / rate * 1e9) if rate else 0
        return Arrival(
            number=n, due_ns=due_ns, session=n, origin=0, endpoint=n % 1000, head=lines, body=body, last=True
        )

    async def run() -> dict[str, Any]:
        sent, due = [], []
        note = None
        settings = EngineSettings(
            connections=512 if rate else CONNECTIONS, spare=16 if rate else 0, verify=False, trace="request",
            flag_lines=flags, realtime=REALTIME, **flag,
        )  # fmt: skip
        async with EngineProcess(settings) as engine:
            engine.define(origin)
            async for result in engine.run(source(), time.time_ns() + int(5e8 if rate else 0)):
                if isinstance(result, ShotBatch):
                    assert not any(result.error), set(result.error)
                    if rate:
                        sent.append(np.frombuffer(result.sent_ns, np.int64))
                        due.append(np.frombuffer(result.ready_ns, np.int64))
                elif isinstance(result, EngineNote):
                    note = result
        return _punctuality(sent, due, note.starved if note else 0) if rate else {}

    print(json.dumps(asyncio.run(run())))


def _punctuality(sent: list[Any], due: list[Any], starved: int) -> dict[str, float]:
    """In microseconds, by the engine's own clock."""
    import numpy as np

    order = np.argsort(np.concatenate(due))
    late = (np.concatenate(sent) - np.concatenate(due))[order] / 1000
    tenth = max(1, len(late) // 10)
    return {
        "p50": float(np.median(late)),
        "p99": float(np.quantile(late, 0.99)),
        "max": float(late.max()),
        "drift": float(np.median(late[-tenth:]) - np.median(late[:tenth])),
        "starved": starved,
    }


def by_locust(url: str, kind: str, seconds: float, rate: float) -> None:
    import gevent
    from locust import FastHttpUser, constant, constant_throughput, task
    from locust.env import Environment

    some = calls(kind)
    users = min(CONNECTIONS * 2, int(rate) or CONNECTIONS) if rate else CONNECTIONS

    class User(FastHttpUser):
        wait_time = constant_throughput(rate / users) if rate else constant(0)
        insecure = True
        turn = 0

        @task
        def shoot(self) -> None:
            call = some[self.turn % len(some)]
            self.turn += 1
            headers = dict(call.headers)
            if kind != "constant":
                headers["traceparent"] = traceparent()
            self.client.request(call.method, call.path, data=call.body or None, headers=headers, name="x")

    environment = Environment(user_classes=[User], host=url)
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    gevent.sleep(seconds)
    runner.quit()


def by_aiohttp(url: str, kind: str, seconds: float, _: float) -> None:
    import aiohttp
    import uvloop

    async def run() -> None:
        end = time.monotonic() + seconds
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(offset: int) -> None:
                for call in itertools.islice(itertools.cycle(calls(kind)), offset * 7, None):
                    if time.monotonic() > end:
                        return
                    headers = dict(call.headers)
                    if kind != "constant":
                        headers["traceparent"] = traceparent()
                    async with session.request(call.method, url + call.path, data=call.body, headers=headers) as answer:
                        await answer.read()

            await asyncio.gather(*(one(n) for n in range(CONNECTIONS)))

    uvloop.run(run())


def by_httpx(url: str, kind: str, seconds: float, _: float) -> None:
    import httpx

    async def run() -> None:
        end = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with httpx.AsyncClient(limits=limits, verify=context, timeout=60) as client:

            async def one(offset: int) -> None:
                for call in itertools.islice(itertools.cycle(calls(kind)), offset * 7, None):
                    if time.monotonic() > end:
                        return
                    headers = dict(call.headers)
                    if kind != "constant":
                        headers["traceparent"] = traceparent()
                    await client.request(call.method, url + call.path, content=call.body, headers=headers)

            await asyncio.gather(*(one(n) for n in range(CONNECTIONS)))

    asyncio.run(run())


if __name__ == "__main__":
    who, where, what, how_long, *rest = sys.argv[1:]
    REALTIME = who == "ours-realtime"
    {"ours": ours, "ours-realtime": ours, "locust": by_locust, "aiohttp": by_aiohttp, "httpx": by_httpx}[who](
        where, what, float(how_long), float(rest[0]) if rest else 0.0
    )
