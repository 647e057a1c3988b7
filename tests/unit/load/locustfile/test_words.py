"""Claim: hosts, endpoints and header lines are what the docs say, and no token leaves for a stranger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.context.carriers import read_claim, write_baggage, write_tracestate
from tracer_bullet.errors import UsageError
from tracer_bullet.load.locustfile.endpoints import endpoint_of, path_template
from tracer_bullet.load.locustfile.headers import CARRIERS, flag_headers
from tracer_bullet.load.locustfile.hosts import Hosts, Standing, entry, origin_of, refuse
from tracer_bullet.load.locustfile.protocol import Terms, decode, encode, parse_link
from tracer_bullet.model import Context

CONTEXT = Context(run_id="run-1", token="a.b.c", user_id="tester-1")
TERMS = Terms(
    run_id="run-1",
    target="http://shop",
    token="a.b.c",
    baggage=write_baggage(CONTEXT),
    tracestate=write_tracestate((), flag=True),
    flagged=("shop:80",),
    allowed=(),
)


@pytest.mark.parametrize(
    ("host", "port", "standing"),
    [
        ("shop", 80, Standing.FLAGGED),
        ("SHOP.", 80, Standing.FLAGGED),
        ("shop", 443, Standing.REFUSED),  # another origin
        ("xshop", 80, Standing.REFUSED),
        ("shop.evil", 80, Standing.REFUSED),
        ("metrics", 9090, Standing.ALLOWED),
        ("metrics", None, Standing.ALLOWED),
        ("::1", 8080, Standing.FLAGGED),
        ("[::1]", 8080, Standing.FLAGGED),
        ("", 80, Standing.REFUSED),
    ],
)
def test_how_a_host_is_treated(host: str, port: int | None, standing: Standing) -> None:
    assert Hosts(("http://shop", "[::1]:8080"), ("metrics",)).standing(host, port) is standing


def test_flagged_goes_before_allowed() -> None:
    assert Hosts(("shop:80",), ("shop:80",)).standing("shop", 80) is Standing.FLAGGED


@pytest.mark.parametrize("text", ["", "http://", "shop:port", ":80", "shop:99999"])
def test_what_is_no_host_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        entry(text)
    assert origin_of(text) == ("", None)


def test_a_refusal_says_both_ways_out() -> None:
    text = str(refuse("cdn", 443))
    assert "--flag-host cdn:443" in text
    assert "--allow-host cdn:443" in text


@pytest.mark.parametrize(
    ("url", "template"),
    [
        ("http://shop/orders/17/payment?x=1", "/orders/{id}/payment"),
        ("/orders/6f1c2f0e-0000-4000-8000-5d1f64a2b7c1", "/orders/{id}"),
        ("/assets/0123456789abcdef0123", "/assets/{id}"),
        ("/products#top", "/products"),
        ("http://shop", "/"),
        ("/v2/items", "/v2/items"),
        ("/tours/17-days", "/tours/17-days"),
    ],
)
def test_a_path_becomes_a_template(url: str, template: str) -> None:
    assert path_template(url) == template
    assert endpoint_of("get", url, None) == f"GET {template}"
    assert endpoint_of("get", url, "/named") == "GET /named"


@given(st.text(max_size=40), st.text(max_size=40))
def test_ours_are_read_whatever_else_is_in_the_headers(baggage: str, state: str) -> None:
    own = [("baggage", baggage), ("tracestate", state), ("traceparent", "00-forged"), ("x-tracer-bullet", "forged")]
    found = flag_headers(
        "ab" * 16, "cd" * 8, token="a.b.c", baggage=TERMS.baggage, tracestate=TERMS.tracestate, own=own
    )  # fmt: skip
    assert found.keys() == CARRIERS
    assert found["traceparent"] == f"00-{'ab' * 16}-{'cd' * 8}-01"
    claim = read_claim([found["baggage"]], [found["tracestate"]], [found["x-tracer-bullet"]])
    assert claim is not None
    assert (claim.token, claim.run_id, claim.ambiguous) == ("a.b.c", "run-1", False)
    assert set(claim.carriers) == {"baggage", "tracestate", "header"}


def test_other_peoples_members_are_kept() -> None:
    own = [("baggage", "team=blue, tb-token=forged"), ("tracestate", "vendor=1,tb=x")]
    found = flag_headers("a" * 32, "b" * 16, token="t", baggage="tb-token=t", tracestate="tb=t", own=own)
    assert found["baggage"] == f"tb-token=t,request_id={'b' * 16},team=blue"
    assert found["tracestate"] == "tb=t,vendor=1"


def test_baggage_stays_in_its_limit() -> None:
    found = flag_headers("a" * 32, "b" * 16, token="t", baggage="tb-token=t", tracestate="tb=t",
                         own=[("baggage", f"long={'x' * 9000},short=1")])  # fmt: skip
    assert len(found["baggage"]) <= 8192
    assert found["baggage"].endswith("short=1")


def test_messages_come_back_as_they_were() -> None:
    assert Terms.of(decode(encode(TERMS.message()))) == TERMS
    for text in (b"[]", b"{}", b"nonsense", b'{"t": 1}'):
        with pytest.raises(ValueError, match=r"no message|Expecting value"):
            decode(text)


@pytest.mark.parametrize("text", ["", "10.0.0.1:80", "localhost:80", "127.0.0.1", "127.0.0.1:x"])
def test_a_link_is_loopback_only(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not 127\.0\.0\.1:port"):
        parse_link(text)
    assert parse_link("127.0.0.1:80") == ("127.0.0.1", 80)
