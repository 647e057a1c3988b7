"""A server whose answers all take the same time, but for a stall now and then: what should be measured is known.

In the last `stall_s` of every `every_s` nothing is answered; what falls due then is answered when it is over. Requests
are read all the while, and any number of them is answered at once, so that nothing else delays them.
`python -m tests.servers.stalling EVERY_S STALL_S SERVICE_S` prints its port and origin (monotonic ns, when the first
period begins), and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello"
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Plan:
    """When the server stalls. `origin_ns` of `time.monotonic_ns`."""

    every_s: float
    stall_s: float
    service_s: float
    origin_ns: int = 0

    def stalled_until_ns(self, at_ns: int) -> int:
        """When the stall at this time is over; the time itself when there is none."""
        every_ns = int(self.every_s * 1e9)
        into_ns = (at_ns - self.origin_ns) % every_ns
        return at_ns + every_ns - into_ns if into_ns >= every_ns - int(self.stall_s * 1e9) else at_ns

    def answered_ns(self, arrived_ns: int) -> int:
        """When a request that arrives then is answered."""
        return self.stalled_until_ns(arrived_ns + int(self.service_s * 1e9))


@dataclass(frozen=True)
class Stalling:
    """Where it is, and its plan."""

    port: int
    plan: Plan


@contextmanager
def stalling_server(every_s: float, stall_s: float, service_s: float) -> Iterator[Stalling]:
    """One in a process of its own."""
    command = [sys.executable, "-m", "tests.servers.stalling", str(every_s), str(stall_s), str(service_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port, origin_ns = map(int, process.stdout.readline().split())
            yield Stalling(port, Plan(every_s, stall_s, service_s, origin_ns))
        finally:
            process.kill()


class _Connection(asyncio.Protocol):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(_HEAD_END)
        for _ in heads:
            self._answer_at(self._plan.answered_ns(time.monotonic_ns()))

    def _answer_at(self, due_ns: int) -> None:
        loop, now_ns = asyncio.get_running_loop(), time.monotonic_ns()
        # A timer that is late may find itself within a stall.
        due_ns = max(due_ns, self._plan.stalled_until_ns(max(due_ns, now_ns)))
        if now_ns < due_ns:
            loop.call_later((due_ns - now_ns) / 1e9, self._answer_at, due_ns)
        elif not self._transport.is_closing():
            self._transport.write(ANSWER)


async def _serve(plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(plan), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]} {plan.origin_ns}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    every, stall, service = map(float, sys.argv[1:4])
    asyncio.run(_serve(Plan(every, stall, service, time.monotonic_ns())))
