"""Whose request it is: what proves a client comes first, and a client stays itself over a login."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.unit.capture.archive.exchanges import EXCHANGES
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.sessions import SessionRules, Sessions, owner_of
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

PSEUDONYM = Pseudonyms(b"0123456789abcdef").plain


def asked(
    *headers: tuple[str, str], session: str = "", answer: Answer | None = None, lacks: frozenset[Lack] = frozenset()
) -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target="/", headers=headers)
    return Exchange(id="", session=session, source="t", started_ns=1, request=request, answer=answer, lacks=lacks)


def said(body: Any = None, *headers: tuple[str, str], status: int = 200) -> Answer:
    lines: Headers = (("Content-Type", "application/json; charset=utf-8"), *headers)
    return Answer(status=status, headers=lines, body=b"" if body is None else json.dumps(body).encode())


def jwt(**claims: Any) -> str:
    parts = ({"alg": "HS256"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + ".c2ln"


def key(exchange: Exchange, **rules: Any) -> str:
    return owner_of(exchange, SessionRules(**rules)).key


@pytest.mark.parametrize(
    ("exchange", "wanted"),
    [
        (asked(("Cookie", "theme=dark; SESSIONID=abc; x=1")), "cookie:SESSIONID=abc"),
        (asked(("cookie", "a=1"), ("cookie", "connect.sid=s%3Aq")), "cookie:connect.sid=s%3Aq"),
        (asked(("cookie", "PHPSESSID=deleted; theme=x")), ""),
        (asked(("cookie", "theme=dark")), ""),
        (asked(("Authorization", "Bearer opaque-1")), "token:opaque-1"),
        (asked(("Authorization", "opaque-1")), "token:opaque-1"),
        (asked(("Authorization", f"bearer {jwt(sub='u1', iss='idp')}")), "subject:idp|u1"),
        (asked(("Authorization", f"Bearer {jwt(sub=17)}")), "subject:|17"),
        (asked(("Authorization", f"Bearer {jwt(name='x')}")), f"token:{jwt(name='x')}"),
        (asked(("Authorization", "Basic " + base64.b64encode(b"ann:secret").decode())), "user:ann"),
        (asked(("Authorization", "Basic ???")), "user:???"),
        (asked(("Authorization", "")), ""),
        (asked(session="c17"), "connection:t:c17"),
        (asked(("User-Agent", "UA"), session="client:10.0.0.1", lacks=frozenset({Lack.SESSION})), "client:10.0.0.1 UA"),
        (asked(("X-Forwarded-For", "10.0.0.1, 10.9.9.9"), ("user-agent", "UA")), "client:10.0.0.1 UA"),
        (asked(("Forwarded", 'by=9;for="[2001:db8::1]:80", for=1.1.1.1')), "client:[2001:db8::1]:80 "),
        (asked(("X-Real-IP", "10.0.0.2")), "client:10.0.0.2 "),
        (asked(), ""),
    ],
)
def test_who_asked(exchange: Exchange, wanted: str) -> None:
    assert key(exchange) == wanted


def test_the_order_of_what_proves() -> None:
    exchange = asked(
        ("Authorization", "Bearer t"),
        ("cookie", "sid=c"),
        ("X-Client", "h"),
        ("x-forwarded-for", "1.1.1.1"),
        session="c1",
    )
    assert key(exchange, headers=("x-client",)) == "header:x-client=h"
    assert key(exchange) == "cookie:sid=c"
    assert key(exchange, cookies=()) == "token:t"
    assert key(exchange, cookies=(), authorization=False) == "connection:t:c1"
    assert key(exchange, cookies=("SI?",)) == "cookie:sid=c"
    asks = replace(exchange, request=replace(exchange.request, target="/a?x=1&s=%C3%A4"))
    assert key(asks, cookies=(), queries=("s",)) == "query:s=ä"
    assert key(exchange, cookies=(), queries=("s",)) == "token:t"
    assert key(asked(("authorization", f"Bearer {jwt(sub='u', org='o')}")), claims=("org", "sub")) == "subject:|o"


@pytest.mark.parametrize(
    "answer",
    [
        said({"token": "T"}),
        said({"data": {"user": {"x": 1}, "accessToken": "T"}}),
        said(None, ("Set-Cookie", "sid=T; Path=/; HttpOnly")),
        replace(said(), headers=(("content-type", "application/json"), ("Content-Encoding", "gzip")),
                body=gzip.compress(b'{"access_token": "T"}')),
    ],
)  # fmt: skip
def test_a_login_is_of_the_session_that_it_begins(answer: Answer) -> None:
    sessions = Sessions(PSEUDONYM)
    shows = ("cookie", "sid=T") if answer.values("set-cookie") else ("authorization", "Bearer T")
    login = sessions.place(asked(session="connection-1", answer=answer))
    orders = sessions.place(asked(shows, session="connection-2"))
    other = sessions.place(asked(session="connection-1"))
    assert login.session == orders.session != other.session
    assert Lack.SESSION not in login.lacks | orders.lacks | other.lacks


@pytest.mark.parametrize(
    "answer",
    [
        said({"token": "T"}, status=401),
        replace(said({"token": "T"}), headers=()),
        said({"token": ["T"]}),
        replace(said(), body=b'{"token": "T"'),
        replace(
            said(), headers=(("content-type", "application/json"), ("content-encoding", "gzip")), body=b"\x1f\x8btoken"
        ),
        replace(said(), body=None),
        said(None, ("Set-Cookie", "sid=; Path=/")),
        said(None, ("Set-Cookie", "sid=T; Max-Age=0")),
        said(None, ("Set-Cookie", "theme=dark")),
    ],
)
def test_what_mints_nothing(answer: Answer) -> None:
    assert owner_of(asked(answer=answer), SessionRules()).minted == ()


def test_a_fresh_cookie_at_the_login_stays_in_the_session() -> None:
    sessions = Sessions(PSEUDONYM)
    first = sessions.place(asked(("x-forwarded-for", "1.1.1.1"), answer=said(None, ("Set-Cookie", "sid=anonymous"))))
    login = sessions.place(asked(("cookie", "sid=anonymous"), answer=said(None, ("Set-Cookie", "sid=ann"))))
    after = sessions.place(asked(("cookie", "sid=ann"), answer=said({"token": "api"})))
    api = sessions.place(asked(("authorization", "Bearer api")))
    again = sessions.place(asked(session="connection-1", answer=said({"token": "api"})))
    assert len({one.session for one in (first, login, after, api, again)}) == 1
    assert Lack.SESSION not in first.lacks  # the cookie says whose it is, whatever the address


def test_guesses_are_marked_and_equal_clients_are_one() -> None:
    sessions = Sessions(PSEUDONYM)
    guessed = [sessions.place(asked(("x-forwarded-for", "1.1.1.1"), ("user-agent", agent))) for agent in "AAB"]
    assert guessed[0].session == guessed[1].session != guessed[2].session
    assert all(Lack.SESSION in one.lacks for one in guessed)
    nobody = sessions.place(asked())
    assert (nobody.session, nobody.lacks) == ("", {Lack.SESSION})
    known = sessions.place(asked(("cookie", "sid=1"), lacks=frozenset({Lack.SESSION, Lack.START})))
    assert known.lacks == {Lack.START}


@given(EXCHANGES)
def test_it_takes_any_exchange_and_keeps_no_secret(exchange: Exchange) -> None:
    placed = Sessions(PSEUDONYM).place(exchange)
    assert not placed.session or placed.session.startswith("tbp_")
    assert replace(placed, session=exchange.session, lacks=exchange.lacks) == exchange
    assert Sessions(PSEUDONYM).place(exchange) == placed


def test_another_key_gives_other_sessions() -> None:
    exchange = asked(("cookie", "sid=1"))
    other: Callable[[str], str] = Pseudonyms(b"fedcba9876543210").plain
    assert Sessions(PSEUDONYM).place(exchange).session != Sessions(other).place(exchange).session


def test_the_keys_that_are_followed_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer_bullet.capture.sessions._MAX_ALIASES", 10)
    sessions = Sessions(PSEUDONYM)
    for number in range(50):
        sessions.place(asked(("cookie", f"sid={number}"), answer=said({"token": f"t{number}"})))
    assert len(sessions._aliases) == 10
    newest = sessions.place(asked(("authorization", "Bearer t49")))
    assert newest.session == sessions.place(asked(("cookie", "sid=49"))).session
