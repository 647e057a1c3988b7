"""What a real master says only now and then, said by a scripted one: no worker starts twice, or forgets to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack
import pytest
import zmq
import zmq.asyncio

from tests.unit.engine.shot_batches import batch, shot
from tracer_bullet.engine.locust_worker import LocustWorker, Started
from tracer_bullet.engine.locust_worker.messages import Message, unpack
from tracer_bullet.model.arrival import Endpoint


class Master:
    """A ROUTER that says what it is told to. Heartbeats and statistics are kept apart from the rest."""

    def __init__(self, router: zmq.asyncio.Socket) -> None:
        self._router = router
        self.reports: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.node = b""

    async def say(self, kind: str, data: Any = None) -> None:
        await self._router.send_multipart([self.node, msgpack.packb((kind, data, self.node.decode()))])

    async def spawn(self, timestamp: float, users: int, **more: Any) -> None:
        counts = {"Replay": users, "Other": 5}
        job = {"timestamp": timestamp, "user_classes_count": counts, "host": None, "stop_timeout": 0}
        await self.say("spawn", job | {"parsed_options": {"headless": False}} | more)

    async def hear(self) -> Message:
        """The next message that is neither a heartbeat, which is answered as a real master does, nor statistics."""
        async with asyncio.timeout(10):
            while True:
                self.node, raw = await self._router.recv_multipart()
                message = unpack(raw)
                assert message is not None
                if message.kind == "stats":
                    self.reports.append(message.data)
                elif message.kind == "heartbeat":
                    self.beats.append(message.data)
                    await self.say("heartbeat")
                else:
                    return message

    async def hears(self, *kinds: str) -> Message:
        for kind in kinds:
            message = await self.hear()
            assert message.kind == kind
        return message


Story = Callable[[Master, LocustWorker], Awaitable[None]]


def tell(story: Story, **options: Any) -> Master:
    async def run() -> Master:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as router:
            port = router.bind_to_random_port("tcp://127.0.0.1")
            router.setsockopt(zmq.LINGER, 0)
            master = Master(router)
            worker = LocustWorker("127.0.0.1", port, **options)

            async def welcome() -> None:
                assert (await master.hears("client_ready")).data == -1
                await master.say("ack", {"index": 3})

            async def work() -> None:
                async with worker:
                    await story(master, worker)

            greeting = asyncio.create_task(welcome())
            await work()
            await greeting
            if not worker.gone:
                await master.hears("quit")
            return master

    return asyncio.run(run())


def started(worker: LocustWorker) -> asyncio.Task[Started | None]:
    return asyncio.create_task(worker.wait_for_start())


def test_a_worker_without_a_user_waits_until_it_gets_one() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        waiting = started(worker)
        await master.spawn(1.0, 0)
        assert (await master.hears("spawning", "spawning_complete")).data["user_count"] == 0
        assert not waiting.done()
        await master.spawn(2.0, 1)
        complete = await master.hears("spawning", "spawning_complete")
        assert complete.data == {"user_classes_count": {"Replay": 1}, "user_count": 1}
        assert await waiting == Started(index=3, users=1, host="", headless=False)
        await worker.finish()

    tell(story)


def test_more_users_do_not_start_it_again_and_old_jobs_are_passed_over() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(5.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        await master.spawn(4.0, 9)
        await master.spawn(5.0, 9)
        await master.say("spawn", {"timestamp": "soon"})
        await master.spawn(6.0, 3)
        assert (await master.hears("spawning", "spawning_complete")).data["user_count"] == 3
        assert not worker.stopping.is_set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.wait_for_start(), 0.05)
        await worker.finish()

    tell(story)


def test_a_replay_that_is_over_stays_over_when_the_master_spreads_users_anew() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        await worker.finish()
        await master.spawn(2.0, 2)
        assert (await master.hears("spawning", "spawning_complete")).data["user_count"] == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.wait_for_start(), 0.05)
        await master.say("stop")
        await master.hears("client_stopped", "client_ready")
        await master.say("ack", {"index": 3})
        await master.spawn(3.0, 1)
        await master.hears("spawning", "spawning_complete")
        assert await worker.wait_for_start() is not None
        await worker.finish()

    tell(story)


def test_no_users_any_more_ends_the_replay() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        await master.spawn(2.0, 0)
        await master.hears("spawning", "spawning_complete")
        await asyncio.wait_for(worker.stopping.wait(), 5)
        assert worker.gone == ""
        await worker.finish()

    tell(story)


def test_the_last_figures_come_before_the_word_that_it_has_stopped() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        await master.say("stop")
        await asyncio.wait_for(worker.stopping.wait(), 5)
        worker.record(batch([shot(), shot()]), {0: Endpoint(number=0, method="GET", name="/a")})
        await worker.finish()
        await master.hears("client_stopped")
        assert sum(report["stats_total"]["num_requests"] for report in master.reports) == 2
        assert [entry[:2] for report in master.reports for entry in report["tb_histograms"]["entries"]] == [
            ["GET", "/a"]
        ]
        await master.hears("client_ready")

    tell(story)


def test_a_stop_before_anybody_has_begun_is_answered_at_once() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.say("stop")
        await master.hears("spawning", "spawning_complete", "client_stopped", "client_ready")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.wait_for_start(), 0.05)

    tell(story)


def test_it_connects_anew_when_told_to_and_goes_on() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        before = worker._link._socket
        await master.say("reconnect")
        async with asyncio.timeout(10):
            while worker._link._socket is before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await worker.report_exception("still here")
        assert (await master.hears("exception")).data == {"msg": "still here", "traceback": ""}
        assert not worker.stopping.is_set()
        await worker.finish()

    tell(story)


def test_words_that_nobody_knows_change_nothing() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        for kind, data in (("heartbeat", None), ("update_user_class", {}), ("spawn", None), ("ack", None), ("x", [1])):
            await master.say(kind, data)
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        assert await worker.wait_for_start() is not None
        assert worker.index == 3
        await worker.finish()

    tell(story)


def test_silence_ends_the_replay() -> None:
    async def story(master: Master, worker: LocustWorker) -> None:
        await master.spawn(1.0, 1)
        await master.hears("spawning", "spawning_complete")
        await worker.wait_for_start()
        await asyncio.wait_for(worker.stopping.wait(), 10)
        assert worker.gone == "silent"
        assert await worker.wait_for_start() is None
        await worker.finish()

    master = tell(story, silence_s=0.4, usage=lambda: (12.5, 1000))
    assert {(b["current_cpu_usage"], b["current_memory_usage"]) for b in master.beats} <= {(12.5, 1000)}
