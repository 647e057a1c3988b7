"""Claim: each iteration has one owner, whoever joins and leaves; what is lost is counted as it was scheduled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runs.load.fleet.scene import make_job
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.share import Share
from tracer_bullet.runs.load.fleet.clocks import RoundTrip, offset_of
from tracer_bullet.runs.load.fleet.duties import Duties, Duty, shards_for
from tracer_bullet.runs.load.fleet.losses import planned_requests, span_ns_of

END = 1 << 62


def owners(duties: Duties, residue: int, at_ns: int) -> list[int]:
    """Who was to send what is due then."""
    return [d.sender for d in duties.past if residue in d.residues and d.from_ns <= at_ns < d.to_ns]


EVENTS = st.lists(st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 9), st.integers(1, 50)), max_size=12)


@given(st.integers(1, 4), EVENTS)
def test_every_residue_has_one_owner_at_any_time(size: int, events: list[tuple[str, int, int]]) -> None:
    duties = Duties(shards_for(size))
    duties.begin(range(size))
    alive, number, now = list(range(size)), size, 0
    for what, which, later in events:
        now += later
        if what == "join":
            duties.join(number, now)
            alive.append(number)
            number += 1
        elif alive:
            duties.leave(alive.pop(which % len(alive)), now)
        held = Counter(r for mine in duties.owned.values() for r in mine)
        assert set(held.values()) <= {1}
        assert len(held) == (duties.shards if alive and not duties.orphaned else 0)
    for sender in alive:
        duties.retire(sender)
    duties.end()
    for at in range(now + 2):
        for residue in range(duties.shards):
            assert len(owners(duties, residue, at)) == 1


@given(st.integers(2, 9))
def test_a_loss_is_spread_evenly(size: int) -> None:
    duties = Duties(shards_for(size))
    duties.begin(range(size))
    grown = duties.leave(0, 10)
    sizes = [len(mine) for mine in duties.owned.values()]
    assert max(sizes) - min(sizes) <= 1
    assert set(grown) <= set(range(1, size))


def test_spares_go_first_and_late_ones_take_what_nobody_has() -> None:
    duties = Duties(120)
    duties.begin([0, 1])
    assert duties.join(2, 5) == frozenset()
    assert set(duties.leave(0, 10)) == {2}
    assert duties.leave(2, 20).keys() == {1}
    assert duties.leave(1, 30) == {}
    assert duties.orphaned
    assert duties.join(3, 40) == frozenset(range(120))
    assert not duties.orphaned
    # What was due meanwhile stays with the one who had it last.
    assert owners(duties, 0, 35) == [1]


def test_what_could_not_be_taken_over_in_time_is_known() -> None:
    duties = Duties(120)
    duties.begin([0, 1])
    gained = duties.leave(0, 10)[1] - frozenset(range(1, 120, 2))
    assert duties.not_taken(1, 10, 10) == []
    assert duties.not_taken(1, 10, 15) == [Duty(sender=1, residues=gained, from_ns=10, to_ns=15)]


SPANS = st.tuples(st.integers(0, 2_500_000_000), st.integers(0, 2_500_000_000))


@given(st.sets(st.integers(0, 11)), SPANS)
def test_losses_are_what_a_planner_would_have_planned(residues: set[int], span: tuple[int, int]) -> None:
    """Against the planner itself, which is asked what it would send of that share, with all time in the past."""
    job = replace(make_job("http://127.0.0.1:1", rate=30, seconds=2), shards=12, start_ns=0)
    share = Share(12, ())
    share.own(residues, min(span))
    share.own((), max(span))
    planner = Planner(job, share, now_ns=lambda: 10**15)
    for _ in planner:
        pass
    missed = planner.missed()
    duty = Duty(sender=0, residues=frozenset(residues), from_ns=min(span), to_ns=max(span))
    assert planned_requests(job, [duty]) == (0 if missed is None else len(missed))


def test_a_closed_model_has_no_schedule_to_count_by() -> None:
    job = make_job("http://127.0.0.1:1", users=3, duration="2s")
    assert planned_requests(job, [Duty(sender=0, residues=frozenset([0]), from_ns=0)]) is None
    assert span_ns_of(job) == 2_000_000_000


@given(st.integers(-(10**12), 10**12), st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1))
def test_a_clocks_offset_is_within_what_is_said(offset: int, ways: list[tuple[int, int]]) -> None:
    trips = [RoundTrip(at, at + there + offset, at + there + back) for at, (there, back) in enumerate(ways)]
    found = offset_of(trips)
    assert abs(found.ns - offset) <= found.within_ns
    assert found.within_ns <= min(there + back for there, back in ways) / 2 + 1
