"""Claim: a trace is whole when all its requests came back, in whatever order, and what never left leaves no shot."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import START, batch
from tests.unit.runs.replay.flights import flying, row, trace_of
from tracer_bullet.model import SpanKind, SpanStatus, Trace
from tracer_bullet.runs.replay.bullets import Bullets, rows_in
from tracer_bullet.runs.replay.feed import Flying
from tracer_bullet.scenario import BulletResult

URL = "http://127.0.0.1:80/a"


def gather(per_request: bool = False) -> Bullets:
    return Bullets("shopping", "run-1", random.Random(1), count(), per_request=per_request)


def fly(bullets: Bullets, rows: Sequence[tuple[dict[str, int], Flying]], share: float = 1.0) -> list[BulletResult]:
    """What each row completes, in the order of the rows."""
    done = []
    made = batch([r for r, _ in rows])
    by_number = {f.number: f for _, f in rows}
    for one in rows_in(made, share):
        found = bullets.add(one, by_number[one.number], f"GET /{one.number}", URL)
        done += [found] if found is not None else []
    return done


def session(session: int, length: int, first: int = 0, **of: dict[str, object]) -> list[tuple[dict[str, int], Flying]]:
    """The rows of a session; `of`: more of the n-th row, as n2={"error": "slot"}."""
    rows = []
    for nth in range(1, length + 1):
        more = of.get(f"n{nth}", {})
        number = first + nth - 1
        rows.append(
            (dict(row(number, session=session, **more)), flying(number, session=session, nth=nth, last=nth == length))  # type: ignore[arg-type]
        )
    return rows


@given(st.permutations(range(5)))
def test_a_trace_is_whole_when_all_are_back_in_whatever_order(order: list[int]) -> None:
    rows = session(3, 5)
    bullets = gather()
    *before, last = [fly(bullets, [rows[i]]) for i in order]
    assert all(not done for done in before)
    (bullet,) = last
    assert [s.step for s in bullet.shots] == [f"GET /{n}" for n in range(5)]
    assert bullet.trace_id == trace_of(3)
    assert bullets.rest() == []


@given(st.permutations([(s, n) for s in range(3) for n in range(4)]))
def test_sessions_do_not_mix(order: list[tuple[int, int]]) -> None:
    rows = {s: session(s, 4, first=10 * s) for s in range(3)}
    done = fly(gather(), [rows[s][n] for s, n in order])
    assert sorted(b.trace_id for b in done) == sorted(trace_of(s) for s in range(3))
    assert [b.bullet for b in done] == [0, 1, 2], "numbered as they end"
    assert all({s.trace_id for s in b.shots} == {b.trace_id} and len(b.shots) == 4 for b in done)
    assert all(s.bullet == b.bullet for b in done for s in b.shots)


def test_requests_may_be_traces_of_their_own() -> None:
    rows = [(dict(row(n, trace_lo=n + 1)), flying(n, nth=n + 1)) for n in range(3)]
    assert [len(b.shots) for b in fly(gather(per_request=True), rows)] == [1, 1, 1]


def test_what_never_left_counts_but_leaves_no_shot() -> None:
    (bullet,) = fly(gather(), session(0, 3, n2={"error": "slot", "sent": False}))
    assert [s.step for s in bullet.shots] == ["GET /0", "GET /2"]
    assert (
        fly(gather(), session(0, 2, n1={"error": "slot", "sent": False}, n2={"error": "stopped", "sent": False})) == []
    )


def test_what_could_not_connect_has_no_trace_to_await() -> None:
    """Nobody can have answered, and its span would begin in 1970."""
    (bullet,) = fly(gather(), session(0, 2, n1={"error": "connect", "sent": False}))
    assert [s.step for s in bullet.shots] == ["GET /1"]
    assert min(s.start_ns for s in bullet.spans) >= START


def test_an_answer_that_did_not_come_is_a_shot() -> None:
    (bullet,) = fly(gather(), session(0, 1, n1={"error": "answer-timeout"}))
    (shot,) = bullet.shots
    assert (shot.status, shot.error) == (None, "answer-timeout")
    root, step = bullet.spans
    assert root.status is step.status is SpanStatus.ERROR
    assert step.attributes["error.type"] == "answer-timeout"


def test_a_stopped_run_gives_what_it_has() -> None:
    bullets = gather()
    fly(bullets, session(0, 3)[:2])
    fly(bullets, session(1, 2, first=10, n1={"error": "stopped", "sent": False})[:1])
    (bullet,) = bullets.rest()
    assert (bullet.trace_id, len(bullet.shots)) == (trace_of(0), 2)
    assert bullets.rest() == []


def test_spans_are_a_tree_of_the_harness() -> None:
    (bullet,) = fly(gather(), session(0, 3, n3={"status": 503}))
    trace = Trace.of(bullet.trace_id, bullet.spans)
    (root,) = trace.roots
    steps = trace.children(root)
    assert [s.kind for s in (root, *steps)] == [SpanKind.INTERNAL, *[SpanKind.CLIENT] * 3]
    assert {s.span_id for s in steps} == {s.span_id for s in bullet.shots}
    assert root.start_ns == min(s.start_ns for s in steps)
    assert root.end_ns == max(s.end_ns for s in steps)
    assert all(s.attributes["tb.request_type"] == "TRACE" for s in trace.spans)
    assert [s.status for s in steps] == [SpanStatus.UNSET, SpanStatus.UNSET, SpanStatus.ERROR]


def test_a_share_takes_whole_traces() -> None:
    lows = [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(400)]
    made = batch([row(n, trace_lo=lows[n // 2]) for n in range(800)])
    kept = [r.trace_id for r in rows_in(made, 0.25)]
    assert 0 < len(kept) < 800
    assert all(kept.count(t) == 2 for t in set(kept))
    assert not list(rows_in(made, 0.0))
