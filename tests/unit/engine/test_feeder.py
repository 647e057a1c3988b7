"""What is handed to the engine when: nobody is held back by another one's estimate, and a source that blocks ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

from tests.servers.recording import Recording
from tests.unit.engine.shooting import Outcome, arrival, origin
from tracer_bullet.engine import EngineError, EngineProcess, EngineSettings, wire
from tracer_bullet.engine.feeder import Feeder
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.shots import ShotBatch

FAR_NS = 3_600_000_000_000


def later(number: int, after: int, *, due_ns: int = FAR_NS, body: bytes = b"", session: int = 0) -> Arrival:
    """One that is due a pause after another one."""
    return arrival(number, body=body, due_ns=due_ns, after=after, pause_ns=1, session=session)


class Handed:
    """What a feeder hands over of a source."""

    def __init__(self, source: Iterator[list[Arrival]] | Source, *, ahead_bytes: int = 1_000_000) -> None:
        self.numbers: list[int] = []
        self.changed = threading.Condition()
        self.feeder = Feeder(source, time.time_ns(), self._send, ahead_s=1.0, ahead_bytes=ahead_bytes)
        self.feeder.start()

    def until(self, *numbers: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(numbers) <= set(self.numbers), 20), self.numbers

    def stop(self) -> None:
        self.feeder.stop()
        self.feeder._thread.join(20)
        assert not self.feeder._thread.is_alive()

    def _send(self, frame: bytes) -> None:
        kind, *members = wire.unpack(frame[4:])
        if kind == wire.ARRIVALS:
            rows, _ = wire.read_arrivals(members)
            with self.changed:
                self.numbers += [row[0] for row in rows]
                self.changed.notify_all()


class Source:
    """Gives what it is told to, blocks, and ends when told to, as a planner does."""

    def __init__(self, *batches: list[Arrival]) -> None:
        self._batches = batches
        self._ended = threading.Event()
        self.blocked = threading.Event()
        self.stops = 0

    def __iter__(self) -> Iterator[list[Arrival]]:
        yield from self._batches
        self.blocked.set()
        self._ended.wait()

    def stop(self) -> None:
        self.stops += 1
        self._ended.set()


def test_what_waits_for_an_earlier_one_goes_with_it_or_at_once() -> None:
    whole = [arrival(0, due_ns=0), later(1, 0), later(2, 1)]
    handed = Handed(Source(whole, [later(3, 2)], [later(4, 1, due_ns=-FAR_NS)]))
    handed.until(0, 1, 2, 3, 4)
    handed.stop()


def test_a_far_estimate_does_not_hold_back_what_was_pulled_with_it() -> None:
    handed = Handed(Source([later(1, 0), arrival(2, due_ns=0)], [arrival(3, due_ns=FAR_NS), later(4, 1)]))
    handed.until(1, 2, 4)
    handed.stop()


def test_an_iteration_to_come_is_held_back_with_all_of_its_steps() -> None:
    source = Source([arrival(0, due_ns=0)], [arrival(1, due_ns=FAR_NS), later(2, 1, due_ns=0), later(3, 2)])
    handed = Handed(source)
    handed.until(0)
    assert source.blocked.wait(20)
    time.sleep(0.05)
    assert handed.numbers == [0]
    handed.stop()


def test_what_waits_for_others_takes_no_room_from_those_to_come() -> None:
    """Ten iterations of which each waits with 60 kB, and room for 100 kB."""
    batches = [[arrival(2 * n, due_ns=n), later(2 * n + 1, 2 * n, body=bytes(60_000), session=n)] for n in range(10)]
    handed = Handed(Source(*batches), ahead_bytes=100_000)
    handed.until(*range(20))
    handed.stop()


def test_a_stop_ends_a_source_that_blocks() -> None:
    source = Source([arrival(0)])
    handed = Handed(source)
    assert source.blocked.wait(20)
    handed.stop()
    assert source.stops == 1


def test_a_source_that_blocks_ends_with_its_engine() -> None:
    source = Source([arrival(0)])

    async def run() -> tuple[Outcome, str]:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            try:
                async for result in engine.run(source, time.time_ns()):
                    outcome.take(result)
                    if isinstance(result, ShotBatch):
                        engine._process.kill()
            except EngineError as error:
                return outcome, error.code
        raise AssertionError("it was not told")

    outcome, code = asyncio.run(asyncio.wait_for(run(), 60))
    assert (outcome.error(0), code) == ("", "TB952")
    assert source.stops >= 1
