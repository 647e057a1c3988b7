"""The open model: every iteration of the schedule is handed over once, by one sender, at its time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.jobs import job, scenario
from tests.unit.load.profile.stages import any_stage
from tests.unit.load.simulated import Clock, Run
from tracer_bullet.errors import UsageError
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.share import Share
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.load import SenderJob
from tracer_bullet.model.shots import SHOT_ERRORS
from tracer_bullet.workspace.traffic import StageSpec

_NS = 1_000_000_000
_STALE = SHOT_ERRORS.index("stale")


def flat(lists: Iterable[list[Arrival]]) -> list[Arrival]:
    return [arrival for some in lists for arrival in some]


def begins(arrivals: Iterable[Arrival]) -> list[int]:
    """When iterations begin, in the order of their arrivals."""
    return [a.due_ns for a in arrivals if a.after < 0]


def due_of(stages: list[StageSpec], arrivals: str = "even", seed: int = 1) -> list[int]:
    blocks = Profile(stages, arrivals=arrivals, seed=seed).due_ns()
    return [int(due) for block in blocks for due in block]


def written(stages: list[StageSpec]) -> list[dict]:
    return [s.model_dump(by_alias=True, exclude_unset=True, mode="json") for s in stages]


@given(st.lists(any_stage, min_size=1, max_size=2), st.sampled_from(["even", "poisson"]), st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=25)
def test_senders_together_send_the_schedule_however_their_shares_move(
    stages: list[StageSpec], arrivals: str, shards: int, data: st.DataObject
) -> None:
    whole = due_of(stages, arrivals)
    work = job({"stages": written(stages), "arrivals": arrivals}, shards=shards)
    owners = data.draw(st.lists(st.integers(0, 1), min_size=shards, max_size=shards))
    clock = Clock(-_NS)
    shares = [Share(shards, [r for r in range(shards) if owners[r] == who]) for who in (0, 1)]
    planners = [Planner(work, share, now_ns=clock, pull_s=0.0001) for share in shares]
    sources = [iter(planner) for planner in planners]
    sent: list[list[Arrival]] = [[], []]
    open_ = {0, 1}
    while open_:
        for who in (0, 1):
            while made := next(sources[who], None):
                sent[who] += made
            if made is None:
                open_.discard(who)
        if data.draw(st.integers(0, 9)) == 0:
            owners = data.draw(st.lists(st.integers(0, 1), min_size=shards, max_size=shards))
            since = clock.now_ns + 2 * _NS
            for who, share in enumerate(shares):
                assert share.own([r for r in range(shards) if owners[r] == who], since) == since
        clock.now_ns += _NS // 2
    assert sorted(begins(sent[0]) + begins(sent[1])) == whole
    for who in (0, 1):
        assert len({a.number for a in sent[who]}) == len(sent[who]) == planners[who].planned
        assert len({a.session for a in sent[who]}) == planners[who].iterations == len(begins(sent[who]))
        assert planners[who].missed() is None
        assert all(a <= b for a, b in pairwise(begins(sent[who])))


def test_nothing_is_handed_over_long_before_its_time() -> None:
    run = Run(job({"rate": "100/s", "duration": "20s"}))
    for arrivals in run:
        assert 0 < len(arrivals) <= 64
        assert max(a.due_ns for a in arrivals) <= run.clock.now_ns + _NS
    assert run.planner.iterations == 2000


def test_an_iteration_is_a_session_whose_steps_wait_for_each_other() -> None:
    (first, second, third) = flat(Run(job({"rate": "1/s", "duration": "1s", "think": "2s"}, steps=3)))
    assert first.due_ns == _NS // 2
    assert [a.endpoint for a in (first, second, third)] == [0, 1, 2]
    assert (first.after, second.after, third.after) == (-1, first.number, second.number)
    assert (first.pause_ns, second.pause_ns, third.pause_ns) == (-1, 2 * _NS, 2 * _NS)
    assert (first.needs, second.needs, third.last) == (False, True, True)
    # What comes first in a frame of the feeder's must not hold the others up.
    assert {a.due_ns for a in (first, second, third)} == {_NS // 2}


def test_pauses_are_drawn_for_each_and_are_the_same_for_all_senders() -> None:
    work = job({"rate": "200/s", "duration": "5s", "think": "1s..3s"})
    pauses = [a.pause_ns / _NS for a in flat(Run(work)) if a.pause_ns >= 0]
    assert len(set(pauses)) == len(pauses) == 1000
    assert min(pauses) >= 1
    assert max(pauses) < 3
    assert np.mean(pauses) == pytest.approx(2, abs=0.1)
    halves = [
        flat(Run(job({"rate": "200/s", "duration": "5s", "think": "1s..3s"}, shards=2), Share(2, [r]))) for r in (0, 1)
    ]
    again = [a.pause_ns / _NS for half in halves for a in half if a.pause_ns >= 0]
    assert sorted(again) == sorted(pauses)


def test_scenarios_are_mixed_by_weight_and_keep_their_endpoints() -> None:
    browse = scenario(None, steps=3, name="browse")
    work = job({"rate": "1024/s", "duration": "4s", "think": "1s"}, weight=1, others=((browse, 3.0),))
    run = Run(work)
    arrivals = flat(run)
    counts = Counter(a.endpoint for a in arrivals)
    assert dict(counts) == {0: 1024, 1: 1024, 2: 3072, 3: 3072, 4: 3072}
    assert [e.number for e in run.planner.endpoints] == [0, 1, 2, 3, 4]
    assert [s.name for s in run.planner.steps][1:3] == ["checkout / step 1", "browse / step 0"]
    # Without a `load` of its own it pauses as the main one.
    assert {a.pause_ns for a in arrivals if a.endpoint == 3} == {_NS}
    assert run.planner.origins[0].port == 8080


def test_rows_are_used_in_order_whatever_else_is_in_the_traffic() -> None:
    browse = scenario({"rate": "1/s", "duration": "1s", "data": [{"file": "b.csv"}]}, steps=1, name="browse")
    rows = (tuple({"sku": f"a{i}"} for i in range(7)), tuple({"sku": f"b{i}"} for i in range(5)))
    load = {"rate": "100/s", "duration": "3s", "data": [{"file": "a.csv"}]}
    run = Run(job(load, steps=1, others=((browse, 1.0),), rows=rows))
    targets = [a.head.split(b" ")[1].rsplit(b"/", 1)[1].decode() for a in flat(run)]
    for letter, size in (("a", 7), ("b", 5)):
        mine = [t for t in targets if t.startswith(letter)]
        assert mine == [f"{letter}{i % size}" for i in range(len(mine))]


@pytest.mark.parametrize("shards", [1, 3])
def test_traffic_ends_with_the_last_unique_row_on_every_sender(shards: int) -> None:
    rows = (tuple({"sku": f"a{i}"} for i in range(50)),)
    browse = scenario(None, steps=1, name="browse")
    load = {"rate": "100/s", "duration": "1h", "data": [{"file": "a.csv", "order": "unique"}]}
    work = job(load, steps=1, others=((browse, 1.0),), rows=rows, shards=shards)
    runs = [Run(work, Share(shards, [residue])) for residue in range(shards)]
    heads = [a.head for run in runs for a in flat(run) if a.endpoint == 0]
    assert len(set(heads)) == len(heads) == 50
    assert {run.planner.ending for run in runs} == {"the 50 rows of checkout are used up, and each is used once"}


def test_random_rows_are_the_same_for_all_and_come_about_equally_often() -> None:
    rows = (tuple({"sku": f"a{i}"} for i in range(10)),)
    load = {"rate": "1000/s", "duration": "5s", "data": [{"file": "a.csv", "order": "random"}]}
    one, other = ([a.head for a in flat(Run(job(load, steps=1, rows=rows)))] for _ in range(2))
    assert one == other
    counts = Counter(one)
    assert len(counts) == 10
    assert all(400 < n < 600 for n in counts.values())


def test_a_unique_feed_without_rows_is_refused() -> None:
    load = {"rate": "1/s", "duration": "1s", "data": [{"file": "a.csv", "order": "unique"}]}
    with pytest.raises(UsageError) as refused:
        Planner(job(load), Share(1, [0]))
    assert refused.value.code == "TB1003"


def test_it_stops_after_so_many_iterations() -> None:
    run = Run(job({"rate": "100/s", "duration": "1h", "stop": {"iterations": 1234}}))
    assert len(begins(flat(run))) == 1234
    assert run.planner.ending == "stop.iterations is reached"
    assert Run(job({"rate": "1/s", "duration": "10s", "stop": {"iterations": 11}})).planner.ending == ""


def test_a_share_of_iterations_keeps_its_answers_the_same_on_every_sender() -> None:
    load = {"rate": "1000/s", "duration": "5s", "checks": 0.2}
    taking = scenario(load, steps=1).replace('"request"', '"expect": {"json": {"$.id": 1}}, "request"')

    def kept(residues: list[int]) -> set[int]:
        work = job(load, steps=1, shards=2)
        work = SenderJob(**{**{f: getattr(work, f) for f in work.__slots__}, "scenarios": (taking,)})
        return {a.due_ns for a in flat(Run(work, Share(2, residues))) if a.keep}

    both = kept([0, 1])
    assert 850 < len(both) < 1150
    assert kept([0]) | kept([1]) == both


def test_what_is_too_late_is_told_and_not_sent() -> None:
    run = Run(job({"rate": "200/s", "duration": "60s", "stale": "2s"}, start_ns=5 * _NS))
    handed: list[Arrival] = []
    for arrivals in run:
        handed += arrivals
        if 10 * _NS < run.clock.now_ns < 11 * _NS:
            run.clock.now_ns += 20 * _NS  # everything stood still
    missed = run.planner.missed()
    assert missed is not None
    assert run.planner.missed() is None
    assert set(missed.error) == {_STALE}
    assert set(missed.sent_ns) == {0}
    numbers = [a.number for a in handed] + list(missed.number)
    assert len(set(numbers)) == len(numbers) == 24_000 == run.planner.planned
    assert run.planner.iterations == 12_000
    assert run.planner.stale * 2 == len(missed)
    assert Counter(missed.endpoint) == {0: run.planner.stale, 1: run.planner.stale}
    due = sorted([5 * _NS + a.due_ns for a in handed if a.after < 0] + list(missed.due_ns)[::2])
    assert due == [5 * _NS + ns for ns in due_of([StageSpec.model_validate({"for": "60s", "rate": "200/s"})])]
    # Of the 20 s one had been handed over before, and the last two were not too late.
    assert 3_360 < run.planner.stale < 3_440


def test_memory_is_bounded_when_nobody_takes_what_was_missed() -> None:
    work = job({"rate": "10000/s", "duration": "100s"})
    planner = Planner(work, Share(1, [0]), now_ns=Clock(99 * _NS))
    source = iter(planner)
    for _ in range(3):
        assert next(source) == []
    assert len(planner.missed() or ()) < 300_000
    assert next(source) == []
    assert planner.stale < 300_000


def test_a_late_sender_begins_where_its_share_does() -> None:
    share = Share(4, [])
    share.own([1], 1800 * _NS)
    clock = Clock(1790 * _NS)
    run = Run(job({"rate": "1000/s", "duration": "1801s"}, shards=4), share, clock=clock)
    due = begins(flat(run))
    assert run.planner.missed() is None
    assert len(due) == 250
    assert min(due) >= 1800 * _NS


def test_a_sender_that_owns_nothing_waits_for_what_it_may_be_given() -> None:
    share = Share(2, [])
    run = Run(job({"rate": "100/s", "duration": "10s"}, shards=2), share)
    source = iter(run.planner)
    for _ in range(3):
        assert next(source) == []
    assert share.own([0, 1], 5 * _NS) == 5 * _NS
    run.clock.now_ns = 5 * _NS
    assert min(begins(next(source))) >= 5 * _NS


@pytest.mark.parametrize("load", [{"rate": "1/h", "duration": "10h"}, {"users": 3, "duration": "10h"}])
def test_stop_wakes_an_iteration_that_waits(load: dict) -> None:
    planner = Planner(job(load), Share(1, [0]), now_ns=Clock(0), pull_s=600)
    pulled = threading.Event()
    ended = threading.Event()

    def pull() -> None:
        for arrivals in planner:
            if not arrivals:
                pulled.set()
        ended.set()

    thread = threading.Thread(target=pull)
    thread.start()
    assert pulled.wait(30)
    planner.stop()
    assert ended.wait(30)
    thread.join()
