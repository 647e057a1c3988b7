"""A run of hours is one chain of arrivals for each user: nothing of those that have ended may be kept."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tracer_bullet.engine import wire
from tracer_bullet.engine.child import Child
from tracer_bullet.engine.client import Shot, now_ns
from tracer_bullet.engine.schedule.cookies import Jar
from tracer_bullet.engine.schedule.sessions import Plot, Session
from tracer_bullet.model.arrival import Arrival, Origin, Slot, Take
from tracer_bullet.model.exchange import Answer

KINDS = (Shot, Plot, Session, Jar, Answer, asyncio.Handle)
HEAD = b"GET /orders/0 HTTP/1.1\r\nhost: h\r\n"
ANSWER = Answer(status=200, headers=(("set-cookie", "sid=1; Path=/"),), body=b'{"id": "17"}')


class Echo:
    """A client whose every request is answered in the loop's next turn."""

    waiting = connections = resent = 0

    def __init__(self, done: Callable[[Shot], None]) -> None:
        self._done = done

    def send(self, shot: Shot) -> None:
        shot.sent_ns = shot.first_ns = now_ns()
        asyncio.get_running_loop().call_soon(self._end, shot)

    def sweep(self, now: int) -> None:
        pass

    def drop(self) -> list[Shot]:
        return []

    halt = drop

    async def close(self) -> None:
        pass

    def _end(self, shot: Shot) -> None:
        shot.ended_ns, shot.status, shot.answer = now_ns(), 500 if shot.number % 50 == 7 else 200, ANSWER
        self._done(shot)


class Out(asyncio.Transport):
    """The driver's end: frames are dropped."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Engine:
    """A `Child` without its process, which is given frames as by its socket."""

    def __init__(self) -> None:
        self.child = Child(Out(), asyncio.Event())
        self.say(wire.pack(wire.SETTINGS, {"trace": "session"}))
        self.say(wire.pack_origin(Origin(number=0, scheme="http", host="127.0.0.1", port=9)))
        self.child._clients[0] = Echo(self.child._scheduler.done)
        self.say(wire.pack(wire.ENDPOINT, 0, ["2xx"], 0.0))
        self.say(wire.pack(wire.START, 0))

    def say(self, frame: bytes) -> None:
        self.child._frames.feed(frame)
        for kind, *members in self.child._frames:
            self.child._handle(kind, members)

    async def until(self, under_way: int) -> None:
        """Wait until so few are known."""
        while len(self.child._scheduler.known) > under_way:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.child._flush()


def living() -> Counter[str]:
    gc.collect()
    return Counter(type(o).__name__ for o in gc.get_objects() if isinstance(o, KINDS))


def iteration(number: int, after: int) -> Iterable[Arrival]:
    """Three steps of a user: cookies, a value that is taken, one that is needed."""
    for step in range(3):
        yield Arrival(
            number=number + step, due_ns=0, session=number, origin=0, endpoint=0, head=HEAD, cookies=True,
            takes=(Take("id", "json", "$.id"),) if not step else (), last=step == 2,
            slots=(Slot("head", 12, 1, "id"),) if step == 1 else (),
            after=number + step - 1 if step else after, pause_ns=step * 1000 if step or after >= 0 else -1,
            needs=step > 0,
        )  # fmt: skip


def test_what_has_ended_just_now_is_known_to_have_ended() -> None:
    """Its figures have not been told yet."""

    async def run() -> int:
        engine = Engine()
        engine.say(wire.pack_arrivals(list(iteration(0, -1))[:1]))
        while engine.child._scheduler.known:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert len(engine.child._finished) == 1
        engine.say(wire.pack_arrivals(list(iteration(0, -1))[1:]))
        await engine.until(0)
        await engine.child.close()
        return engine.child._scheduler.sent

    assert asyncio.run(run()) == 3


@pytest.mark.parametrize("in_time", [True, False])
def test_a_users_chain_leaves_nothing_behind(*, in_time: bool) -> None:
    """`in_time`: the next iteration comes while the last one is under way, as planned, or when it has ended."""

    async def run() -> list[Counter[str]]:
        engine, counts = Engine(), []
        for part in range(4):
            for n in range(300):
                number = (part * 300 + n) * 3
                engine.say(wire.pack_arrivals(list(iteration(number, number - 1))))
                await engine.until(3 if in_time else 0)
            counts.append(living())  # in time, the chain goes on
        await engine.until(0)
        counts.append(living())
        scheduler = engine.child._scheduler
        assert not scheduler._sessions
        assert not scheduler._timed
        assert scheduler.sent > 3000
        await engine.child.close()
        return counts

    before = living()  # other tests' own
    *during, after = (count - before for count in asyncio.run(run()))
    for count in during:
        assert count["Shot"] <= (3 if in_time else 0)
        assert count["Plot"] <= (3 if in_time else 0)
        assert count["Session"] <= (2 if in_time else 0)
        assert sum(count.values()) <= 30
    assert not any(after[kind.__name__] for kind in (Shot, Plot, Session, Jar))
