"""Messages of our own beside Locust's: in order, with bytes, large; what a cut network does; who falls silent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from tests.unit.engine.locust_worker.test_protocol import Master, tell
from tracer_bullet.engine.locust_worker import LocustWorker

Said = list[tuple[str, Any]]


def test_they_come_and_go_in_order_and_bytes_stay_bytes() -> None:
    heard: Said = []

    async def story(master: Master, worker: LocustWorker) -> None:
        done = asyncio.Event()

        async def hear(kind: str, data: Any) -> None:
            await asyncio.sleep(0.02 if len(heard) % 2 else 0)  # whoever is slow does not change the order
            heard.append((kind, data))
            if kind == "tb_end":
                done.set()

        worker._on_message = hear
        for n in range(6):
            await master.say("tb_job", {"n": n, "raw": bytes([n, 255])})
        await master.say("x_other", 1)
        await master.say("tb_end")
        await asyncio.wait_for(done.wait(), 10)
        for n in range(5):
            assert await worker.send("tb_shots", [n, b"\xff\x00"])
        assert [(await master.hears("tb_shots")).data for _ in range(5)] == [[n, b"\xff\x00"] for n in range(5)]
        with pytest.raises(ValueError, match="tb_"):
            await worker.send("stats", {})

    tell(story, on_message=lambda *_: None)
    assert heard == [*(("tb_job", {"n": n, "raw": bytes([n, 255])}) for n in range(6)), ("tb_end", None)]


def test_a_plain_function_hears_too_and_what_it_raises_is_raised_at_the_end() -> None:
    told: list[str] = []

    def hear(kind: str, data: Any) -> None:
        raise RuntimeError(f"{kind} {data}")

    async def story(master: Master, worker: LocustWorker) -> None:
        await master.say("tb_job", 7)
        await asyncio.wait_for(worker.stopping.wait(), 10)
        assert await worker.wait_for_start() is None

    with pytest.raises(RuntimeError, match="tb_job 7"):
        tell(story, on_message=hear, on_gone=told.append)
    assert told == ["failed"]


@contextlib.asynccontextmanager
async def answering(master: Master, kept: Said) -> AsyncIterator[None]:
    """The master hears all the time, and keeps what is neither a heartbeat nor statistics."""

    async def on() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                message = await master.hear()
                kept.append((message.kind, message.data))

    task = asyncio.create_task(on())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_hearts_beat_while_large_messages_come_and_go() -> None:
    size, heard, kept = 8_000_000, list[int](), Said()

    async def story(master: Master, worker: LocustWorker) -> None:
        async with answering(master, kept), asyncio.timeout(60):
            for _ in range(4):
                await master.say("tb_job", {"rows": bytes(size)})
                await worker.send("tb_shots", bytes(size))
            while len(heard) < 4 or len(kept) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            beats = len(master.beats)
            while len(master.beats) < beats + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert worker.gone == ""

    tell(story, silence_s=3.0, on_message=lambda _, data: heard.append(len(data["rows"])))
    assert heard == [size] * 4
    assert [len(data) for _, data in kept] == [size] * 4


def test_silence_is_told_at_once_and_once() -> None:
    told: list[tuple[str, bool]] = []
    workers: list[LocustWorker] = []

    async def story(_: Master, worker: LocustWorker) -> None:
        workers.append(worker)
        began = time.monotonic()
        await asyncio.wait_for(worker.stopping.wait(), 10)
        assert time.monotonic() - began >= 0.2
        assert await worker.send("tb_shots", 1) in (True, False)  # it does not hang

    tell(story, silence_s=0.3, on_gone=lambda why: told.append((why, workers[0].gone == why)))
    assert told == [("silent", True)]


@pytest.mark.parametrize("word_first", [True, False])
def test_who_stood_still_finds_the_silence_even_if_words_wait(
    monkeypatch: pytest.MonkeyPatch, *, word_first: bool
) -> None:
    """Which of the two is seen first, the word or the time, is the loop's to choose."""
    told: list[str] = []
    if word_first:

        async def asleep(_: LocustWorker) -> None:
            await asyncio.sleep(3600)

        monkeypatch.setattr(LocustWorker, "_listen_for_silence", asleep)

    async def story(master: Master, worker: LocustWorker) -> None:
        await master.say("heartbeat")
        time.sleep(1.0)  # noqa: ASYNC251  (the whole process stands still)
        await master.say("heartbeat")
        await asyncio.wait_for(worker.stopping.wait(), 10)
        assert worker.gone == "silent"

    tell(story, silence_s=0.8, on_gone=told.append)
    assert told == ["silent"]


class Wire:
    """A network between worker and master, which can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def join(self) -> None:
        self._server = await asyncio.start_server(self._both, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writers.clear()

    async def _both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def seen_cut(*ends: zmq.asyncio.Socket) -> AsyncIterator[None]:
    """Leaving waits until ZeroMQ has seen at each of the ends that the connection is gone: what is said before that
    may be written to it, and is lost, and a master takes a second connection before that for nobody's."""
    monitors = [end.get_monitor_socket(zmq.EVENT_DISCONNECTED) for end in ends]
    try:
        yield
        for monitor in monitors:
            await recv_monitor_message(monitor)
    finally:
        for end, monitor in zip(ends, monitors, strict=True):
            end.disable_monitor()
            monitor.close(linger=0)


def test_what_waited_while_the_network_was_cut_is_sent() -> None:
    kept = Said()

    async def run() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as router:
            router.setsockopt(zmq.LINGER, 0)
            wire = Wire(router.bind_to_random_port("tcp://127.0.0.1"))
            await wire.join()
            master, worker = Master(router), LocustWorker("127.0.0.1", wire.port)
            entering = asyncio.create_task(worker.__aenter__())
            await master.hears("client_ready")
            await master.say("ack", {"index": 0})
            await entering
            try:
                async with answering(master, kept), asyncio.timeout(60):
                    assert worker._link._socket is not None
                    async with seen_cut(worker._link._socket, router):
                        await wire.cut()
                    for n in range(50):
                        assert await worker.send("tb_shots", n)
                    await wire.join()
                    while len(kept) < 50:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert worker.gone == ""
            finally:
                await worker.__aexit__(None, None, None)
                await wire.cut()

    asyncio.run(run())
    assert kept == [("tb_shots", n) for n in range(50)]


@pytest.mark.parametrize("busy_s", [0.0, 1.3])
def test_what_waits_is_sent_when_the_master_wants_another_connection(busy_s: float) -> None:
    """A master that does not read for a while takes the second connection for nobody's."""
    kept = Said()

    async def story(master: Master, worker: LocustWorker) -> None:
        for n in range(500):
            await worker.send("tb_shots", n)
        before = worker._link._socket
        await master.say("reconnect")
        await asyncio.sleep(busy_s)
        async with answering(master, kept), asyncio.timeout(30):
            for n in range(500, 1000):
                await worker.send("tb_shots", n)
            while len(kept) < 1000 or worker._link._socket in (before, None) or worker._link._held is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    tell(story)
    assert kept == [("tb_shots", n) for n in range(1000)]


def test_a_full_queue_is_waited_for() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        async def say_all() -> None:
            for n in range(6000):
                assert await worker.send("tb_shots", [n, bytes(4000)])

        saying = asyncio.create_task(say_all())
        await asyncio.sleep(0.3)  # the master reads nothing
        assert not saying.done()
        numbers = [(await master.hears("tb_shots")).data[0] for _ in range(6000)]
        await saying
        assert numbers == list(range(6000))

    tell(story)
