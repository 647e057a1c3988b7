"""Addresses of clients never reach the archive, and clients can still be told apart."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracer_bullet.capture.redaction import Action, Place, Pseudonyms, Redactor, Rule, Rules
from tracer_bullet.capture.redaction.audit import find_secrets
from tracer_bullet.capture.redaction.looking.clients import is_ours
from tracer_bullet.model.exchange import Exchange, Request

P = Pseudonyms(b"k" * 32)


def asked(name: str, value: str) -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target="/", headers=((name, value),))
    return Exchange(id="1", session="", source="t", started_ns=1, request=request, answer=None)


def clean(name: str, value: str, *rules: Rule) -> str:
    return Redactor(Rules(rules=rules), P).apply(asked(name, value)).request.headers[0][1]


def pseudonym(text: str) -> str:
    return P.address(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("X-Real-IP", "203.0.113.9", "203.0.113.9"),
        ("True-Client-IP", "203.0.113.9", "203.0.113.9"),
        ("CF-Connecting-IP", "2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334"),
        ("x-forwarded-for", "unknown, 203.0.113.9:4711", "203.0.113.9"),
        ("X-Forwarded-For", "[2001:db8::1]:443", "2001:db8::1"),
        ("X-Forwarded-For", "::ffff:203.0.113.9", "::ffff:203.0.113.9"),
        ("X-Forwarded-For", "fe80::1%eth0", "fe80::1"),
        ("Forwarded", 'for="[2001:db8:cafe::17]:4711";proto=http', "2001:db8:cafe::17"),
        ("Forwarded", "for=203.0.113.9;host=shop.example;by=_gazonk", "203.0.113.9"),
        ("CloudFront-Viewer-Address", "2001:db8:0:0:0:0:0:1:443", "2001:db8:0:0:0:0:0:1"),
        ("CloudFront-Viewer-Address", "203.0.113.9:46532", "203.0.113.9"),
    ],
)
def test_what_a_proxy_says_of_the_client(name: str, value: str, address: str) -> None:
    assert [s.kind for s in find_secrets(asked(name, value))] == ["client-address"]
    new = clean(name, value)
    assert new == value.replace(address, pseudonym(address))
    assert list(find_secrets(asked(name, new))) == []
    assert clean(name, new) == new  # redacting twice changes nothing
    assert Redactor(Rules(), P).apply(asked(name, value)).redacted == (f"header:{name.lower()}",)


def test_each_of_a_chain_has_its_own_and_keeps_it_everywhere() -> None:
    chain = clean("X-Forwarded-For", "203.0.113.9, 10.0.0.1,203.0.113.9")
    assert chain == f"{pseudonym('203.0.113.9')}, {pseudonym('10.0.0.1')},{pseudonym('203.0.113.9')}"
    assert clean("X-Real-IP", "203.0.113.9") == pseudonym("203.0.113.9")
    assert len({pseudonym(f"203.0.113.{n}") for n in range(256)}) == 256
    assert Pseudonyms(b"other" * 8).address(ipaddress.ip_address("203.0.113.9")) != pseudonym("203.0.113.9")


def test_a_rule_may_keep_them_and_other_headers_are_left_alone() -> None:
    keep = Rule(place=Place.HEADER, match="x-forwarded-for", action=Action.KEEP)
    assert clean("X-Forwarded-For", "203.0.113.9", keep) == "203.0.113.9"
    assert list(find_secrets(asked("X-Forwarded-For", "203.0.113.9"), Rules(rules=(keep,)))) == []
    assert clean("X-Version", "1.2.3.4") == "1.2.3.4"
    assert clean("X-Forwarded-Host", "shop.example:8443") == "shop.example:8443"


@given(st.ip_addresses(), st.sampled_from(["{}", "a, {}", "{},b", 'for="[{}]"', "[{}]:80", " {} "]))
@example(ipaddress.ip_address("::"), "{}")
def test_any_address_goes(address: ipaddress.IPv4Address | ipaddress.IPv6Address, form: str) -> None:
    said = form.format(address)
    if is_ours(address):
        assert clean("x-forwarded-for", said) == said
    else:
        assert clean("x-forwarded-for", said) == form.format(P.address(address))


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_line_is_read(line: str) -> None:
    assert list(find_secrets(asked("x-forwarded-for", clean("x-forwarded-for", line)))) == []
