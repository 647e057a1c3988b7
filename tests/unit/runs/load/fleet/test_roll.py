"""Claim: a member that is not what it should be is not trusted with a share, and each kind of silence is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.shot_batches import batch, shot
from tests.unit.runs.load.fleet.scene import make_job
from tracer_bullet import __version__
from tracer_bullet.load.locust import frames
from tracer_bullet.model.load import SenderChange, SenderEvent, SenderShots
from tracer_bullet.runs.load.fleet.member import PINGS
from tracer_bullet.runs.load.fleet.packing import pack_events, pack_job, read_job
from tracer_bullet.runs.load.fleet.roll import MARGIN_NS, Roll

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


class Stage:
    """A roll whose members are played by the test, and whose time is the test's."""

    def __init__(self, *, waits: bool = True) -> None:
        self.now = START - 5 * SECOND
        self.said: list[tuple[str | None, str, Any]] = []
        self.told: list[SenderEvent | None] = []
        self.roll = Roll(self, self.told.append, lambda: self.now, waits=waits)

    def tell(self, client: str | None, kind: str, data: Mapping[str, Any]) -> None:
        self.said.append((client, kind, data))

    def send(self, *members: Any) -> None:
        self.said.append((members[1], members[0], None))

    def join(self, client: str, *, version: str = __version__, skew: int = 0, way: int = 1_000_000) -> None:
        self.roll.joined(client)
        for _ in range(PINGS):
            *_, (to, kind, data) = self.said
            if (to, kind) != (client, frames.PING):
                return
            self.now += 2 * way
            pong = {"at_ns": data["at_ns"], "here_ns": data["at_ns"] + way + skew, "name": client, "version": version}
            self.roll.message(client, frames.PONG, pong)

    def begin(self, *, seconds: float = 20) -> None:
        job = replace(make_job("http://127.0.0.1:1", rate=10, seconds=seconds), start_ns=START)
        self.roll.begin(job, pack_job(job), span_ns=int(seconds * SECOND), linger_s=0)

    def says(self, client: str, kind: str, **data: Any) -> None:
        self.roll.message(client, kind, {"epoch": 1, **data})

    def beats(self, count: int, *heard: str) -> None:
        for _ in range(count):
            self.now += SECOND // 2
            for client in heard:
                self.says(client, frames.EVENTS, events=[])
            self.roll.beat()

    def heard(self, client: str, kind: str) -> list[Any]:
        return [data for to, what, data in self.said if to == client and what == kind]

    def changes(self, what: str) -> list[tuple[int, str]]:
        return [(c.sender, c.detail) for c in self.told if isinstance(c, SenderChange) and c.what == what]

    @property
    def over(self) -> bool:
        return self.told[-1:] == [None]


def test_the_start_is_told_by_each_ones_own_clock_and_its_times_are_put_back() -> None:
    stage = Stage()
    stage.join("fast", skew=7 * SECOND)
    stage.join("slow", skew=-3 * SECOND)
    stage.begin()
    orders = [stage.heard(name, frames.JOB)[0] for name in ("fast", "slow")]
    assert [order["start_ns"] - START for order in orders] == [7 * SECOND, -3 * SECOND]
    assert set(orders[0]["residues"]) | set(orders[1]["residues"]) == set(range(120))
    job = read_job(b"".join(p["piece"] for p in stage.heard("fast", frames.PIECE)))
    assert ({order["shards"] for order in orders}, len(job.rows[0])) == ({120}, 200)
    shots = SenderShots(sender=0, batch=batch([shot(number=5, due=START + 7 * SECOND)]))
    stage.says("fast", frames.EVENTS, events=pack_events([shots]))
    (told,) = [event for event in stage.told if isinstance(event, SenderShots)]
    assert told.batch.due_ns[0] == START


@pytest.mark.parametrize(
    ("how", "why"), [({"version": "0.0.0"}, "0.0.0"), ({"way": 400_000_000}, "its clock cannot be told")]
)
def test_who_cannot_be_trusted_does_not_join(how: dict[str, Any], why: str) -> None:
    stage = Stage()
    stage.join("odd", **how)
    assert stage.roll.here == []
    assert why in stage.roll.refused[0]
    assert stage.heard("odd", frames.DROP)
    stage.roll.joined("odd")  # Locust has it again
    assert stage.roll.here == []


@pytest.mark.parametrize("data", [{"events": 3}, {"events": [{"kind": "?"}]}, {}, {"epoch": 1, "events": [{}]}])
def test_who_talks_nonsense_is_lost(data: dict[str, Any]) -> None:
    stage = Stage()
    stage.join("a")
    stage.join("b")
    stage.begin()
    stage.says("a", frames.EVENTS, **data)
    assert [sender for sender, _ in stage.changes("lost")] == [0]
    assert [sender for sender, _ in stage.changes("took")] == [1]
    assert not stage.over


def test_silence_is_noticed_and_the_share_moves_to_a_time_that_is_safe() -> None:
    stage = Stage()
    stage.join("a")
    stage.join("b")
    stage.now = START
    stage.begin()
    stage.beats(12, "b")
    assert stage.changes("lost") == []
    stage.beats(1, "b")
    assert stage.changes("lost") == [(0, "it told nothing for 6 s")]
    (share,) = stage.heard("b", frames.SHARE)
    assert share["residues"] == list(range(120))
    assert share["from_ns"] == stage.now - START + MARGIN_NS
    assert [kind for to, kind, _ in stage.said if to == "a"][-2:] == [frames.DROP, frames.FORGET]
    stage.says("b", frames.ENDED, rows=0, why="")
    assert stage.over
    # 10/s by two, until the other one took over.
    a, b = stage.roll.members
    assert a.unaccounted == pytest.approx(10 / 2 * share["from_ns"] / SECOND, abs=1)
    assert b.unaccounted == 0


def test_what_was_taken_over_too_late_is_counted() -> None:
    stage = Stage()
    stage.join("a")
    stage.join("b")
    stage.now = START
    stage.begin()
    stage.roll.missing("a")
    (share,) = stage.heard("b", frames.SHARE)
    stage.says("b", frames.TOOK, from_ns=share["from_ns"], since_ns=share["from_ns"] + 4 * SECOND)
    stage.says("b", frames.ENDED, rows=0, why="")
    assert stage.roll.members[1].unaccounted == pytest.approx(20, abs=1)


def test_a_lost_share_waits_for_somebody_but_not_for_ever() -> None:
    stage = Stage()
    stage.join("a")
    stage.now = START
    stage.begin(seconds=60)
    stage.roll.left("a")
    assert not stage.over
    stage.beats(10)
    stage.join("late")
    (order,) = stage.heard("late", frames.JOB)
    assert len(order["residues"]) == 60
    stage.roll.left("late")
    stage.beats(32)
    assert stage.over


def test_alone_on_this_machine_nobody_is_waited_for() -> None:
    stage = Stage(waits=False)
    stage.join("a")
    stage.begin()
    stage.roll.left("a")
    assert stage.over


def test_who_does_not_stop_is_lost() -> None:
    stage = Stage()
    stage.join("a")
    stage.now = START
    stage.begin()
    stage.beats(4, "a")
    stage.roll.stop()
    assert stage.heard("a", frames.HALT) == [{"epoch": 1}]
    stage.beats(20, "a")
    assert not stage.over
    stage.beats(1, "a")
    assert stage.changes("lost") == [(0, "it did not stop within 10 s")]
    assert stage.over
    assert stage.roll.members[0].unaccounted == pytest.approx(20, abs=1)


def test_who_never_ends_is_stopped_some_time_after_the_schedule() -> None:
    stage = Stage()
    stage.join("a")
    stage.now = START
    stage.begin(seconds=2)
    stage.beats(4 + 59, "a")
    assert stage.heard("a", frames.HALT) == []
    stage.beats(5, "a")
    assert stage.heard("a", frames.HALT) != []


def test_what_was_said_and_never_came_is_counted() -> None:
    stage = Stage()
    stage.join("a")
    stage.begin()
    stage.says("a", frames.ENDED, rows=17, why="")
    assert stage.over
    assert stage.roll.members[0].unaccounted == 17


def test_words_of_an_earlier_job_are_passed_over() -> None:
    stage = Stage()
    stage.join("a")
    stage.begin()
    stage.roll.message("a", frames.ENDED, {"epoch": 0, "rows": 0, "why": ""})
    stage.roll.message("nobody", frames.ENDED, {"epoch": 1, "rows": 0, "why": ""})
    assert not stage.over


def test_whoever_leaves_in_order_is_not_lost() -> None:
    stage = Stage()
    stage.join("a")
    stage.begin()
    stage.says("a", frames.ENDED, rows=0, why="")
    stage.roll.bye()
    stage.roll.left("a")
    assert (stage.roll.here, stage.changes("lost")) == ([], [])
