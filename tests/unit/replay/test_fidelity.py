"""Claim: the replay is measured against the recording, whatever the order in which answers come back."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model.replay import Fidelity
from tracer_bullet.model.shots import ShotBatch
from tracer_bullet.replay.fidelity import FidelityMeter, _Load

S = 1_000_000_000
BASE = 1_700_000_000 * S


@dataclass
class Sent:
    number: int
    session: int
    nth: int
    is_last: int
    due_ns: int
    sent_ns: int
    ended_ns: int
    recorded: tuple[int, int | None]


def batch_of(rows: list[Sent]) -> ShotBatch:
    def column(code: str, values: list[int]) -> array[int]:
        return array(code, values)

    n = len(rows)
    return ShotBatch(
        number=column("q", [r.number for r in rows]),
        session=column("q", [r.session for r in rows]),
        endpoint=column("i", [0] * n),
        origin=column("i", [0] * n),
        trace_hi=column("Q", [1] * n),
        trace_lo=column("Q", [1] * n),
        span_id=column("Q", [1] * n),
        due_ns=column("q", [r.due_ns for r in rows]),
        ready_ns=column("q", [r.due_ns for r in rows]),
        sent_ns=column("q", [r.sent_ns for r in rows]),
        first_ns=column("q", [r.ended_ns for r in rows]),
        ended_ns=column("q", [r.ended_ns for r in rows]),
        status=column("i", [200] * n),
        error=column("b", [0] * n),
        request_bytes=column("q", [1] * n),
        answer_bytes=column("q", [1] * n),
    )


def see(meter: FidelityMeter, rows: list[Sent]) -> None:
    meter.see(batch_of(rows), [r.recorded for r in rows], [r.nth for r in rows], [bool(r.is_last) for r in rows])


def sessions(lengths: list[int], late_ns: list[int]) -> list[Sent]:
    """Sessions one after the other, a request each second, each late by some of `late_ns`."""
    rows: list[Sent] = []
    for session, length in enumerate(lengths):
        for nth in range(1, length + 1):
            number = len(rows)
            due = BASE + number * S
            sent = due + late_ns[number % len(late_ns)]
            rows.append(Sent(number, session, nth, nth == length, due, sent, sent + S // 2, (due, due + S // 2)))
    return rows


def measured(rows: list[Sent], order: list[int], size: int = 7) -> Fidelity:
    meter = FidelityMeter()
    for at in range(0, len(order), size):
        see(meter, [rows[i] for i in order[at : at + size]])
    assert not meter._sessions, "nothing is kept of sessions that have ended"
    return meter.result(len(rows))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_of_coming_back_changes_nothing_but_the_sample_of_gaps(lengths: list[int], random: object) -> None:
    rows = sessions(lengths, [0, 3_000_000])
    order = list(range(len(rows)))
    in_order = measured(rows, order)
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = measured(rows, order)
    for name in ("sessions", "pairs", "in_order", "lost", "repeated", "concurrency_recorded", "concurrency_replayed"):
        assert getattr(mixed, name) == getattr(in_order, name), name
    assert in_order.sessions == len(lengths)
    assert in_order.pairs == sum(length - 1 for length in lengths)
    assert (in_order.in_order, in_order.lost, in_order.repeated) == (1.0, 0, 0)


def test_what_overtakes_its_forerunner_is_out_of_order() -> None:
    rows = sessions([3], [2 * S, 0])  # the first is sent with the third, after the second
    assert measured(rows, [1, 0, 2]).in_order == 0.5


def test_gap_errors_are_of_neighbours_in_the_schedule() -> None:
    gaps = measured(sessions([4], [0, 5_000_000]), [0, 1, 2, 3]).gap_error
    assert (gaps.count, gaps.p50_ms, gaps.max_ms) == (3, pytest.approx(5.0), pytest.approx(5.0))


def test_losses_and_repetitions() -> None:
    rows = sessions([1, 1, 1], [0])
    rows[1].sent_ns = 0
    meter = FidelityMeter()
    see(meter, rows)
    see(meter, [rows[2]])
    result = meter.result(3)
    assert (result.lost, result.repeated) == (1, 1)


def test_concurrency_is_over_time() -> None:
    two_at_once = [Sent(n, n, 1, 1, BASE, BASE, BASE + 2 * S, (BASE, None if n else BASE + S)) for n in range(2)]
    result = measured(two_at_once, [0, 1])
    assert result.concurrency_replayed == (pytest.approx(2.0), 2)
    assert result.concurrency_recorded is None, "not every duration is known"


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**11)), min_size=1, max_size=40))
def test_the_most_under_way_is_that_of_the_busiest_tenth(spans: list[tuple[int, int]]) -> None:
    load = _Load()
    steps: Counter[int] = Counter()
    for started, length in spans:
        load.add(BASE + started, BASE + started + length)
        steps[(BASE + started) // (S // 10)] += 1
        steps[(BASE + started + length) // (S // 10) + 1] -= 1
    running = [sum(step for at, step in steps.items() if at <= tenth) for tenth in steps]
    assert load.result()[1] == max(running)


def test_a_day_of_load_takes_few_bytes_a_second() -> None:
    load = _Load()
    for second in range(86_400):
        load.add(BASE + second * S, BASE + second * S + S // 3)
    held = sys.getsizeof(load._steps) + sum(sys.getsizeof(steps) for steps in load._steps.values())
    assert held < 86_400 * 80
    assert load.result() == (pytest.approx(1 / 3, rel=1e-3), 1)
