"""What tests of fleets share: a target that notes each request, jobs whose requests carry their number, processes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import psutil

from tracer_bullet.model.load import SenderChange, SenderEvent, SenderJob, SenderNote, SenderShots
from tracer_bullet.runs.load.fleet import Fleet
from tracer_bullet.runs.load.fleet.process import Program


class Target:
    """Answers 200 to everything, in a thread, and counts each path. `until` waits for so many requests."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def numbers(self) -> Counter[int]:
        """How often each number came."""
        return Counter({int(path.rsplit("/", 1)[1]): count for path, count in self.seen.items()})

    def wait_for(self, count: int, timeout_s: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.seen.total() >= count, timeout_s), f"{self.seen.total()} came"

    async def until(self, count: int) -> None:
        await asyncio.to_thread(self.wait_for, count)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._open: set[asyncio.StreamWriter] = set()
        self._ready.set()
        await self._over.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        # Their handlers end by that.
        await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not asyncio.current_task()))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                with self._changed:
                    self.seen[head.split(b" ", 2)[1].decode()] += 1
                    self._changed.notify_all()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def make_job(url: str, *, rate: float = 40, seconds: float = 6, **load: object) -> SenderJob:
    """One request an iteration, to `/n/<number>`: row n is iteration n's."""
    total = round(rate * seconds)
    shape = load or {"rate": f"{rate}/s", "duration": f"{seconds}s"}
    scenario = {
        "version": 1,
        "name": "probe",
        "target": "here",
        "variables": {"n": 0},
        "steps": [{"name": "one", "request": {"path": "/n/${n}"}}],
        "load": {**shape, "data": [{"file": "rows.csv"}]},
    }
    return SenderJob(
        run_id="run-1",
        start_ns=0,
        base_url=url,
        scenarios=(json.dumps(scenario),),
        variables=({"n": 0},),
        rows=(tuple({"n": n} for n in range(total)),),
        weights=(1.0,),
        engine={"run_id": "run-1"},
    )


@dataclass
class Told:
    """What a fleet told of a job."""

    rows: int = 0
    sent: int = 0
    numbers: Counter[int] = field(default_factory=Counter)
    changes: list[SenderChange] = field(default_factory=list)
    notes: int = 0
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: SenderEvent) -> None:
        match event:
            case SenderShots():
                self.rows += len(event.batch)
                self.sent += sum(at > 0 for at in event.batch.sent_ns)
                self.numbers.update(event.batch.number)
            case SenderChange():
                self.changes.append(event)
            case SenderNote():
                self.notes += 1
        self.seen.set()

    def what(self, what: str) -> list[SenderChange]:
        return [change for change in self.changes if change.what == what]

    async def until(self, true: Callable[[Told], bool]) -> None:
        async with asyncio.timeout(60):
            while not true(self):
                self.seen.clear()
                await self.seen.wait()


async def listen(fleet: Fleet, job: SenderJob, told: Told) -> Told:
    """Run the job to its end; nothing may take for ever."""
    async with asyncio.timeout(90):
        async for event in fleet.run(job):
            told.add(event)
    return told


def pids_of(fleet: Fleet) -> list[int]:
    assert fleet._crew is not None
    return [program.pid for program in fleet._crew.programs]


def outsider(stack: AsyncExitStack, port: int, name: str) -> Program:
    """A worker as of another host: the fleet did not start it."""
    program = Program(["tracer_bullet.runs.load.worker", "127.0.0.1", str(port), "--name", name], [])
    stack.push_async_callback(program.reap)
    return program


def exactly_accounted(told: Told, fleet: Fleet, target: Target, *, total: int) -> None:
    """Each request of the schedule was told of once, or is among the unaccounted; and none was sent twice."""
    assert set(told.numbers.values()) <= {1}
    assert set(target.numbers.values()) == {1}
    assert told.rows + sum(r.unaccounted for r in fleet.results) == total
    # What was told was sent; what was sent and not told is within what is not accounted for.
    assert told.sent <= len(target.numbers) <= told.sent + sum(r.unaccounted for r in fleet.results)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def all_end(processes: list[psutil.Process], timeout_s: float = 20) -> bool:
    """Whether all of them end in time. One whose parent is frozen is a zombie until that wakes: it has ended too."""
    until = time.monotonic() + timeout_s
    while any(map(_lives, processes)):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)  # they are not our children: there is nothing to wait for
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
