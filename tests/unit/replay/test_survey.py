"""What a survey says of a recording, and which beginnings of sessions reach every endpoint."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.replay.shop import SECOND, START, exchange, spec, visits
from tracer_bullet.model.exchange import Lack
from tracer_bullet.replay.cover import Prefix, choose
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.survey import survey


def test_it_counts_what_is_there() -> None:
    exchanges = visits(5)
    found = survey(exchanges, spec(select={"exclude_paths": ["/pay"]}))
    assert (found.read, found.to_send, found.sessions, found.skipped) == (25, 20, 5, {"path excluded": 5})
    assert {e.text: e.requests for e in found.endpoints} == {
        "POST /login": 5, "GET /products": 5, "POST /orders": 5, "GET /orders/{}": 5
    }  # fmt: skip
    assert found.hosts == {"shop.example": 20}
    assert (found.first_ns, found.last_ns) == (START, START + round(0.42 * SECOND))
    assert found.span_ns == found.last_ns - found.first_ns
    assert found.curve.counts == (20,)
    assert found.busiest_per_s == 2.0
    assert found.review == ()
    assert [c.minted for c in found.correlations] == [
        "POST /login cookie:sid", "POST /login $.token", "POST /orders $.order.id"
    ]  # fmt: skip
    (token,) = [c for c in found.correlations if c.variable == "token"]
    assert (token.sessions, token.uses) == (5, 15)


def test_an_empty_recording() -> None:
    found = survey([], spec())
    assert (found.read, found.sessions, found.arming_requests, found.endpoints) == (0, 0, 0, ())
    assert found.review == ("nothing is to be sent: of 0 exchanges read, none is selected and may be sent",)
    assert list(Planner(spec(), found, "http://h").plan([])) == []


def test_what_is_to_be_looked_at() -> None:
    exchanges = [
        exchange(0, authority="a", lacks=frozenset({Lack.SUBSECOND, Lack.START})),
        exchange(1, at=50, authority="b", session="t"),
        exchange(2, at=40, method="PUT", body=b"x", lacks=frozenset({Lack.REQUEST_BODY_CUT})),
    ]
    replay = spec(timing={"max_gap_s": 10, "clones": 2}, proof={"max_arming_requests": 1})
    exchanges[1] = exchange(1, at=50, authority="b", session="t", target="/x")
    review = survey(exchanges, replay).review
    wanted = [
        "bodies were cut",
        "sessions are cloned without `identities`",
        "requests of 2 hosts all go to the one target (a, b)",
        "1 times have whole seconds only",
        "of 1 exchanges only the end is known",
        "1 exchanges stand behind later ones",
        "1 pauses are cut, 40 s in all",
        "it takes 2 requests to reach every endpoint once",
    ]
    assert len(review) == len(wanted)
    assert all(part in line for part, line in zip(wanted, review, strict=True))


class TestCover:
    def test_the_shortest_beginnings_are_taken(self) -> None:
        exchanges = [
            *[exchange(n, at=n, session="long", target=t) for n, t in enumerate(["/a", "/a", "/a", "/b", "/c"])],
            *[exchange(10 + n, at=10 + n, session="short", target=t) for n, t in enumerate(["/b", "/a"])],
            exchange(20, at=20, session="", target="/c"),
        ]
        found = survey(exchanges, spec())
        names = [(p.session, p.requests, {found.endpoints[e].name for e in p.endpoints}) for p in found.cover]
        assert names == [(0, 1, {"/a"}), (1, 1, {"/b"}), (2, 1, {"/c"})]

    def test_one_longer_beginning_may_do_for_all(self) -> None:
        walks = {"all": ["/a", "/b", "/c"], "x": ["/a", "/x"], "y": ["/b", "/b", "/y"]}
        exchanges = [
            exchange(10 * at + n, at=at * 10 + n, session=session, target=target)
            for at, (session, targets) in enumerate(walks.items())
            for n, target in enumerate(targets)
        ]
        found = survey(exchanges, spec())
        assert [(p.session, p.requests) for p in found.cover] == [(0, 3), (1, 2), (2, 3)]

    @given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6), min_size=1, max_size=8))
    @settings(deadline=None)
    def test_it_reaches_every_endpoint_and_the_plan_agrees(self, walks: list[list[str]]) -> None:
        exchanges = [
            exchange(100 * s + n, at=n + s / 10, session=f"s{s}", target=f"/{name}")
            for s, walk in enumerate(walks)
            for n, name in enumerate(walk)
        ]
        exchanges.sort(key=lambda e: e.started_ns)
        found = survey(exchanges, spec())
        arrivals = list(Planner(spec(), found, "http://h").arming(exchanges))
        assert {e.request.target for _, e in arrivals} == {e.request.target for e in exchanges}
        assert len(arrivals) == found.arming_requests
        assert found.arming_requests <= sum(map(len, walks))
        for _, session in itertools.groupby(arrivals, key=lambda pair: pair[0].session):
            chain = [a for a, _ in session]
            assert [a.after for a in chain] == [-1, *[a.number for a in chain[:-1]]]
            assert [a.last for a in chain] == [False] * (len(chain) - 1) + [True]

    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(1, 9), st.frozensets(st.integers(0, 9), min_size=1)), max_size=9
        )
    )
    def test_the_choice_reaches_what_all_reach(self, rows: list[tuple[int, int, frozenset[int]]]) -> None:
        # A longer beginning of a session reaches what a shorter one does.
        reached: dict[int, frozenset[int]] = {}
        candidates = []
        for session, requests, endpoints in sorted(rows, key=lambda row: row[1]):
            reached[session] = reached.get(session, frozenset()) | endpoints
            candidates.append(Prefix(session=session, requests=requests, endpoints=reached[session]))
        chosen = choose(candidates)
        assert frozenset().union(*(c.endpoints for c in chosen)) == frozenset().union(
            *(c.endpoints for c in candidates)
        )
        assert len({c.session for c in chosen}) == len(chosen)


def test_folding_late_changes_no_count() -> None:
    words = [f"{a}{b}" for a in "bcdfgh" for b in ("ook", "ug", "ap", "ell", "oat", "at")]
    exchanges = [exchange(n, at=n, session=f"s{n}", target=f"/products/{word}") for n, word in enumerate(words * 2)]
    found = survey(exchanges, spec())
    assert [(e.text, e.requests) for e in found.endpoints] == [("GET /products/{}", 72)]
    assert found.arming_requests == 1
    assert {a.endpoint for a, _ in Planner(spec(), found, "http://h").plan(exchanges)} == {0}


def test_memory_stays_with_the_sessions_under_way() -> None:
    def endless(count: int) -> object:
        for n in range(count):
            yield exchange(n, at=n * 3.0, session=f"s{n // 3}", target=f"/orders/{n}")

    found = survey(endless(15_000), spec(timing={"session_gap_s": 10}))  # type: ignore[arg-type]
    assert (found.read, found.sessions) == (15_000, 5_000)
    assert len(found.lasts.bits) < 15_000 // 8 + 8192
    assert sum(n in found.lasts for n in range(15_000)) == 5_000
