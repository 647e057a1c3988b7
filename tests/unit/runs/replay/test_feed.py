"""Claim: what the feed gives is told before it is needed, counted by session, and ends at the limits."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runs.replay.flights import exchange
from tracer_bullet.model.arrival import Arrival, Origin
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.runs.replay.feed import BATCH, Feed
from tracer_bullet.workspace.sending import LimitsSpec

ORIGINS = [Origin(number=n, scheme="http", host=f"h{n}", port=80) for n in range(3)]


def arrival(
    number: int, *, session: int = 0, last: bool = False, origin: int = 0, keep: bool = False, due_ns: int = 0
) -> Arrival:
    head = b"GET /a?x=1 HTTP/1.1\r\nhost: h\r\n"
    return Arrival(number, due_ns, session, origin, 0, head, record=f"e-{number}", last=last, keep=keep)


def feed(arrivals: list[Arrival], limits: LimitsSpec | None = None, told: list[Origin] | None = None) -> Feed:
    planned: Iterator[tuple[Arrival, Exchange]] = ((a, exchange(a.record)) for a in arrivals)
    define = (told if told is not None else []).append
    return Feed(planned, origins=ORIGINS, define=define, limits=limits)


def given_by(made: Feed) -> list[int]:
    return [a.number for batch in made for a in batch]


def test_all_is_given_in_order_and_remembered_until_taken() -> None:
    made = feed([arrival(n) for n in range(BATCH + 5)])
    assert [len(batch) for batch in made] == [BATCH, 5]
    assert made.planned == BATCH + 5
    found = made.take(3)
    assert found is not None
    assert (found.record, found.target, found.exchange) == ("e-3", b"/a?x=1", None)
    assert made.take(3) is None
    assert len(made.flying) == BATCH + 4


def test_only_what_is_compared_keeps_its_recording() -> None:
    made = feed([arrival(0, keep=True)])
    list(made)
    found = made.take(0)
    assert found is not None
    assert found.exchange is not None
    assert found.exchange.id == "e-0"


def test_an_origin_is_told_once_before_it_is_needed() -> None:
    told: list[Origin] = []
    made = feed([arrival(0), arrival(1, origin=2), arrival(2, origin=2), arrival(3)], told=told)
    given_by(made)
    assert told == [ORIGINS[0], ORIGINS[2]]


@given(st.lists(st.integers(0, 3), max_size=60))
def test_requests_are_counted_by_session(sessions: list[int]) -> None:
    lasts = {s: max(i for i, other in enumerate(sessions) if other == s) for s in set(sessions)}
    made = feed([arrival(i, session=s, last=lasts[s] == i) for i, s in enumerate(sessions)])
    given_by(made)
    for i, s in enumerate(sessions):
        found = made.take(i)
        assert found is not None
        assert found.nth == sessions[: i + 1].count(s)
        assert found.last == (lasts[s] == i)
    assert not made._sessions, "ended sessions are forgotten"


def test_a_limit_on_requests() -> None:
    made = feed([arrival(n) for n in range(500)], LimitsSpec(requests=130))
    assert given_by(made) == list(range(130))
    assert (made.planned, made.over) == (130, "limits.requests")


def test_a_limit_that_is_not_reached_is_not_told() -> None:
    made = feed([arrival(n) for n in range(130)], LimitsSpec(requests=130))
    assert len(given_by(made)) == 130
    assert made.over == ""


def test_a_limit_on_time_goes_by_the_schedule() -> None:
    made = feed([arrival(n, due_ns=n * 100_000_000) for n in range(50)], LimitsSpec(duration_s=2))
    assert given_by(made) == list(range(21))
    assert made.over == "limits.duration_s"


def test_after_a_stop_all_that_was_planned_has_been_given() -> None:
    """Else the engine could not tell that it was not sent, and it would be lost silently."""
    arrivals = [arrival(n) for n in range(300)]

    def planned() -> Iterator[tuple[Arrival, Exchange]]:
        for one in arrivals:
            if one.number == 200:
                made.stop()
            yield one, exchange(one.record)

    made = Feed(planned(), origins=ORIGINS, define=lambda _: None)
    given = given_by(made)
    assert len(given) == made.planned == len(made.flying) == 201
