"""The closed model: users of the profile, each with one iteration after the other, timed by the engine."""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.jobs import job, scenario
from tests.unit.load.profile.stages import any_users
from tests.unit.load.simulated import Clock, Run, batch_of
from tracer_bullet.load.choice import word
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.share import Share
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.workspace.traffic import StageSpec

_NS = 1_000_000_000
_MS = 1_000_000


def took_10_to_20_ms(arrival: Arrival) -> int:
    return 10 * _MS + word(1, 1, arrival.number) % (10 * _MS)


class Seen:
    """What was handed over, by user: users are told apart by whose end their next iteration waits for."""

    def __init__(self, run: Run, steps: int) -> None:
        self.run = run
        self.first: list[Arrival] = []
        self.most_under_way = 0
        self.planned = 0
        for arrivals in run:
            assert len(arrivals) <= 64
            self.planned += len(arrivals)
            self.first += [a for a in arrivals if a.number % steps == 0]
            self.most_under_way = max(self.most_under_way, run.planner.under_way)
        run.finish()

    def begun_ns(self) -> list[int]:
        """When iterations began, in ns from the schedule's start."""
        return [self.run.engine.begun[a.number] - self.run.engine.start_ns for a in self.first]


def written(stages: list[StageSpec]) -> list[dict]:
    return [s.model_dump(by_alias=True, exclude_unset=True, mode="json") for s in stages]


@given(any_users, st.sampled_from(["0s", "50ms", "20ms..200ms"]), st.sampled_from([0, 3 * _MS, 70 * _MS]))
@settings(deadline=None, max_examples=25)
def test_users_are_never_more_than_said_and_every_iteration_comes_back(
    stages: list[StageSpec], between: str, told_after_ns: int
) -> None:
    stages = [stage.model_copy(update={"for_s": min(stage.for_s or 1, 1.5)}) for stage in stages]
    profile = Profile(stages)
    run = Run(job({"stages": written(stages), "between": between}), took=took_10_to_20_ms, told_after_ns=told_after_ns)
    seen = Seen(run, 2)
    spans = [span for user in range(profile.most_users) for span in profile.user_spans(user)]
    begun = sorted(seen.begun_ns())
    # The second step takes 10 ms at least.
    ends = sorted(run.engine.begun[a.number + 1] - run.engine.start_ns + 10 * _MS for a in seen.first)
    for index, at in enumerate(begun):
        # None begins when its user has ended; what began before may go on, for 40 ms at most.
        assert any(begin <= at < end for begin, end in spans)
        under_way = index + 1 - bisect_right(ends, at)
        assert under_way <= sum(begin <= at and at - 40 * _MS < end for begin, end in spans)
    assert run.planner.under_way == 0
    assert run.planner.users == 0
    assert run.planner.planned == seen.planned == 2 * run.planner.iterations == 2 * len(begun)
    assert seen.most_under_way <= 2 * profile.most_users


def test_the_engine_times_the_next_iteration_of_a_user() -> None:
    run = Run(job({"users": 1, "duration": "30s", "between": "100ms"}, steps=1), told_after_ns=60 * _MS)
    seen = Seen(run, 1)
    gaps = [b - a for a, b in pairwise(seen.begun_ns())]
    # 10 ms and the pause, exactly, though news of an end come late; but near the user's end it cannot be planned ahead.
    assert gaps[:-3] == [110 * _MS] * (len(gaps) - 3)
    assert {a.pause_ns for a in seen.first[1:-3]} == {100 * _MS}
    assert all(b.after == a.number for a, b in pairwise(seen.first[:-3]))
    assert seen.first[0].after == -1
    assert seen.begun_ns()[-1] < 30 * _NS


def test_users_begin_and_end_as_the_profile_says() -> None:
    stages = [{"for": "10s", "users_to": 5}, {"for": "10s", "users_to": 0}]
    run = Run(job({"stages": stages, "between": "40ms"}, steps=1))
    there = [(run.clock.now_ns, run.planner.users) for _ in run]
    profile = Profile([StageSpec.model_validate(s) for s in stages])
    for now_ns, users in there:
        around = [profile.users_at((now_ns + off * _MS) / _NS) for off in (-100, 0, 500)]
        assert min(around) <= users <= max(around)
    assert max(users for _, users in there) == 5


def test_what_is_handed_over_never_holds_the_feeder_up() -> None:
    run = Run(job({"users": 20, "duration": "5s", "between": "1s..60s", "think": "30s"}))
    for arrivals in run:
        assert max(a.due_ns for a in arrivals) <= run.clock.now_ns + _NS // 2


def test_scenarios_of_users_come_by_weight_and_pause_as_their_own_load_says() -> None:
    browse = scenario({"users": 1, "duration": "1s", "between": "90ms"}, steps=1, name="browse")
    work = job({"users": 10, "duration": "60s", "between": "10ms"}, steps=1, others=((browse, 1.0),))
    seen = Seen(Run(work), 1)
    share = sum(a.endpoint == 1 for a in seen.first) / len(seen.first)
    assert share == pytest.approx(0.5, abs=0.03)
    by_number = {a.number: a for a in seen.first}
    for arrival in seen.first:
        if arrival.pause_ns >= 0:
            assert arrival.pause_ns == (90 if by_number[arrival.after].endpoint == 1 else 10) * _MS


@pytest.mark.parametrize("most", [1, 7, 500])
def test_it_stops_after_so_many_iterations(most: int) -> None:
    run = Run(job({"users": 8, "duration": "1h", "stop": {"iterations": most}}, steps=1))
    assert len(Seen(run, 1).first) == most
    assert run.clock.now_ns < 60 * _NS


def test_senders_divide_users_rows_and_the_count_of_iterations() -> None:
    rows = (tuple({"sku": f"a{i}"} for i in range(40)),)
    load = {"users": 10, "duration": "1h", "data": [{"file": "a.csv", "order": "unique"}], "stop": {"iterations": 30}}
    for shards, most in ((4, 30), (64, 30)):
        work = job(load, steps=1, rows=rows, shards=shards)
        runs = [Run(work, Share(shards, [r for r in range(shards) if r % 2 == who])) for who in (0, 1)]
        heads = [a.head for run in runs for a in Seen(run, 1).first]
        assert len(set(heads)) == len(heads) == most


def test_a_user_that_moves_begins_there_when_it_ends_here() -> None:
    work = job({"users": 3, "duration": "20s", "between": "50ms"}, steps=1, shards=3)
    here, there = Run(work, Share(3, [0, 1, 2])), Run(work, Share(3, []))
    here.share.own([0, 1], 10 * _NS)
    there.share.own([2], 10 * _NS)
    ours, theirs = Seen(here, 1), Seen(there, 1)
    assert max(theirs.begun_ns()) < 20 * _NS
    assert min(theirs.begun_ns()) == 10 * _NS
    before = sum(t < 10 * _NS for t in ours.begun_ns())
    after = sum(t >= 10 * _NS for t in ours.begun_ns())
    assert before / after == pytest.approx(1.5, rel=0.05)
    assert len(theirs.first) == pytest.approx(after / 2, rel=0.05)


def test_a_share_taken_while_it_runs_begins_its_users_with_numbers_of_its_own() -> None:
    rows = (tuple({"sku": f"a{i}"} for i in range(1000)),)
    load = {"users": 2, "duration": "10s", "between": "90ms", "data": [{"file": "a.csv", "order": "random"}]}
    run = Run(job(load, steps=1, shards=2, rows=rows), Share(2, [0]))
    users: dict[int, int] = defaultdict(int)
    for _ in run:
        users[run.planner.users] += 1
        if run.clock.now_ns > 5 * _NS and run.share.residues == {0}:
            assert run.share.own([0, 1], 6 * _NS) == 6 * _NS
    assert set(users) <= {0, 1, 2}
    assert users[1] > 30
    assert users[2] > 30
    assert run.planner.iterations == pytest.approx(140, abs=5)


def test_a_sender_whose_share_is_taken_ends_its_users() -> None:
    run = Run(job({"users": 4, "duration": "8s"}, steps=1, shards=2), Share(2, [0, 1]))
    run.share.own([], 3 * _NS)
    seen = Seen(run, 1)
    assert 2.9 * _NS < max(seen.begun_ns()) < 3 * _NS
    assert run.planner.users == 0
    assert run.clock.now_ns >= 8 * _NS  # it may be given users again


@pytest.mark.parametrize("since_ns", [0, 3 * _NS, 4 * _NS])
def test_a_share_taken_in_the_middle_ends_users_then_or_at_once(since_ns: int) -> None:
    run = Run(job({"users": 4, "duration": "8s"}, steps=1, shards=2), Share(2, [0, 1]))
    begun: list[int] = []
    for arrivals in run:
        begun += [a.number for a in arrivals]
        if run.clock.now_ns >= 3 * _NS and run.share.residues:
            run.share.own([], since_ns)
    last_ns = max(run.engine.begun[number] for number in begun)
    end_ns = max(since_ns, 3 * _NS)
    # What was planned behind the iteration under way goes on.
    assert end_ns - 50 * _MS < last_ns < end_ns + 50 * _MS
    assert run.planner.users == 0


def test_what_comes_back_wakes_an_iteration_that_waits_for_it() -> None:
    planner = Planner(job({"users": 1, "duration": "1h"}, steps=1), Share(1, [0]), now_ns=Clock(0), pull_s=600)
    lists: queue.Queue[list[Arrival]] = queue.Queue()

    def pull() -> None:
        for arrivals in planner:
            lists.put(arrivals)

    thread = threading.Thread(target=pull)
    thread.start()
    one, two = lists.get(timeout=30)
    assert (one.after, two.after) == (-1, one.number)
    assert lists.get(timeout=30) == []
    planner.came_back(batch_of([(10 * _MS, one)]))
    (three,) = lists.get(timeout=30)
    assert three.after == two.number
    planner.stop()
    thread.join()
