"""Claim: jobs and events come out of the wire as they went in, and nonsense is refused."""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import COLUMNS
from tracer_bullet.load.locust import frames
from tracer_bullet.model.load import CheckFailure, SenderEvent, SenderFailures, SenderJob, SenderNote, SenderShots
from tracer_bullet.model.shots import EngineNote, ShotBatch
from tracer_bullet.runs.load.fleet.packing import moved, pack_events, pack_job, read_events, read_job

SCALARS = st.one_of(st.text(max_size=5), st.integers(-(2**40), 2**40), st.booleans(), st.floats(allow_nan=False))
ROW = st.dictionaries(st.text(max_size=5), SCALARS, max_size=3)
JOBS = st.builds(
    SenderJob,
    run_id=st.text(max_size=8),
    start_ns=st.integers(0, 2**62),
    base_url=st.just("http://x"),
    scenarios=st.tuples(st.text(max_size=9)),
    variables=st.tuples(ROW),
    rows=st.tuples(st.lists(ROW, max_size=3).map(tuple)),
    weights=st.tuples(st.floats(0.1, 9)),
    engine=st.just({"connections": 5, "verify": True}),
    curves=st.dictionaries(
        st.text(max_size=3), st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), max_size=3).map(tuple), max_size=2
    ),
    shards=st.integers(1, 999),
)
LIMITS = {"q": 2**62, "i": 2**31 - 1, "Q": 2**64 - 1, "b": 15}
SHOTS = st.integers(0, 4).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            name: st.lists(st.integers(0, LIMITS[code]), min_size=n, max_size=n).map(
                lambda values, code=code: array(code, values)
            )
            for name, code in COLUMNS.items()
        }
    ).map(lambda columns: SenderShots(sender=0, batch=ShotBatch(**columns)))
)
NOTES = st.builds(
    SenderNote,
    sender=st.just(0),
    engine=st.builds(EngineNote, sent=st.integers(0, 9), waiting=st.integers(0, 9), connections=st.integers(0, 9)),
    planned=st.integers(0, 9),
    iterations=st.integers(0, 9),
    users=st.integers(0, 9),
    cpu=st.floats(0, 2),
)
FAILURES = st.builds(
    SenderFailures,
    sender=st.just(0),
    failures=st.tuples(
        st.tuples(
            st.builds(CheckFailure, endpoint=st.just(1), message=st.text(), trace_id=st.text(), row=ROW),
            st.integers(1, 9),
        )
    ),
)


@given(JOBS)
def test_a_job_comes_as_it_was(job: SenderJob) -> None:
    assert read_job(pack_job(job)) == job


@pytest.mark.parametrize("packed", [b"", b"x", pack_job.__name__.encode(), msgpack.packb({})])
def test_what_is_no_job_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="no job"):
        read_job(packed)


def through_the_wire(events: list[SenderEvent], sender: int) -> list[SenderEvent]:
    return read_events(msgpack.unpackb(msgpack.packb(pack_events(events))), sender)


@given(st.lists(st.one_of(SHOTS, NOTES, FAILURES), max_size=6))
def test_events_come_as_they_were_but_for_joined_shots(events: list[SenderEvent]) -> None:
    told = through_the_wire(events, 7)
    assert {event.sender for event in told} <= {7}
    for kind in (SenderNote, SenderFailures):
        want = [asdict(e) | {"sender": 7} for e in events if isinstance(e, kind)]
        assert [asdict(e) for e in told if isinstance(e, kind)] == want
    for name in COLUMNS:
        want_column = [v for e in events if isinstance(e, SenderShots) for v in getattr(e.batch, name)]
        assert [v for e in told if isinstance(e, SenderShots) for v in getattr(e.batch, name)] == want_column


@pytest.mark.parametrize(
    "packed",
    [[{}], [{"kind": "x"}], [{"kind": "shots"}], [{"kind": "note", "planned": 1}], [3], [{"kind": "failures"}]],
)
def test_nonsense_is_refused(packed: list[object]) -> None:
    with pytest.raises(ValueError):
        read_events(packed, 0)  # type: ignore[arg-type]


def test_columns_of_unequal_length_are_refused() -> None:
    row = {name: b"\0" * array(code).itemsize for name, code in COLUMNS.items()}
    assert len(read_events([{"kind": "shots", **row}], 0)) == 1
    with pytest.raises(ValueError, match="unequal"):
        read_events([{"kind": "shots", **row, "status": b""}], 0)


@given(SHOTS, st.integers(-(10**9), 10**9), st.integers(0, 99))
def test_times_are_put_on_our_clock_and_numbers_are_everybodys_own(
    shots: SenderShots, offset: int, sender: int
) -> None:
    batch = shots.batch
    put = moved(batch, sender=sender, offset_ns=offset)
    for name in ("due_ns", "ready_ns", "sent_ns", "first_ns", "ended_ns"):
        assert list(getattr(put, name)) == [at - offset if at else 0 for at in getattr(batch, name)]
    if len(batch) and max(batch.number) < 1 << 44 and max(batch.session) < 1 << 44:
        assert {n >> 44 for n in (*put.number, *put.session)} == {sender}
    assert put.status == batch.status


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=5), st.integers(1, 7))
def test_frames_are_cut_wherever_the_stream_is(messages: list[list[int]], size: int) -> None:
    stream = b"".join(frames.pack("kind", *m) for m in messages)
    cut, found = frames.Frames(), []
    for at in range(0, len(stream), size):
        cut.feed(stream[at : at + size])
        found += list(cut)
    assert found == [["kind", *m] for m in messages]
    assert json.dumps(found)
