"""The redactor by examples: places, actions, rules, joins, and failing closed."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
import zstandard

from tracer_bullet.capture.redaction import Action, Place, Pseudonyms, RedactionError, Redactor, Rule, Rules
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

P = Pseudonyms(b"k" * 32)
TOKEN = "s3cr3t-V4lue-of-a-token"


def exchange(
    target: str = "/a", answer: Answer | None = None, lacks: frozenset[Lack] = frozenset(), **fields: Any
) -> Exchange:
    request = Request(method="POST", scheme="http", authority="shop", target=target, **fields)
    return Exchange(id="1", session="", source="t", started_ns=1, request=request, answer=answer, lacks=lacks)


def apply(exchange: Exchange, *rules: Rule, **options: Any) -> Exchange:
    return Redactor(Rules(rules=rules, **options), P).apply(exchange)


def json_of(value: object, *rules: Rule) -> Any:
    """A JSON body, redacted."""
    clean = apply(exchange(headers=(("content-type", "application/json"),), body=json.dumps(value).encode()), *rules)
    return json.loads(clean.request.body or b"")


def test_schemes_names_and_attributes_stay() -> None:
    headers: Headers = (
        ("Authorization", f"Bearer {TOKEN}"),
        ("Proxy-Authorization", "Basic YW5uOnMzY3IzdA=="),
        ("Cookie", f"sid={TOKEN}; lang=de"),
        ("X-Api-Key", TOKEN),
        ("Accept", "*/*"),
    )
    clean = apply(
        exchange(
            headers=headers, answer=Answer(status=200, headers=(("Set-Cookie", f"sid={TOKEN}; Path=/; HttpOnly"),))
        )
    )
    mine = P.of(TOKEN)
    assert clean.request.headers[0] == ("Authorization", f"Bearer {mine}")
    assert clean.request.headers[1][1].startswith("Basic ")
    assert clean.request.headers[2] == ("Cookie", f"sid={mine}; lang={P.of('de')}")
    assert clean.request.headers[3:] == (("X-Api-Key", mine), ("Accept", "*/*"))
    assert clean.answer is not None
    assert clean.answer.headers == (("Set-Cookie", f"sid={mine}; Path=/; HttpOnly"),)
    assert clean.redacted == (
        "header:authorization",
        "header:proxy-authorization",
        "cookie:sid",
        "cookie:lang",
        "header:x-api-key",
        "answer:cookie:sid",
    )


def test_a_value_is_the_same_everywhere() -> None:
    """What correlation needs: minted in JSON, used after Bearer, in a query, a form, a cookie, a path."""
    mine = P.of(TOKEN)
    minted = apply(exchange(answer=Answer(status=200, body=json.dumps({"access_token": TOKEN}).encode())))
    assert minted.answer is not None
    assert json.loads(minted.answer.body or b"") == {"access_token": mine}
    used = apply(
        exchange(f"/a?token={TOKEN}", headers=(("Authorization", f"Bearer {TOKEN}"),), body=f"token={TOKEN}".encode())
    )
    assert used.request.target == f"/a?token={mine}"
    assert used.request.values("authorization") == [f"Bearer {mine}"]
    assert used.request.body == f"token={mine}".encode()


def test_json_stays_as_it_was_written_but_for_the_secret() -> None:
    body = '{ "a" : 1.50, "a": 1e400,\n "token": "%s", "é": "\\u00e9", "n": 12345678901234567890123 }'
    clean = apply(exchange(body=(body % TOKEN).encode()))
    assert clean.request.body == (body % P.of(TOKEN)).encode()


def test_members_that_are_there_twice_are_both_seen() -> None:
    clean = apply(exchange(body=b'{"token":"abcdefgh1","token":"abcdefgh2"}'))
    assert clean.request.body == f'{{"token":"{P.of("abcdefgh1")}","token":"{P.of("abcdefgh2")}"}}'.encode()


def test_numbers_stay_numbers() -> None:
    fresh = json_of({"otp": 123456, "card": 4111111111111111, "tokens": 1532, "cvv": 123, "ok": True, "pin": None})
    assert fresh == {
        "otp": int(P.digits("123456")),
        "card": int(P.digits("4111111111111111")),
        "tokens": 1532,
        "cvv": 999,
        "ok": True,
        "pin": None,
    }


def test_length_follows_and_the_coding_goes_with_a_change() -> None:
    body = gzip.compress(json.dumps({"token": TOKEN}).encode())
    headers: Headers = (
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(body))),
        ("Content-MD5", "x"),
        ("ETag", '"1"'),
    )
    clean = apply(exchange(headers=headers, body=body)).request
    assert json.loads(clean.body or b"") == {"token": P.of(TOKEN)}
    assert clean.headers == (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(clean.body or b""))),
        ("ETag", '"1"'),
    )


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda d: zlib.compress(d)[2:-4]),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("gzip, br", lambda d: brotli.compress(gzip.compress(d))),
    ],
)
def test_content_codings(coding: str, pack: Any) -> None:
    innocent = exchange(headers=(("Content-Encoding", coding),), body=pack(b'{"a": 1}'))
    assert apply(innocent) is innocent
    clean = apply(exchange(headers=(("Content-Encoding", coding),), body=pack(json.dumps({"token": TOKEN}).encode())))
    assert json.loads(clean.request.body or b"") == {"token": P.of(TOKEN)}


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ({"content-encoding": "snappy"}, b"\xff\x01\x02", "unknown content coding 'snappy'"),
        ({"content-encoding": "gzip"}, gzip.compress(b"{}" * 50, mtime=0)[:-9], "damaged compressed content"),
        ({"content-encoding": "gzip"}, gzip.compress(b" " * 5000, mtime=0), "over the limit"),
        ({}, b"x" * 5000, "over the limit"),
        ({"content-type": "application/json"}, b'{"token": "abc', "damaged JSON"),
        ({"content-type": "application/json"}, b"[" * 4000, "damaged JSON"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\nno end", "damaged multipart content"),
        ({"content-type": "multipart/form-data"}, b"--x--", "damaged multipart content"),
        ({"content-type": "image/png"}, b"\x89PNG\r\n\x1a\n\0", "binary content (image/png)"),
        ({}, b"\0\1\2", "binary content (no type)"),
        ({"content-type": "application/grpc"}, b"\0\0\0\0\5\n\3abc", "binary content (application/grpc)"),
    ],
)
def test_what_cannot_be_looked_into_is_dropped_marked_and_counted(
    headers: dict[str, str], body: bytes, why: str
) -> None:
    lines = tuple(headers.items())
    redactor = Redactor(Rules(body_limit=4096), P)
    clean = redactor.apply(exchange(headers=lines, body=body, answer=Answer(status=200, headers=lines, body=body)))
    assert clean.request.body is None
    assert clean.answer is not None
    assert clean.answer.body is None
    assert clean.lacks == {Lack.REQUEST_BODY, Lack.ANSWER_BODY}
    assert clean.unreplayable == "write-without-body"
    assert redactor.dropped == {f"request body: {why}": 1, f"answer body: {why}": 1}
    assert clean.redacted == ("body", "answer:body")


def test_a_cut_body_goes_since_its_end_may_be_half_a_secret() -> None:
    clean = apply(exchange(body=b'{"token": "abc', lacks=frozenset({Lack.REQUEST_BODY_CUT})))
    assert (clean.request.body, clean.lacks) == (None, {Lack.REQUEST_BODY})


def test_a_binary_part_is_emptied_and_the_write_never_replayed() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter22\r\n--x\r\n'
        b'Content-Disposition: form-data; name="photo"\r\nContent-Type: image/png\r\n\r\n\x89PNG\0\xff\r\n--x--\r\n'
    )
    clean = apply(exchange(headers=(("Content-Type", 'multipart/form-data; boundary="x"'),), body=body))
    assert clean.request.body == body.replace(b"hunter22", P.of("hunter22").encode()).replace(b"\x89PNG\0\xff", b"")
    assert clean.unreplayable == "body-cut"
    assert clean.redacted == ("form:password", "form:photo")


def test_actions() -> None:
    target = "/a?token=abcdefgh&q=x&key=v&z=1"
    assert apply(exchange(target), Rule(place=Place.QUERY, match="token", action=Action.KEEP)).request.target == target
    assert (
        apply(exchange(target), Rule(place=Place.QUERY, match="T*", action=Action.REMOVE)).request.target
        == "/a?q=x&key=v&z=1"
    )
    assert apply(
        exchange(target), Rule(place=Place.QUERY, match="token", action=Action.MASK)
    ).request.target.startswith("/a?token=%2A%2A%2A&")
    removed = apply(
        exchange(headers=(("X-Api-Key", "k"), ("A", "b"))), Rule(place=Place.HEADER, match="x-*", action=Action.REMOVE)
    )
    assert removed.request.headers == (("A", "b"),)
    kept = exchange(headers=(("Cookie", "lang=de"),))
    assert apply(kept, Rule(place=Place.COOKIE, match="lang", action=Action.KEEP)) is kept
    assert json_of({"a": {"b": "x", "c": [1, True]}}, Rule(place=Place.JSON, match="$.a", action=Action.REMOVE)) == {
        "a": {"b": None, "c": [None, None]}
    }


def test_json_paths() -> None:
    value = {"items": [{"who": "ann", "n": 1}, {"who": "bob"}], "who": "cy", "deep": {"who": "dan"}, "a b": "x"}
    items = json_of(value, Rule(place=Place.JSON, match="$.items[*].who"))
    assert (items["items"][1]["who"], items["who"]) == (P.of("bob"), "cy")
    everywhere = json_of(value, Rule(place=Place.JSON, match="$..who"))
    assert [everywhere["who"], everywhere["deep"]["who"], everywhere["items"][0]] == [
        P.of("cy"),
        P.of("dan"),
        {"who": P.of("ann"), "n": 1},
    ]
    assert json_of(value, Rule(place=Place.JSON, match="$['a b']"))["a b"] == P.of("x")
    assert json_of(value, Rule(place=Place.JSON, match="$.items[1]"))["items"][0]["who"] == "ann"
    assert json_of({"token": "abcdefgh1"}, Rule(place=Place.JSON, match="$.token", action=Action.KEEP)) == {
        "token": "abcdefgh1"
    }
    nested = json_of({"data": json.dumps({"who": "ann"})}, Rule(place=Place.JSON, match="$.data.who"))
    assert json.loads(nested["data"]) == {"who": P.of("ann")}


@pytest.mark.parametrize("path", ["a", "$x", "$.", "$[", "$[?(@.a)]", "$.a b"])
def test_what_is_no_json_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="JSONPath"):
        Redactor(Rules(rules=(Rule(place=Place.JSON, match=path, paths=("/never",)),)), P)


def test_paths_and_patterns() -> None:
    rule = Rule(place=Place.PATH, match=r"^/reset/([^/]+)/([^/]+)")
    assert apply(exchange("/reset/abc/def/x?y=1"), rule).request.target == f"/reset/{P.of('abc')}/{P.of('def')}/x?y=1"
    staff = Rule(place=Place.PATTERN, match=r"\bEMP-(\d{6})\b")
    clean = apply(exchange("/a/EMP-123456", body=b'{"x": "by EMP-123456"}'), staff)
    assert clean.request.target == f"/a/EMP-{P.of('123456')}"
    assert clean.request.body == f'{{"x": "by EMP-{P.of("123456")}"}}'.encode()
    test_card = Rule(place=Place.PATTERN, match="4242424242424242", action=Action.KEEP)
    assert json_of({"x": "4242424242424242", "y": "4111111111111111"}, test_card) == {
        "x": "4242424242424242",
        "y": P.of("4111111111111111"),
    }


def test_a_rule_may_hold_for_some_paths_only() -> None:
    rule = Rule(place=Place.QUERY, match="q", paths=("/pay/*",))
    assert apply(exchange("/pay/1?q=x"), rule).request.target == f"/pay/1?q={P.of('x')}"
    assert apply(exchange("/a?q=x"), rule).request.target == "/a?q=x"


def test_content_may_be_kept_and_emails_may_count() -> None:
    image = exchange(headers=(("Content-Type", "image/png"),), body=b"\x89PNG\0")
    assert apply(image, Rule(place=Place.CONTENT, match="image/*", action=Action.KEEP)) is image
    mail = exchange(body=b"write to ann@shop.example")
    assert apply(mail) is mail
    assert apply(mail, emails=True).request.body == f"write to {P.of('ann@shop.example')}".encode()


def test_what_cannot_be_redacted_raises_and_tells_no_value() -> None:
    with pytest.raises(RedactionError) as told:
        apply(exchange("/" + "s3cr3t" * 100_000))
    assert "s3cr3t" not in str(told.value)
    with pytest.raises(RedactionError) as told:
        apply(exchange(headers=((None, "s3cr3t"),)))
    assert "s3cr3t" not in str(told.value)


def test_the_fingerprint_changes_with_rules_and_key() -> None:
    prints = {
        Redactor(rules, key).fingerprint
        for rules in (Rules(), Rules(emails=True), Rules(rules=(Rule(place=Place.QUERY, match="q"),)))
        for key in (P, Pseudonyms(b"o" * 32))
    }
    assert len(prints) == 6
    assert Redactor(Rules(), P).fingerprint == Redactor(Rules(), P).fingerprint
