"""The audit by examples: what it says, where, and what it never shows."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt

from tracer_bullet.capture.redaction import Action, Place, Pseudonyms, Redactor, Rule, Rules
from tracer_bullet.capture.redaction.audit import Auditor, audit_exchanges, find_secrets
from tracer_bullet.model.exchange import Answer, Exchange, Request

CARD = "4111111111111111"
HASH = "a8f5f167f44f4964e6c998dee827110c"


def exchange(name: str = "1", target: str = "/a", answer: Answer | None = None, **fields: Any) -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target=target, **fields)
    return Exchange(id=name, session="", source="t", started_ns=1, request=request, answer=answer)


def said(exchange: Exchange, rules: Rules | None = None) -> list[tuple[str, str]]:
    return [(secret.kind, secret.where) for secret in find_secrets(exchange, rules)]


def test_it_says_where_and_through_which_encodings() -> None:
    hidden = base64.b64encode(json.dumps({"deep": [{"card": {"number": CARD}}]}).encode()).decode()
    assert said(exchange(answer=Answer(status=200, body=json.dumps({"next": hidden}).encode()))) == [
        ("card", "answer:json:$.next > base64"),
        ("named", "answer:json:$.next > base64 > json:$.deep[*].card.number"),
    ]
    assert said(exchange("1", "/a?r=%252Fcb%253Ftoken%253Ds3cr3tV4lue")) == [("named", "query:r > percent > token")]


def test_it_looks_into_the_claims_of_tokens() -> None:
    token = jwt.encode({"inner": "AKIAIOSFODNN7EXAMPLE"}, "k" * 32)
    assert {kind for kind, _ in said(exchange(headers=(("X", token),)))} == {"jwt", "aws-key"}


def test_it_never_shows_a_secret() -> None:
    bearer = (("Authorization", "Bearer hunter22hunter22"),)
    found = list(find_secrets(exchange(target=f"/a?{CARD}=1&token=hunter22", headers=bearer)))
    assert len(found) >= 3
    assert all(CARD not in repr(secret) and "hunter22" not in repr(secret) for secret in found)


def test_what_a_rule_keeps_is_no_finding() -> None:
    cookies = (("Cookie", f"sid={HASH}"),)
    kept = exchange(target="/a?token=s3cr3tV4lue", headers=cookies, body=b'{"password": "s3cr3tV4lue"}')
    assert len(said(kept)) == 3
    rules = Rules(
        rules=(
            Rule(place=Place.QUERY, match="token", action=Action.KEEP),
            Rule(place=Place.COOKIE, match="sid", action=Action.KEEP),
            Rule(place=Place.JSON, match="$.password", action=Action.KEEP),
        )
    )
    assert said(kept, rules) == []
    assert Redactor(rules, Pseudonyms(b"k" * 32)).apply(kept) is kept
    cards = exchange(body=f"{CARD} and 5555555555554444".encode())
    keep = Rules(rules=(Rule(place=Place.PATTERN, match=CARD, action=Action.KEEP),))
    assert said(cards, keep) == [("card", "text")]


def test_addresses_count_when_rules_say_so() -> None:
    mail = exchange(body=b"ann@shop.example")
    assert said(mail) == []
    assert said(mail, Rules(emails=True)) == [("email", "text")]


def test_the_report_groups_by_endpoint_and_place() -> None:
    leaky = [exchange(str(n), f"/orders/{n}?token=s3cr3tV4lue{n}") for n in range(5)]
    leaky += [exchange("x", f"/orders/{HASH}/{CARD}"), exchange("y", "/ok")]
    report = audit_exchanges(leaky)
    assert (report.exchanges, report.secrets, report.clean) == (7, 6, False)
    first, second = report.rows
    assert (first.endpoint, first.where, first.kind, first.count) == ("GET /orders/*", "query:token", "named", 5)
    assert (first.exchanges, first.excerpt) == (["0", "1", "2"], "s3cr… (12 characters)")
    assert (second.endpoint, second.where, second.count) == ("GET /orders/*/*", "path", 1)
    assert CARD not in repr(report)


def test_a_body_that_cannot_be_opened_is_searched_as_it_is() -> None:
    body = b"\xff\x00" + b"AKIAIOSFODNN7EXAMPLE" + b"\x00\xfe"
    assert said(exchange(headers=(("Content-Encoding", "snappy"),), body=body)) == [("aws-key", "text")]


def test_an_auditor_remembers_nothing_between_exchanges() -> None:
    auditor = Auditor()
    leaky = exchange(target="/a?token=s3cr3tV4lue")
    assert list(auditor.find(leaky)) == list(auditor.find(leaky)) != []
