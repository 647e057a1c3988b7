"""Which values are taken from answers and put into later requests, and which are left alone."""

from __future__ import annotations

import json
import zlib
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.replay.shop import JSON, TARGET, asked, exchange, fill, recorded_at, said, spec
from tracer_bullet.model.arrival import Arrival, Take
from tracer_bullet.model.exchange import Answer, Exchange, Headers
from tracer_bullet.replay.correlation.answers import minted, set_cookie
from tracer_bullet.replay.found import Survey
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.survey import survey


def plan(exchanges: list[Exchange], **parts: Any) -> tuple[list[Arrival], Survey, Planner]:
    replay = spec(**parts)
    found = survey(exchanges, replay)
    planner = Planner(replay, found, TARGET, run_id="r")
    return [a for a, _ in planner.plan(exchanges)], found, planner


def slots(arrival: Arrival) -> list[tuple[str, str]]:
    return [(recorded_at(arrival, i), s.variable) for i, s in enumerate(arrival.slots)]


def sessions(count: int, *steps: Any) -> list[Exchange]:
    """`count` sessions of these steps, each from the session's number to an exchange's options."""
    return [
        exchange(user * 100 + place, at=user * 10 + place, session=f"u{user}", **step(user))
        for user in range(count)
        for place, step in enumerate(steps)
    ]


def mint(user: int) -> str:
    return f"k{user:02d}f7e3a9d1c5b8"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("answer", "take"),
    [
        (lambda v: said({"a": [{"b": v}]}), Take("b", "json", "$.a[0].b")),
        (lambda v: Answer(status=200, headers=(("X-CSRF-Token", v),)), Take("csrf", "header", "x-csrf-token")),
        (
            lambda v: Answer(status=201, headers=(("Location", f"http://h/base/things/{v}?x=1"),)),
            Take("things_id", "header", "location", "/base/things/([^/?#]+)"),
        ),
        (
            lambda v: Answer(status=302, headers=(("Location", f"/cb?code={v}&x=1"),)),
            Take("code", "header", "location", "[?&]code=([^&#]+)"),
        ),
        (
            lambda v: said({"links": {"self": f"/things/{v}"}}),
            Take("things_id", "json", "$.links.self", "/things/([^/?#]+)"),
        ),
        (
            lambda v: Answer(
                status=200,
                headers=(("content-type", "application/json"), ("content-encoding", "gzip")),
                body=zlib.compress(json.dumps({"tok": v}).encode(), wbits=31),
            ),
            Take("tok", "json", "$.tok"),
        ),
    ],
    ids=["json", "header", "location", "location-query", "link", "gzip"],
)
def test_where_values_come_from(count: int, answer: Any, take: Take) -> None:
    exchanges = sessions(
        count, lambda u: {"method": "POST", "answer": answer(mint(u))}, lambda u: {"target": f"/things/{mint(u)}"}
    )
    arrivals, found, _ = plan(exchanges)
    (listed,) = [c for c in found.correlations if c.used == ("GET /things/{} path[2]",)]
    assert (listed.sessions, listed.uses, listed.how) == (count, count, "found")
    for user in range(count):
        first, second = arrivals[2 * user : 2 * user + 2]
        assert [(t.source, t.path, t.pattern) for t in first.takes] == [(take.source, take.path, take.pattern)]
        assert slots(second) == [(mint(user), first.takes[0].variable)]


@pytest.mark.parametrize(
    ("use", "place", "encoding"),
    [
        (lambda v: {"target": f"/a/{v}/b"}, "path[2]", "percent"),
        (lambda v: {"target": f"/a?x=1&id={v}"}, "query:id", "percent"),
        (lambda v: {"headers": (("X-Key", v),)}, "header:x-key", "raw"),
        (lambda v: {"headers": (("Authorization", f"Bearer {v}"),)}, "header:authorization", "raw"),
        (lambda v: {"headers": (("Cookie", f"a=b; k={v}; c=d"),)}, "cookie:k", "raw"),
        (
            lambda v: {
                "method": "POST",
                "headers": (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),),
                "body": f"x=1&k={v}".encode(),
            },
            "form:k",
            "percent",
        ),
        (lambda v: {"method": "POST", "headers": (JSON,), "body": asked({"a": [{"k": v}]})}, "json:$.a[*].k", "json"),
    ],
)
def test_where_values_are_used(use: Any, place: str, encoding: str) -> None:
    arrivals, found, _ = plan(sessions(2, lambda u: {"answer": said({"k": mint(u)})}, lambda u: use(mint(u))))
    assert [c.used[0].partition(" ")[2].partition(" ")[2] for c in found.correlations] == [place]
    using = arrivals[1]
    assert slots(using) == [(mint(0), "k")]
    assert using.slots[0].encoding == encoding
    head, body = fill(using, {"k": "NEW"})
    assert (head + body).count(b"NEW") == 1
    assert fill(using, {"k": mint(0)}) == (using.head, using.body)


ODD = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=12, max_size=20)


@given(ODD)
@settings(deadline=None)
def test_odd_values_are_found_in_the_encoding_of_their_place(value: str) -> None:
    exchanges = [
        exchange(0, answer=said({"k": value})),
        exchange(
            1,
            at=1,
            method="POST",
            target=f"/a/{quote(value, safe='')}?k={quote(value, safe='')}",
            headers=(JSON,),
            body=json.dumps({"k": value}, ensure_ascii=False).encode(),
        ),
        exchange(
            2,
            at=2,
            method="POST",
            headers=(("content-type", "application/x-www-form-urlencoded"),),
            body=f"k={quote_plus(value)}".encode(),
        ),
    ]
    arrivals, _, _ = plan(exchanges, correlate={"rules": [{"name": "k", "minted_by": "GET /*", "take": "json:$.k"}]})
    assert [len(a.slots) for a in arrivals] == [0, 3, 1]
    for arrival in arrivals[1:]:
        assert fill(arrival, {"k": value}) == (arrival.head, arrival.body)


class TestConstants:
    def test_what_most_sessions_are_given_is_none(self) -> None:
        product = said({"skus": ["mug-00001", "cup-00002"], "version": "build-77aa1"})
        exchanges = sessions(
            4, lambda _: {"answer": product}, lambda u: {"target": f"/buy/{['mug-00001', 'cup-00002'][u % 2]}"}
        )
        arrivals, found, _ = plan(exchanges)
        assert found.correlations == ()
        assert not any(a.slots or a.takes for a in arrivals)
        assert any("GET / $.skus[*] is repeated by GET /buy/{} path[2]" in line for line in found.review)

    def test_a_users_own_number_is_no_constant_although_users_come_again(self) -> None:
        exchanges = sessions(
            9,
            lambda u: {"answer": said({"user": {"id": 5000 + u % 4}})},
            lambda u: {"target": f"/users/{5000 + u % 4}"},
        )
        arrivals, found, _ = plan(exchanges)
        assert [c.variable for c in found.correlations] == ["user_id"]
        assert all(len(a.slots) == 1 for a in arrivals[1::2])

    def test_one_session_proves_little(self) -> None:
        answer = said({"color": "crimson", "price": 4999, "cart_id": 4242, "total": 9998, "uid": "a1b2c3d4e5f6"})
        body = asked({"color": "crimson", "price": 4999, "cart_id": 4242, "u": "a1b2c3d4e5f6"})
        arrivals, _, _ = plan(
            [exchange(0, answer=answer), exchange(1, at=1, method="POST", headers=(JSON,), body=body)]
        )
        assert slots(arrivals[1]) == [("4242", "cart_id"), ("a1b2c3d4e5f6", "uid")]


class TestWhatIsNotMinted:
    def test_what_the_client_said_first(self) -> None:
        own = "c1i2e3n4t5o6w7n8"
        exchanges = [
            exchange(0, method="POST", headers=(JSON,), body=asked({"id": own}), answer=said({"id": own})),
            exchange(1, at=1, target=f"/things/{own}"),
        ]
        arrivals, found, _ = plan(exchanges)
        assert found.correlations == ()
        assert not any(a.slots for a in arrivals)

    def test_not_even_when_a_rule_names_the_place(self) -> None:
        own = "c1i2e3n4t5o6w7n8"
        rule = {"name": "id", "minted_by": "POST /*", "take": "json:$.id"}
        for target, body in ((f"/x/{own}", b""), ("/x", asked({"id": own}))):
            exchanges = [
                exchange(0, method="POST", target=target, headers=(JSON,), body=body, answer=said({"id": own})),
                exchange(1, at=1, target=f"/things/{own}"),
            ]
            arrivals, _, _ = plan(exchanges, correlate={"rules": [rule]})
            assert not any(a.slots or a.takes for a in arrivals)

    def test_what_was_sent_before_the_answer_had_come(self) -> None:
        exchanges = [
            exchange(0, took=5, answer=said({"id": mint(0)})),
            exchange(1, at=1, target=f"/things/{mint(0)}"),
            exchange(2, at=9, target=f"/things/{mint(0)}"),
        ]
        arrivals, found, _ = plan(exchanges)
        assert found.correlations == ()
        assert not any(a.slots for a in arrivals)

    def test_nor_does_a_rule_reach_back_in_time(self) -> None:
        exchanges = [
            exchange(0, took=5, answer=said({"id": mint(0)})),
            exchange(1, at=1, target=f"/things/{mint(0)}"),
            exchange(2, at=9, target=f"/things/{mint(0)}"),
        ]
        rule = {"name": "id", "minted_by": "GET /", "take": "json:$.id"}
        arrivals, _, _ = plan(exchanges, correlate={"rules": [rule]})
        assert [slots(a) for a in arrivals] == [[], [], [(mint(0), "id")]]

    def test_what_another_session_was_given(self) -> None:
        exchanges = [
            exchange(0, session="a", answer=said({"id": mint(0)})),
            exchange(1, at=1, session="b", target=f"/things/{mint(0)}"),
        ]
        assert plan(exchanges)[1].correlations == ()

    def test_what_is_short(self) -> None:
        exchanges = sessions(3, lambda u: {"answer": said({"id": 100 + u})}, lambda u: {"target": f"/things/{100 + u}"})
        assert plan(exchanges)[1].correlations == ()
        assert len(plan(exchanges, correlate={"min_length": 3})[1].correlations) == 1


class TestCookies:
    def steps(self, *cookies: str) -> list[Exchange]:
        return sessions(
            2,
            lambda u: {"answer": Answer(status=200, headers=(("Set-Cookie", f"sid=s{u}; HttpOnly"),))},
            *[lambda u, c=c: {"headers": (("Cookie", c.format(u=u)),)} for c in cookies],
        )

    def test_the_replayed_answers_cookie_replaces_the_recorded_one_however_short(self) -> None:
        arrivals, found, _ = plan(self.steps("x=1; sid=s{u}", "sid=other", "sid=s{u}"))
        assert arrivals[0].takes == (Take("cookie:sid", "cookie", "sid"),)
        assert [slots(a) for a in arrivals[1:4]] == [[("s0", "cookie:sid")], [], [("s0", "cookie:sid")]]
        assert [slots(a) for a in arrivals[5:8]] == [[("s1", "cookie:sid")], [], [("s1", "cookie:sid")]]
        del found

    def test_an_identity_comes_first(self) -> None:
        arrivals, _, _ = plan(self.steps("sid=s{u}"), identities={"places": [{"at": "cookie:sid", "value": "mine"}]})
        assert b"Cookie: sid=mine\r\n" in arrivals[1].head
        assert arrivals[1].slots == ()

    def test_they_can_be_ignored(self) -> None:
        arrivals, _, _ = plan(self.steps("sid=s{u}"), correlate={"ignore": ["* cookie:s*"]})
        assert not any(a.slots or a.takes for a in arrivals)

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("a=b; Path=/", ("a", "b")),
            ('a="b c"', ("a", '"b c"')),
            ("a=; Path=/", None),
            ("a=b; Max-Age=0", None),
            ("a=b; max-age=-1; Path=/", None),
            ("a=b; Max-Age=0100", ("a", "b")),
            ("nothing", None),
            ("=b", None),
        ],
    )
    def test_lines(self, line: str, wanted: tuple[str, str] | None) -> None:
        assert set_cookie(line) == wanted


class TestRules:
    RULE: ClassVar = {"name": "word", "minted_by": "POST /words/*", "take": "json:$.words[*]"}

    def recorded(self) -> list[Exchange]:
        return [
            exchange(0, method="POST", target="/words/new?x=1", answer=said({"words": ["alpha", "gamma"]})),
            exchange(1, at=1, target="/say/gamma?w=alpha", headers=(("x-word", "alpha"),)),
        ]

    def test_what_the_search_would_not_believe(self) -> None:
        arrivals, found, _ = plan(self.recorded(), correlate={"rules": [self.RULE]})
        assert found.patterns.found == ()
        assert arrivals[0].takes == (Take("word", "json", "$.words[0]"), Take("word#2", "json", "$.words[1]"))
        assert slots(arrivals[1]) == [("gamma", "word#2"), ("alpha", "word"), ("alpha", "word")]

    def test_they_are_listed_and_stand_for_what_was_found(self) -> None:
        exchanges = sessions(
            2,
            lambda u: {"answer": said({"k": mint(u), "l": mint(u + 50)})},
            lambda u: {"target": f"/a/{mint(u)}/{mint(u + 50)}"},
        )
        rules = [
            {"name": "mine", "minted_by": "GET /", "take": "json:$.k", "used_at": ["path"]},
            {"name": "idle", "minted_by": "POST /login", "take": "header:X-Token"},
        ]
        _, found, _ = plan(exchanges, correlate={"rules": rules})
        assert [(c.variable, c.minted, c.how) for c in found.correlations] == [
            ("mine", "GET / $.k", "rule"), ("l", "GET / $.l", "found")
        ]  # fmt: skip
        assert found.review == ("the rule 'idle' fits no endpoint: nothing of the recording is a POST /login",)
        _, found, _ = plan(exchanges, correlate={"ignore": ["GET / $.*"]})
        assert found.correlations == ()

    @pytest.mark.parametrize(
        ("used_at", "wanted"),
        [(["path"], ["gamma"]), (["query:w"], ["alpha"]), (["header:X-Word"], ["alpha"]), (["json:$.a[0]"], [])],
    )
    def test_only_where_they_are_used(self, used_at: list[str], wanted: list[str]) -> None:
        arrivals, _, _ = plan(self.recorded(), correlate={"rules": [self.RULE | {"used_at": used_at}]})
        assert [text for text, _ in slots(arrivals[1])] == wanted

    def test_headers_and_cookies(self) -> None:
        answer = Answer(status=200, headers=(("X-One", "first"), ("set-cookie", "c=second; Path=/")))
        rules = [
            {"name": "one", "minted_by": "GET /", "take": "header:X-One"},
            {"name": "two", "minted_by": "GET /", "take": "cookie:c"},
        ]
        recorded = [exchange(0, answer=answer), exchange(1, at=1, target="/first/second")]
        arrivals, _, _ = plan(recorded, correlate={"rules": rules, "find": False})
        assert arrivals[0].takes == (Take("one", "header", "x-one"), Take("two", "cookie", "c"))
        assert slots(arrivals[1]) == [("first", "one"), ("second", "two")]

    def test_what_is_ignored_is_not_taken(self) -> None:
        exchanges = sessions(2, lambda u: {"answer": said({"k": mint(u)})}, lambda u: {"target": f"/a/{mint(u)}"})
        arrivals, _, _ = plan(exchanges, correlate={"ignore": ["GET / $.k"]})
        assert not any(a.slots or a.takes for a in arrivals)
        arrivals, _, _ = plan(exchanges, correlate={"find": False})
        assert not any(a.slots or a.takes for a in arrivals)


def test_each_minted_value_has_a_variable_of_its_own() -> None:
    rows = [
        exchange(n, at=n, method="POST", target="/orders", answer=said({"id": f"order-77{n}1"})) for n in range(3)
    ] + [exchange(9 - n, at=9 - n, target=f"/orders/order-77{n}1") for n in range(3)]
    arrivals, _, _ = plan(sorted(rows, key=lambda e: e.started_ns))
    assert [t.variable for a in arrivals for t in a.takes] == ["orders_id", "orders_id#2", "orders_id#3"]
    assert [slots(a)[0][1] for a in arrivals[3:]] == ["orders_id#3", "orders_id#2", "orders_id"]


def test_what_can_no_longer_be_replaced_is_counted() -> None:
    rows = [exchange(n, at=n, method="POST", answer=said({"id": f"{mint(n)}{n}"})) for n in range(80)]
    rows.append(exchange(99, at=99, target=f"/x/{mint(79)}79"))
    arrivals, _, planner = plan(rows, correlate={"rules": [{"name": "id", "minted_by": "POST /", "take": "json:$.id"}]})
    assert planner.forgotten == 16
    assert slots(arrivals[-1]) == [(f"{mint(79)}79", "id#80")]


def test_redacted_credentials_that_nobody_mints_are_told() -> None:
    bearer: Headers = (("Authorization", "Bearer tbp_abcdefghijklmnopqrstuvwx"),)
    rows = [exchange(n, at=n, headers=bearer, redacted=("header:authorization",)) for n in range(3)]
    (line,) = plan(rows)[1].review
    assert "header:authorization was redacted, and in 3 of the requests looked at" in line
    identities = {"places": [{"at": "header:authorization", "value": "Bearer x"}]}
    assert plan(rows, identities=identities)[1].review == ()


def test_signatures_are_told() -> None:
    rows = [exchange(n, at=n, headers=(("Authorization", "AWS4-HMAC-SHA256 Credential=x"),)) for n in range(2)]
    assert any(line.startswith("2 of the requests looked at are signed") for line in plan(rows)[1].review)


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "br"]), st.text(max_size=20))
def test_answers_are_read_whatever_they_are(body: bytes, coding: str, header: str) -> None:
    headers = (
        ("content-type", "application/json"),
        ("content-encoding", coding),
        ("location", header),
        ("set-cookie", header),
    )
    list(minted(Answer(status=200, headers=headers, body=body)))
