"""Whatever comes in, redaction gives an exchange, the audit never raises, and neither takes the square of a length."""

from __future__ import annotations

import gzip
import random
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.redaction.planting import ENCODINGS
from tracer_bullet.capture.redaction import Action, Place, Pseudonyms, RedactionError, Redactor, Rule, Rules
from tracer_bullet.capture.redaction.audit import find_secrets
from tracer_bullet.capture.redaction.looking import encodings, glance
from tracer_bullet.capture.redaction.looking.codings import OpenError, open_content
from tracer_bullet.capture.redaction.looking.detectors import find
from tracer_bullet.model.exchange import Answer, Exchange, Request

P = Pseudonyms(b"k" * 32)
RULES = Rules(
    rules=(
        Rule(place=Place.JSON, match="$..a", action=Action.MASK),
        Rule(place=Place.PATTERN, match="b(.)"),
        Rule(place=Place.COOKIE, match="c", action=Action.REMOVE),
    ),
    emails=True,
    body_limit=100_000,
)
WORDS = (
    'token= % %25 " { } [ \\ \\u00 &# eyJ eyJhbGciOiJub25lIn0 . = : :// @ 4111111111111111 '
    "password --x H4sI AKIA & ; , <token>"
)
OTHERS = ["-----BEGIN PRIVATE KEY-----", "\r\n", " ", "\ufeff", "\ud800", "\0", "é"]
PIECES = st.sampled_from([*WORDS.split(), *OTHERS])
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))
BYTES = st.one_of(st.binary(), TEXTS.map(lambda t: t.encode("utf-8", "surrogatepass")))
TYPES = st.sampled_from(
    [
        "",
        "application/json",
        "text/html; charset=utf-16",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "image/png",
        "application/x-ndjson",
        "text/plain; charset=nonsense",
        "text/xml; charset=latin-1",
    ]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Cookie", "Set-Cookie", "Authorization", "X", "Content-Encoding", "Content-Type", "x-token"]),
        TEXTS,
    )
).map(tuple)


@settings(max_examples=300)
@given(
    target=TEXTS,
    headers=HEADERS,
    body=BYTES,
    content_type=TYPES,
    coding=st.sampled_from(["", "gzip", "br", "zstd", "x"]),
    rules=st.sampled_from([Rules(), RULES]),
)
def test_anything_at_all(target: str, headers: Any, body: bytes, content_type: str, coding: str, rules: Rules) -> None:
    lines = (*headers, ("content-type", content_type), ("content-encoding", coding))
    exchange = Exchange(
        id="1",
        session=target,
        source="t",
        started_ns=1,
        request=Request(
            method="POST",
            scheme="http",
            authority=target,
            target=target,
            headers=lines,
            body=gzip.compress(body) if coding == "gzip" else body,
        ),
        answer=Answer(status=200, headers=lines, body=body, trailers=headers),
    )
    list(find_secrets(exchange, rules))
    try:
        clean = Redactor(rules, P).apply(exchange)
    except RedactionError:
        pytest.fail("nothing of this is beyond redaction")
    list(find_secrets(clean, rules))


@given(
    st.one_of(st.binary(), st.binary().map(gzip.compress)),
    st.lists(st.sampled_from(["gzip", "deflate", "br", "zstd", "x"]), max_size=6),
)
def test_codings_open_or_say_why_not(data: bytes, codings: list[str]) -> None:
    try:
        content = open_content(data, codings, 1000)
    except OpenError:
        return
    assert len(content) <= 1000


@settings(max_examples=300)
@given(TEXTS, st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=2))
def test_the_first_glance_misses_nothing(text: str, chain: list[str]) -> None:
    """What detectors find, and what is encoded text, passes it."""
    if not text.isascii():
        return
    for name in chain:
        text = ENCODINGS[name](text)
    pieces = [piece for layer in encodings.LAYERS for piece in layer(text) if list(find(piece.content))]
    if list(find(text)) or pieces:
        assert glance.may_hold_secret(text)


@given(TEXTS.filter(lambda t: "\ud800" not in t))
def test_what_a_layer_decodes_it_encodes_again(text: str) -> None:
    for layer in encodings.LAYERS:
        end = 0
        for piece in layer(text):
            assert end <= piece.start < piece.end <= len(text)
            end = piece.end
            if piece.encode is None:
                continue
            fresh = text[: piece.start] + piece.encode(piece.content) + text[piece.end :]
            assert any(piece.content.strip() in again.content for again in layer(fresh)) or piece.content in fresh


LONG = [
    "[",
    '{"a":',
    "a=b&",
    "token=",
    "token%3D",
    'token:"',
    "%25",
    "\\",
    '\\"',
    "eyJ",
    "eyJhbGciOiJub25lIn0.",
    "H4sI",
    "eJw",
    "4111 ",
    "http://a:b@",
    "<token>",
    "<token><![CDATA[",
    "-----BEGIN PRIVATE KEY-----",
    "a@a.",
    '{"a":1}',
    '["',
    "&#65;",
    "1f8b08",
    "AAAA",
]


@pytest.mark.parametrize("part", LONG)
def test_long_texts_take_no_square_of_their_length(part: str) -> None:
    """Steps are counted, not seconds: as many more as there is more text, give or take."""

    def steps(size: int) -> int:
        body = (part * (size // len(part))).encode()
        request = Request(
            method="POST",
            scheme="http",
            authority="a",
            target="/",
            headers=(("content-type", "text/plain"),),
            body=body,
        )
        exchange = Exchange(id="1", session="", source="t", started_ns=1, request=request)
        count = 0

        def trace(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(trace)
        try:
            clean = Redactor(Rules(), P).apply(exchange)
            list(find_secrets(clean))
        finally:
            sys.setprofile(None)
        return count

    assert steps(16_000) < 12 * steps(4_000) + 2_000


def test_pseudonyms_do_not_depend_on_the_order() -> None:
    texts = [f"value-{n}-of-{n * 7}" for n in range(50)]
    first = {text: P.of(text) for text in texts}
    random.Random(1).shuffle(texts)
    assert {text: Pseudonyms(b"k" * 32).of(text) for text in texts} == first
