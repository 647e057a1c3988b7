"""The engine's process: stops within a second, dies with its driver, is told when it is killed, keeps little ahead."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.recording import Recording
from tests.unit.engine.shooting import Outcome, arrival, batches, origin, shoot
from tracer_bullet.engine import EngineError, EngineProcess, EngineSettings, process
from tracer_bullet.model.arrival import Arrival, Endpoint
from tracer_bullet.model.shots import ShotBatch


def gone(pid: int) -> bool:
    """Whether the process has ended, as far as the kernel knows; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while not gone(pid):  # noqa: ASYNC110  (nobody tells of a grandchild's end)
            await asyncio.sleep(0.01)


def test_stop_ends_within_a_second_and_accounts_for_all() -> None:
    arrivals = [
        arrival(0, "/plain"), arrival(1, "/never"), arrival(2, "/gated"),
        *(arrival(n, "/plain") for n in range(3, 6)),  # wait for a connection
        *(arrival(n, "/plain", after=1, session=1) for n in range(6, 10)),
        *(arrival(n, "/plain", due_ns=3_600_000_000_000) for n in range(10, 700)),
    ]  # fmt: skip
    pulled: list[Arrival] = []

    def source() -> Iterator[list[Arrival]]:
        for batch in batches(arrivals, 50):
            pulled.extend(batch)
            yield batch

    async def run() -> tuple[Outcome, float, Recording]:
        outcome, recording = Outcome(), Recording()
        settings = EngineSettings(ahead_s=1e6, connections=2, spare=0)
        async with recording.serving(), EngineProcess(settings) as engine:
            engine.define(origin(recording.port))
            engine.define(Endpoint(number=0, method="GET", name="/plain"))
            began = 0.0
            async for result in engine.run(source(), time.time_ns()):
                outcome.take(result)
                if len(recording.seen) >= 3 and 0 in outcome.rows and not began:
                    recording.gate.set()
                    began = time.monotonic()
                    engine.stop()
            took = time.monotonic() - began
        return outcome, took, recording

    outcome, took, recording = asyncio.run(run())
    outcome.whole(pulled)
    assert took < 1.0
    assert len(recording.seen) == 3
    assert [outcome.error(n) for n in range(3)] == ["", "stopped", ""]
    assert outcome.rows[1]["sent_ns"]  # sent, but its answer was not awaited
    assert {outcome.error(n) for n in range(3, len(pulled))} == {"stopped"}
    assert {outcome.rows[n]["sent_ns"] for n in range(3, len(pulled))} == {0}


def test_an_engine_runs_again_after_a_stop_and_after_a_reader_who_left() -> None:
    async def run() -> list[Outcome]:
        outcomes = []
        recording = Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            later = [arrival(0), arrival(1, due_ns=10**13)]
            running = engine.run(batches(later, 1), time.time_ns())
            async for result in running:
                if isinstance(result, ShotBatch):
                    break  # who leaves, stops it
            await running.aclose()  # type: ignore[attr-defined]
            for n in range(3):
                outcome = Outcome()
                async for result in engine.run(
                    batches([arrival(0, f"/{n}"), arrival(1, due_ns=10**10 * (n == 1))]), time.time_ns()
                ):
                    outcome.take(result)
                    if 0 in outcome.rows and n == 1:
                        engine.stop()
                outcomes.append(outcome)
        return outcomes

    first, second, third = asyncio.run(run())
    for outcome in (first, second, third):
        outcome.whole([arrival(0), arrival(1)])
    assert (first.error(1), second.error(1), third.error(1)) == ("", "stopped", "")


def test_a_killed_engine_is_an_error_and_what_it_owed_is_lost() -> None:
    arrivals = [arrival(n, "/plain" if n < 5 else "/never") for n in range(200)]

    async def run() -> tuple[Outcome, EngineError, int]:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            pid = engine.pid
            try:
                async for result in engine.run(batches(arrivals), time.time_ns()):
                    outcome.take(result)
                    if set(range(5)) <= set(outcome.rows) and not gone(pid):
                        os.kill(pid, signal.SIGKILL)
            except EngineError as error:
                return outcome, error, pid
        raise AssertionError("it was not told")

    outcome, error, pid = asyncio.run(run())
    assert gone(pid)
    outcome.whole(arrivals)
    assert [outcome.error(n) for n in range(5)] == [""] * 5
    assert "lost" in {outcome.error(n) for n in range(5, 200)}
    assert error.code == "TB952"
    assert "exit status -9" in error.why


def test_an_engine_that_does_not_listen_is_killed_by_a_stop() -> None:
    arrivals = [arrival(n, "/plain", "POST", bytes(2_000_000)) for n in range(2)]

    async def run() -> tuple[Outcome, float, EngineError]:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            os.kill(engine.pid, signal.SIGSTOP)
            pulled = threading.Event()

            def source() -> Iterator[list[Arrival]]:
                pulled.set()
                yield arrivals

            def stop() -> float:
                pulled.wait()
                while not engine._writing.locked():  # what is written next does not fit into the socket
                    time.sleep(0.001)
                began = time.monotonic()
                engine.stop()
                return began

            stopping = asyncio.create_task(asyncio.to_thread(stop))
            try:
                async for result in engine.run(source(), time.time_ns()):
                    outcome.take(result)
            except EngineError as error:
                return outcome, time.monotonic() - await stopping, error
        raise AssertionError("it ended as if nothing had been the matter")

    outcome, took, error = asyncio.run(asyncio.wait_for(run(), 30))
    assert error.code == "TB952"
    assert {n: outcome.error(n) for n in outcome.rows} == {0: "lost", 1: "lost"}
    assert took < 5


@pytest.mark.parametrize("told", [True, False])
def test_an_engine_that_stands_still_is_killed(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though what it is told fits into its socket: whoever waits for it, or leaves, does not wait for ever."""
    monkeypatch.setattr(process, "_SILENT_STOPPED_S" if told else "_SILENT_S", 1.0)
    arrivals = [arrival(n, "/plain" if n < 5 else "/never") for n in range(50)]

    async def run() -> tuple[Outcome, EngineError, int]:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            try:
                async for result in engine.run(batches(arrivals), time.time_ns()):
                    outcome.take(result)
                    if set(range(5)) <= set(outcome.rows):
                        os.kill(engine.pid, signal.SIGSTOP)
                        if told:
                            engine.stop()
            except EngineError as error:
                return outcome, error, engine.pid
        raise AssertionError("it was not told")

    outcome, error, pid = asyncio.run(asyncio.wait_for(run(), 60))
    assert gone(pid)
    outcome.whole(arrivals)
    assert "lost" in {outcome.error(n) for n in range(5, 50)}
    assert (error.code, "it said nothing for 1 s" in error.why) == ("TB952", True)


def test_who_leaves_an_engine_that_stands_still_gets_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_SILENT_STOPPED_S", 1.0)

    async def run() -> int:
        recording = Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            results = engine.run(batches([arrival(0, "/plain"), arrival(1, "/never")]), time.time_ns())
            await anext(results)
            os.kill(engine.pid, signal.SIGSTOP)
            await results.aclose()  # type: ignore[attr-defined]
            return engine.pid

    assert gone(asyncio.run(asyncio.wait_for(run(), 60)))


def test_an_engine_dies_with_its_driver() -> None:
    driver = """
        import asyncio, time
        from tracer_bullet.engine import EngineProcess, EngineSettings
        from tracer_bullet.model.arrival import Arrival, Origin
        def source():
            n = 0
            while True:
                head = b"GET / HTTP/1.1\\r\\n"
                yield [Arrival(number=n, due_ns=n * 1000000, session=n, origin=0, endpoint=0, head=head)]
                n += 1
        async def main():
            async with EngineProcess(EngineSettings()) as engine:
                engine.define(Origin(number=0, scheme="http", host="127.0.0.1", port=9))
                print(engine.pid, flush=True)
                async for _ in engine.run(source(), time.time_ns()):
                    print("on", flush=True)
        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(driver)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "on\n"
        process.kill()
        asyncio.run(until_gone(pid))


def test_a_source_that_breaks_is_told_when_all_else_is_done() -> None:
    def source() -> Iterator[list[Arrival]]:
        yield [arrival(0), arrival(1)]
        raise RuntimeError("torn archive")

    async def run() -> Outcome:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            try:
                async for result in engine.run(source(), time.time_ns()):
                    outcome.take(result)
            except RuntimeError as error:
                told.append(str(error))
        return outcome

    told: list[str] = []
    outcome = asyncio.run(run())
    outcome.whole([arrival(0), arrival(1)])
    assert told == ["torn archive"]


def test_little_is_pulled_ahead_in_time_and_in_bytes() -> None:
    pulled = 0

    def source(count: int, step_ns: int, body: bytes) -> Iterator[list[Arrival]]:
        nonlocal pulled
        for n in range(count):
            pulled += 1
            yield [arrival(n, "/gated", "POST", body, due_ns=n * step_ns)]

    async def run(count: int, step_ns: int, body: bytes) -> int:
        nonlocal pulled
        pulled = 0
        outcome, recording = Outcome(), Recording()
        settings = EngineSettings(ahead_s=1.5, ahead_bytes=2_000_000)
        async with recording.serving(), EngineProcess(settings) as engine:
            engine.define(origin(recording.port))
            most = 0
            async for result in engine.run(source(count, step_ns, body), time.time_ns()):
                outcome.take(result)
                if len(outcome.notes) == 1 and not most:
                    most = pulled
                    recording.gate.set()
                    if step_ns > 1_000_000:
                        engine.stop()
        assert outcome.times.keys() == set(range(pulled))
        return most

    # 100 ms apart: 1.5 s ahead of the 0.5 s that went by, and what fills two frames of 128.
    assert asyncio.run(run(1000, 100_000_000, b"")) < 300
    # All due at once, 100 kB each: 2 MB are under way, not 30.
    assert asyncio.run(run(300, 1, b"b" * 100_000)) <= 30
    assert pulled == 300


def test_nothing_is_left_over() -> None:
    before = threading.active_count()

    async def run() -> None:
        recording = Recording()
        async with recording.serving():
            await shoot([arrival(n) for n in range(20)], recording.port)

    asyncio.run(run())
    assert threading.active_count() <= before + 4  # asyncio's own executor ends with its loop


def test_settings_that_would_break_a_head_stop_the_start() -> None:
    async def run() -> None:
        async with EngineProcess(EngineSettings(baggage="a=b\r\nx-evil: 1")):
            pass

    with pytest.raises(EngineError) as caught:
        asyncio.run(run())
    assert caught.value.code == "TB951"
    assert "line break" in caught.value.why


def test_real_time_is_had_or_not_told() -> None:
    async def place(*, realtime: bool) -> tuple[int, str]:
        async with EngineProcess(EngineSettings(realtime=realtime)) as engine:
            return os.sched_getscheduler(engine.pid) & ~os.SCHED_RESET_ON_FORK, engine.pacing

    assert asyncio.run(place(realtime=False)) == (os.SCHED_OTHER, "timerfd")
    policy, pacing = asyncio.run(place(realtime=True))
    assert (policy, pacing) in ((os.SCHED_RR, "timerfd, real time"), (os.SCHED_OTHER, "timerfd"))
