"""Frames between driver and engine: what goes in comes out, however the stream is cut."""

from __future__ import annotations

from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine import wire
from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.columns import read_shots
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin, Protocol, Slot, Take
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.shots import SHOT_ERRORS, EngineNote

BIG = st.integers(0, 2**62)
SMALL = st.integers(0, 2**31 - 1)
SLOT = st.builds(Slot, st.sampled_from(["head", "body"]), SMALL, SMALL, st.text(max_size=5), st.just("percent"))
TAKE = st.builds(Take, st.text(max_size=5), st.just("json"), st.text(max_size=5), st.text(max_size=5))
ARRIVAL = st.builds(
    Arrival, number=BIG, due_ns=BIG, session=BIG, origin=SMALL, endpoint=SMALL, head=st.binary(), body=st.binary(),
    after=st.integers(-1, 2**62), slots=st.lists(SLOT, max_size=2).map(tuple),
    takes=st.lists(TAKE, max_size=2).map(tuple),
    last=st.booleans(), keep=st.booleans(), record=st.just(""),  # it stays with the driver
    pause_ns=st.integers(-1, 2**62), needs=st.booleans(), cookies=st.booleans(),
)  # fmt: skip


@given(st.lists(ARRIVAL, max_size=20))
def test_arrivals_come_out_as_they_went_in(arrivals: list[Arrival]) -> None:
    kind, *members = wire.unpack(wire.pack_arrivals(arrivals)[4:])
    assert kind == wire.ARRIVALS
    rows, few = wire.read_arrivals(members)
    back = []
    for index, (number, due, session, origin, endpoint, last, head, body) in enumerate(rows):
        after, keep, slots, takes, pause_ns, needs, cookies = few.get(index, (-1, False, (), (), -1, False, False))
        back.append(
            Arrival(number=number, due_ns=due, session=session, origin=origin, endpoint=endpoint, head=head, body=body,
                    last=bool(last), after=after, keep=keep, slots=slots, takes=takes, pause_ns=pause_ns, needs=needs,
                    cookies=cookies)
        )  # fmt: skip
    assert back == arrivals


@given(st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=40), BIG), max_size=8), st.integers(1, 9))
def test_frames_survive_any_cut(frames: list[tuple[str, bytes, int]], size: int) -> None:
    stream = b"".join(wire.pack(*frame) for frame in frames)
    reader, seen = wire.Frames(), []
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        seen += list(reader)
    assert seen == [list(frame) for frame in frames]


def _shots(rows: list[tuple[int, ...]]) -> list[Shot]:
    shots = []
    for row in rows:
        shot = Shot(row[0], row[1], row[2], row[3] % 1000, row[4] % 1000, b"", b"")
        shot.trace, shot.span = f"{row[5]:032x}".encode(), f"{row[6]:016x}".encode()
        shot.ready_ns, shot.sent_ns, shot.first_ns, shot.ended_ns = row[7:11]
        shot.status, shot.error = row[0] % 600, row[1] % len(SHOT_ERRORS)
        shot.request_bytes, shot.answer_bytes = row[2], row[3]
        shots.append(shot)
    return shots


ROW = st.tuples(BIG, BIG, BIG, BIG, BIG, st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1), BIG, BIG, BIG, BIG)


@given(st.lists(ROW, max_size=20), st.integers(-(2**60), 2**60))
def test_shots_come_out_as_columns(rows: list[tuple[int, ...]], unix_ns: int) -> None:
    shots = _shots(rows)
    batch = read_shots(wire.unpack(wire.pack_shots(wire.columns_of(shots))[4:])[1:], unix_ns)
    assert len(batch) == len(shots)
    assert len({len(getattr(batch, name)) for name in batch.__dataclass_fields__}) == 1
    for n, shot in enumerate(shots):
        for name in ("number", "session", "endpoint", "origin", "status", "error", "request_bytes", "answer_bytes"):
            assert getattr(batch, name)[n] == getattr(shot, name)
        for name in ("due_ns", "ready_ns", "sent_ns", "first_ns", "ended_ns"):
            time_ns = getattr(shot, name)
            assert getattr(batch, name)[n] == (time_ns + unix_ns if time_ns else 0)
        assert f"{batch.trace_hi[n]:016x}{batch.trace_lo[n]:016x}".encode() == shot.trace
        assert f"{batch.span_id[n]:016x}".encode() == shot.span


def test_the_rest_comes_out_as_it_went_in() -> None:
    note = EngineNote(sent=1, waiting=2, connections=3, backed_off=4, starved=5, resent=6, disabled=True)
    assert wire.read_note(wire.unpack(wire.pack_note(note)[4:])[1:]) == note
    origin = Origin(number=7, scheme="https", host="::1", port=443, protocol=Protocol.GRPC)
    assert wire.read_origin(wire.unpack(wire.pack_origin(origin)[4:])[1:]) == origin
    endpoint = Endpoint(number=3, method="GET", name="/x", statuses=("2xx", "404"), timeout_s=1.5)
    assert wire.read_endpoint(wire.unpack(wire.pack_endpoint(endpoint)[4:])[1:]) == (3, ("2xx", "404"), 1.5)
    shot = Shot(5, 0, 0, 0, 0, b"", b"")
    shot.answer = Answer(status=200, headers=(("a", "\xe9"), ("a", "b")), body=b"\xff", trailers=(("t", "u"),))
    shot.cut = True
    (kept,) = wire.read_kept(wire.unpack(wire.pack_kept([shot])[4:])[1:])
    assert astuple(kept) == (5, astuple(shot.answer), True)
