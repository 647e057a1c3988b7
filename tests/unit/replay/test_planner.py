"""The plan as a whole: conservation, time, clones, shards, and a shop's visits from login to payment."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.replay.shop import SECOND, TARGET, exchange, fill, recorded_at, said, spec, visits
from tracer_bullet.errors import UsageError
from tracer_bullet.model.arrival import Arrival, Protocol, Take
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.reading.refusals import HOST_NOT_ALLOWED, WRITE_WITHOUT_BODY
from tracer_bullet.replay.survey import survey
from tracer_bullet.workspace.replay import Replay

IDENTITIES = {
    "accounts": [{"login": "tester-${n}", "secret": "s3"}],
    "places": [
        {"at": "json:$.username", "value": "${login}"},
        {"at": "json:$.password", "value": "${secret}"},
    ],
}


def planned(exchanges: list[Exchange], replay: Replay, **options: Any) -> tuple[list[Arrival], Planner]:
    planner = Planner(replay, survey(exchanges, replay), TARGET, run_id="r", **options)
    return [arrival for arrival, _ in planner.plan(exchanges)], planner


@st.composite
def recordings(draw: st.DrawFn) -> list[Exchange]:
    """Small recordings of some sessions, in order, some of it not to be sent."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 60_000),  # ms
                st.sampled_from(["", "a", "b", "c", "d"]),
                st.sampled_from(["GET", "POST", "CONNECT"]),
                st.one_of(st.none(), st.integers(0, 5000)),  # took ms
                st.booleans(),
            ),
            max_size=40,
        )
    )
    made = []
    for number, (at, session, method, took, known) in enumerate(sorted(rows, key=lambda row: row[0])):
        made.append(
            exchange(
                number,
                at=at / 1000,
                took=None if took is None else took / 1000,
                session=session,
                method=method,
                target=f"/things/{number}",
                body=b"x" if known else None,
                lacks=frozenset() if known else frozenset({Lack.REQUEST_BODY}),
            )
        )
    return made


@given(recordings(), st.sampled_from([{}, {"speed": "3x"}, {"max_gap_s": 2}, {"rate": "7/s"}, {"order": "sent"}]))
@settings(max_examples=60, deadline=None)
def test_everything_read_is_skipped_refused_or_planned_once_and_in_order(
    exchanges: list[Exchange], timing: dict[str, Any]
) -> None:
    replay = spec(timing=timing, select={"exclude_paths": ["/things/3*"]})
    arrivals, planner = planned(exchanges, replay)
    tally = planner.tally
    assert tally.read == len(exchanges)
    assert tally.read == len(arrivals) + sum(tally.skipped.values()) + sum(tally.refused.values())
    assert [a.number for a in arrivals] == list(range(len(arrivals)))
    wanted = [e.id for e in exchanges if not e.request.target.startswith("/things/3") and not e.unreplayable]
    assert [a.record for a in arrivals] == wanted
    assert all(x.due_ns <= y.due_ns for x, y in pairwise(arrivals))
    assert not arrivals or arrivals[0].due_ns == 0
    last = {a.session: a.number for a in arrivals}
    assert {a.number for a in arrivals if a.last} == set(last.values())
    by_number = {a.number: a for a in arrivals}
    for a in arrivals:
        assert a.after < a.number
        assert a.after < 0 or by_number[a.after].session == a.session


@given(recordings(), st.integers(1, 5), st.integers(1, 3), st.sampled_from([0, 0.5, 40]))
@settings(max_examples=40, deadline=None)
def test_clones_and_loops_multiply_in_order_of_due_times(
    exchanges: list[Exchange], clones: int, loop: int, spread: float
) -> None:
    once, _ = planned(exchanges, spec())
    replay = spec(timing={"clones": clones, "clone_spread_s": spread, "loop": loop})
    arrivals, planner = planned(exchanges, replay)
    assert len(arrivals) == len(once) * clones * loop
    assert all(x.due_ns <= y.due_ns for x, y in pairwise(arrivals))
    assert Counter(a.record for a in arrivals) == Counter({a.record: clones * loop for a in once})
    assert len({a.session for a in arrivals}) == len({a.session for a in once}) * clones * loop
    assert sum(a.last for a in arrivals) == len({a.session for a in arrivals})
    assert planner.tally.read == len(exchanges)
    for number in {a.session for a in arrivals}:
        mine = [a.record for a in arrivals if a.session == number]
        assert mine == [a.record for a in once if a.record in set(mine)]
    if arrivals:
        assert arrivals[-1].due_ns <= planner.span_ns + loop


@given(recordings(), st.integers(2, 5), st.sampled_from([{}, {"rate": "5/s"}, {"clones": 2, "clone_spread_s": 1}]))
@settings(max_examples=40, deadline=None)
def test_shards_are_whole_sessions_and_together_the_whole(
    exchanges: list[Exchange], count: int, timing: dict[str, Any]
) -> None:
    replay = spec(timing=timing)
    whole, _ = planned(exchanges, replay)
    parts = [planned(exchanges, replay, shard=(i, count)) for i in range(count)]
    together = [(a.due_ns, a.session, a.record) for arrivals, _ in parts for a in arrivals]
    assert sorted(together) == sorted((a.due_ns, a.session, a.record) for a in whole)
    of = [{a.session for a in arrivals} for arrivals, _ in parts]
    assert sum(map(len, of)) == len(set().union(*of))
    for arrivals, planner in parts:
        assert planner.tally.read == len(exchanges)
        copies = replay.timing.clones
        assert len(arrivals) // copies + sum((planner.skipped + planner.refused).values()) == len(exchanges)


@given(recordings(), st.floats(0.1, 50))
@settings(max_examples=40, deadline=None)
def test_speed_divides_every_due_time(exchanges: list[Exchange], speed: float) -> None:
    once, _ = planned(exchanges, spec())
    fast, planner = planned(exchanges, spec(timing={"speed": f"{speed:.6f}"}))
    assert all(abs(b.due_ns - a.due_ns / planner.speed) <= 1 for a, b in zip(once, fast, strict=True))


def test_a_rate_is_exact() -> None:
    arrivals, _ = planned([exchange(n, at=n * n, session=f"s{n}") for n in range(30)], spec(timing={"rate": "8/s"}))
    assert [a.due_ns for a in arrivals] == [n * SECOND // 8 for n in range(30)]


def test_a_shape_reaches_its_peak_and_keeps_its_form() -> None:
    times = [n * 1.0 for n in range(60)] + [60 + n * 0.1 for n in range(200)]
    exchanges = [exchange(n, at=at, session=f"s{n}") for n, at in enumerate(times)]
    arrivals, planner = planned(exchanges, spec(timing={"shape": {"peak": "30/s", "window_s": 2}}))
    due = [a.due_ns / SECOND for a in arrivals]
    busiest = max(sum(t <= d < t + 2 for d in due) for t in due) / 2
    assert busiest == pytest.approx(30, rel=0.1)
    assert due[-1] == pytest.approx((times[-1] - times[0]) / planner.speed)


def test_long_pauses_are_cut() -> None:
    exchanges = [exchange(n, at=at, session=f"s{n}") for n, at in enumerate([0, 1, 5000, 5001, 90_000])]
    replay = spec(timing={"max_gap_s": 10})
    found = survey(exchanges, replay)
    assert (found.pauses, found.pauses_ns, found.span_ns) == (2, (4989 + 84_989) * SECOND, 22 * SECOND)
    arrivals, _ = planned(exchanges, replay)
    assert [a.due_ns // SECOND for a in arrivals] == [0, 1, 11, 12, 22]


def test_a_pause_ends_a_session_and_its_number() -> None:
    exchanges = [exchange(n, at=at) for n, at in enumerate([0, 1, 4000, 4001])]
    arrivals, _ = planned(exchanges, spec())
    assert [(a.session, a.last, a.after) for a in arrivals] == [
        (0, False, -1),
        (0, True, 0),
        (1, False, -1),
        (1, True, 2),
    ]


class TestAShopsVisits:
    USERS = 5

    def arrivals(self, **timing: Any) -> list[Arrival]:
        return planned(visits(self.USERS), spec(identities=IDENTITIES, timing={"speed": "10x", **timing}))[0]

    def test_what_mints_is_taken_and_what_uses_it_has_slots(self) -> None:
        for user in range(self.USERS):
            login, products, order, look, pay = [a for a in self.arrivals() if a.session == user]
            assert login.takes == (Take("cookie:sid", "cookie", "sid"), Take("token", "json", "$.token"))
            assert order.takes == (Take("order_id", "json", "$.order.id"),)
            assert products.takes == look.takes == pay.takes == ()
            token, sid, number = f"tok{user:03d}a8f3e1c9d7b5", f"sid{user:05d}", str(90_000 + user * 37)
            assert self.slots(login) == []
            assert (
                self.slots(products)
                == self.slots(order)
                == [("head", token, "token", "raw"), ("head", sid, "cookie:sid", "raw")]
            )
            assert self.slots(look) == [("head", number, "order_id", "percent"), *self.slots(products)]
            assert self.slots(pay) == [*self.slots(products), ("body", number, "order_id", "raw")]

    @staticmethod
    def slots(arrival: Arrival) -> list[tuple[str, str, str, str]]:
        return [(s.part, recorded_at(arrival, i), s.variable, s.encoding) for i, s in enumerate(arrival.slots)]

    def test_requests_wait_for_the_answer_before(self) -> None:
        for user in range(self.USERS):
            mine = [a for a in self.arrivals() if a.session == user]
            assert [a.after for a in mine] == [-1, *[a.number for a in mine[:-1]]]

    def test_slots_with_recorded_values_give_the_request_back(self) -> None:
        values = {"token": "tok002a8f3e1c9d7b5", "cookie:sid": "sid00002", "order_id": "90074"}
        for arrival in self.arrivals():
            if arrival.session == 2:
                assert fill(arrival, values) == (arrival.head, arrival.body)

    def test_new_values_stand_where_the_old_ones_did(self) -> None:
        pay = [a for a in self.arrivals() if a.session == 2][-1]
        head, body = fill(pay, {"token": "T", "cookie:sid": "S", "order_id": "7"})
        assert b"authorization: Bearer T\r\n" in head
        assert b"cookie: theme=dark; sid=S\r\n" in head
        assert body == b'{"order_id": 7, "card": "tbp_card"}'

    def test_each_clone_has_an_account_and_keys_of_its_own(self) -> None:
        arrivals = self.arrivals(clones=3, clone_spread_s=1)
        logins = [a.body for a in arrivals if a.head.startswith(b"POST /login")]
        assert sorted(logins) == sorted(b'{"username":"tester-%d","password":"s3"}' % n for n in range(15))
        keys = {a.head.partition(b"idempotency-key: ")[2][:32] for a in arrivals if b"POST /orders" in a.head}
        assert len(keys) == 15

    def test_users_keep_their_account_over_sessions(self) -> None:
        again = [*visits(2), *[replace(e, id=f"{e.id}b", started_ns=e.started_ns + 5000 * SECOND) for e in visits(2)]]
        arrivals, _ = planned(again, spec(identities={**IDENTITIES, "by": "user"}))
        logins = [(a.session, a.body[:23]) for a in arrivals if a.head.startswith(b"POST /login")]
        assert logins == [(n, b'{"username":"tester-%d",' % (n % 2)) for n in range(4)]

    def test_arming_reaches_every_endpoint_in_one_chain(self) -> None:
        exchanges, replay = visits(self.USERS), spec(identities=IDENTITIES)
        found = survey(exchanges, replay)
        planner = Planner(replay, found, TARGET, run_id="r")
        arrivals = [a for a, _ in planner.arming(exchanges)]
        assert {a.endpoint for a in arrivals} == {e.number for e in found.endpoints}
        assert len(arrivals) == found.arming_requests == 5
        assert [(a.number, a.after, a.last, a.keep) for a in arrivals] == [(n, n - 1, n == 4, False) for n in range(5)]

    def test_noise_comes_in_pairs_with_what_leads_to_them(self) -> None:
        exchanges, replay = visits(self.USERS), spec(identities=IDENTITIES, compare={"noise_pairs": 3})
        planner = Planner(replay, survey(exchanges, replay), TARGET, run_id="r")
        arrivals = [a for a, _ in planner.noise(exchanges)]
        pairs = [(x, y) for x, y in pairwise(arrivals) if x.record == y.record]
        names = Counter(planner.endpoints[x.endpoint].name for x, _ in pairs)
        assert names == {"/products": 3, "/orders/{}": 3}
        assert all(x.keep and y.keep and x.head == y.head and y.after == x.number for x, y in pairs)
        assert sum(a.keep for a in arrivals) == 2 * len(pairs)


def test_requests_without_credentials_are_repeated_as_sessions_of_their_own() -> None:
    exchanges = [exchange(n, at=n, session=f"s{n}", target="/health") for n in range(20)]
    planner = Planner(spec(), survey(exchanges, spec()), TARGET)
    arrivals = [a for a, _ in planner.noise(exchanges)]
    assert [a.record for a in arrivals] == [f"e{n // 2}" for n in range(20)]
    assert len({a.session for a in arrivals}) == 10


def test_what_uses_minted_values_is_repeated_in_its_session_alone() -> None:
    exchanges = [
        e
        for n in range(4)
        for e in (
            exchange(
                10 * n, at=n * 10, session=f"s{n}", method="POST", target="/orders", answer=said({"id": 7700 + n})
            ),
            exchange(10 * n + 1, at=n * 10 + 1, session=f"s{n}", target=f"/orders/{7700 + n}"),
        )
    ]
    planner = Planner(spec(compare={"noise_pairs": 2}), survey(exchanges, spec()), TARGET)
    assert [(a.record, len(a.slots)) for a, _ in planner.noise(exchanges)] == [("e0", 0), ("e1", 1), ("e1", 1)] * 2


def test_writes_are_never_repeated_for_noise() -> None:
    exchanges = [exchange(n, at=n, method="POST", target="/x", body=b"1") for n in range(3)]
    planner = Planner(spec(), survey(exchanges, spec()), TARGET)
    assert list(planner.noise(exchanges)) == []


def test_a_host_header_must_be_allowed() -> None:
    exchanges = [exchange()]
    other = {"set_headers": {"Host": "admin.example"}}
    arrivals, planner = planned(exchanges, spec(rewrite=other))
    assert (arrivals, planner.refused) == ([], {HOST_NOT_ALLOWED: 1})
    arrivals, _ = planned(exchanges, spec(rewrite=other, limits={"allow": ["*.example"]}))
    assert b"\r\nhost: admin.example\r\n" in arrivals[0].head


def test_recorded_hosts_lead_to_their_addresses() -> None:
    rewrite = {"hosts": {"api.*": "https://api.test/v2", "img.example:81": "http://[::1]:9"}}
    hosts = ["api.example:443", "img.example:81", "img.example", "API.example"]
    exchanges = [exchange(n, at=n, session="", authority=host, target="/a") for n, host in enumerate(hosts)]
    arrivals, planner = planned(exchanges, spec(rewrite=rewrite))
    lines = [a.head.decode().split("\r\n")[:2] for a in arrivals]
    assert lines == [
        ["GET /v2/a HTTP/1.1", "host: api.test"],
        ["GET /a HTTP/1.1", "host: [::1]:9"],
        ["GET /a HTTP/1.1", "host: 127.0.0.1:8080"],
        ["GET /v2/a HTTP/1.1", "host: api.test"],
    ]
    origins = [planner.origins[a.origin] for a in arrivals]
    assert [(o.scheme, o.host, o.port) for o in origins] == [
        ("https", "api.test", 443), ("http", "::1", 9), ("http", "127.0.0.1", 8080), ("https", "api.test", 443)
    ]  # fmt: skip


def test_protocols() -> None:
    rpc = exchange(
        1, at=1, method="POST", target="/shop.Cart/Add", headers=(("content-type", "application/grpc"),), body=b"\0"
    )
    two = replace(exchange(2, at=2), request=replace(exchange().request, http_version="2"))
    for protocol, wanted in (("http1", "http1"), ("http2", "http2"), ("recorded", "http2")):
        arrivals, planner = planned([rpc, two], spec(protocol=protocol))
        assert [planner.origins[a.origin].protocol for a in arrivals] == [Protocol.GRPC, Protocol(wanted)]
        assert planner.endpoints[arrivals[0].endpoint].name == "/shop.Cart/Add"


def test_what_was_recorded_after_the_survey_is_not_sent() -> None:
    exchanges = [exchange(n, at=n) for n in range(5)]
    planner = Planner(spec(), survey(exchanges[:3], spec()), TARGET)
    assert len(list(planner.plan(exchanges))) == 3
    assert planner.skipped == {"recorded after the survey": 2}


def test_refusals_are_told() -> None:
    exchanges = [exchange(method="PUT", body=None, lacks=frozenset({Lack.REQUEST_BODY}))]
    found = survey(exchanges, spec())
    assert found.refused == {WRITE_WITHOUT_BODY: 1}
    assert [(e.text, e.requests, e.refused) for e in found.endpoints] == [("PUT /", 0, 1)]
    assert any("did not record bodies" in line for line in found.review)
    assert planned(exchanges, spec())[1].refused == {WRITE_WITHOUT_BODY: 1}


def test_a_loop_needs_what_can_be_read_again() -> None:
    exchanges = [exchange()]
    replay = spec(timing={"loop": 2})
    planner = Planner(replay, survey(exchanges, replay), TARGET)
    with pytest.raises(TypeError):
        list(planner.plan(iter(exchanges)))
    assert len(list(planner.plan(lambda: iter(exchanges)))) == 2


def test_accounts_of_a_file_come_first_and_must_have_the_fields() -> None:
    replay = spec(identities={"file": "users.csv", "places": [{"at": "query:user", "value": "${name}"}]})
    exchanges = [exchange(n, at=n, session=f"s{n}", target="/a?user=me&x=1") for n in range(3)]
    arrivals, _ = planned(exchanges, replay, accounts=[{"name": "ann b"}, {"name": "bob"}])
    assert [a.head.split(b" ")[1] for a in arrivals] == [
        b"/a?user=ann%20b&x=1",
        b"/a?user=bob&x=1",
        b"/a?user=ann%20b&x=1",
    ]
    with pytest.raises(UsageError, match="TB971"):
        planned(exchanges, replay, accounts=[{"login": "x"}])


def test_there_is_no_such_shard() -> None:
    with pytest.raises(UsageError, match="TB970"):
        planned([], spec(), shard=(2, 2))


def test_the_same_arguments_give_the_same_arrivals() -> None:
    replay = spec(identities=IDENTITIES, compare={"sample": "50 %"}, timing={"clones": 2})
    first, second = (planned(visits(4), replay, seed=3)[0] for _ in range(2))
    assert first == second
    assert 0 < sum(a.keep for a in first) < len(first)


def test_no_answer_to_compare_with_is_not_kept() -> None:
    exchanges = [exchange(1, answer=None), exchange(2, at=1, answer=said({}))]
    assert [a.keep for a in planned(exchanges, spec())[0]] == [False, True]
    assert [a.keep for a in planned(exchanges, spec(compare={"enabled": False}))[0]] == [False, False]


def test_answers_are_compared_by_whole_sessions() -> None:
    """What one answer mints stands in later ones: half of a session would differ for no reason."""
    exchanges = [exchange(n, at=n, session=f"s{n // 4}", answer=said({})) for n in range(800)]
    kept: dict[int, set[bool]] = {}
    for arrival in planned(exchanges, spec(compare={"sample": "50 %"}))[0]:
        kept.setdefault(arrival.session, set()).add(arrival.keep)
    assert {len(said) for said in kept.values()} == {1}
    assert 60 < sum(said == {True} for said in kept.values()) < 140
    other = planned(exchanges, spec(compare={"sample": "50 %"}), seed=7)[0]
    assert {a.session for a in other if a.keep} != {session for session, said in kept.items() if said == {True}}
