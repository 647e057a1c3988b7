"""Claim: ordinary traffic gives no false alarm, and redaction leaves it as it was."""

from __future__ import annotations

import json

import pytest

from tracer_bullet.capture.redaction import Pseudonyms, Redactor, Rules
from tracer_bullet.capture.redaction.audit import audit_exchanges, find_secrets
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Request

HEADERS: Headers = (
    ("Host", "shop.example:8443"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "de-DE,de;q=0.9,en-US;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://shop.example/products?category=books&sort=price&page=2"),
    ("X-Request-Id", "0b2a1c9e-5b7e-4c1f-9a57-3f1f0c3a9d11"),
    ("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("Tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ("If-None-Match", 'W/"33a64df551425fcc55e4d42a148795d9f25f89d4"'),
    ("If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("X-Forwarded-For", "unknown, 250.1.2.3"),
    ("X-Forwarded-Proto", "https"),
    ("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-CH-UA", '"Chromium";v="120", "Not A;Brand";v="99"'),
    ("X-Go-Version", "go1.23.2"),
    ("Content-Security-Policy", "default-src 'self'; script-src 'sha256-B2yPHKaXnvFWtRChIbabYmUBFZdVfKKXHbWtWidDVF8='"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("WWW-Authenticate", 'Bearer realm="shop", error="invalid_token", error_description="The token expired"'),
    ("Server-Timing", "db;dur=53.2, cache;desc=hit;dur=0.2"),
    ("Via", "1.1 varnish, 1.1 cdn-fra-eddf8230051.example"),
)
TARGETS = [
    "/",
    "/orders/1234567890123456",
    "/assets/app.3f9a8b7c6d5e4f3a2b1c.js?v=1.2.3",
    "/products?filter[price][gte]=10&filter[name]=blue%20shirt&sort=-created_at&page[size]=50",
    "/search?q=what+is+a+token&lang=de",
    "/reset-password?step=2",
    "/users/0b2a1c9e-5b7e-4c1f-9a57-3f1f0c3a9d11/orders?since=2026-11-21T08:00:00%2B01:00",
    "/static/chunk-vendors~4a1f2b3c.e83c5163316f89bf.css",
    "/passport/cards?card_type=visa&token_type=bearer&max_tokens=4096&secretary=Jane",
    "/api/v2/geo?bbox=13.0882,52.3418,13.7606,52.6697&z=14",
]
DOCUMENTS: list[object] = [
    {"id": 1234567890123456, "order": "1234-5678-9012-3456", "sum": 1.50, "at": "2026-11-21T08:00:00.123456789Z"},
    {"ns": 1763712000123456789, "ms": 1763712000123, "snowflake": 1859530943782711296, "phone": "+49 30 1234 5678"},
    {
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
    },
    {
        "version": "go1.23.2",
        "image": "registry.example/shop/cart:v1.23.2-alpine3.19",
        "host": "ip-10-0-0-1.eu-central-1.compute",
    },
    {"token_type": "bearer", "expires_in": 3600, "scope": "read write", "tokens": 1532, "usage": {"prompt_tokens": 12}},
    {"password": None, "hasPassword": True, "passwordChangedAt": "2026-01-01", "password_policy": {"min": 8}},
    {"card": {"brand": "visa", "last4": "4242", "exp_month": 12}, "cards": [{"id": "a1", "title": "To do"}]},
    {
        "secret": "********",
        "token": "",
        "apiKey": "[REDACTED]",
        "authorName": "Ann",
        "keyboard": "qwerty",
        "pinned": True,
    },
    {"ean": "4006381333931", "isbn": "978-3-16-148410-0", "gtin14": "10614141000415", "imei": "no", "zip": "10115"},
    {
        "uuid": "123e4567-e89b-12d3-a456-426614174000",
        "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "nano": "V1StGXR8_Z5jdHi6B-myT",
    },
    {"image": "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "alt": "a pixel"},
    {
        "text": "Please reset your password: we have sent a token to you. Secret santa is at 8:30.",
        "n": [1, 2, [3, "x"]],
    },
    {"messages": {"password": "Bitte geben Sie Ihr Kennwort ein", "token.missing": "No token", "pin": "PIN eingeben"}},
]
PAGES = [
    (
        "<!doctype html><html><head><title>Log in</title><meta name='viewport' content='width=device-width'></head>"
        "<body><form method=post><label>Password: <input type=password name=password placeholder=Password>"
        "</label><button>Log in</button></form><script src='/assets/app.3f9a8b7c6d5e4f3a2b1c.js' "
        "integrity='sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC'></script></body></html>"
    ),
    "function f(e,t){return e.token=t.token,n.password=getPassword(),this.secret=null,{token:e.token,password:t.v}}",
    'service=a level=info msg="order placed" order=1234567890123456 took=12ms trace=4bf92f3577b34da6a3ce929d0e0e4736',
    ".card{color:#a1b2c3;width:calc(100% - 16px)}.token-list>li{margin:0 auto}@media(min-width:640px){.pin{top:0}}",
    "<?xml version='1.0'?><order id='1234567890123456'><item sku='A-1'>Blue &amp; white shirt</item></order>",
]


def exchange(target: str = "/", body: bytes = b"", content_type: str = "", headers: Headers = ()) -> Exchange:
    typed: Headers = (("Content-Type", content_type),) if content_type else ()
    return Exchange(
        id="1",
        session="s",
        source="test",
        started_ns=1,
        request=Request(
            method="POST", scheme="http", authority="shop", target=target, headers=headers + typed, body=body
        ),
        answer=Answer(status=200, headers=typed, body=body),
    )


CORPUS = [
    *(exchange(target) for target in TARGETS),
    *(exchange(body=json.dumps(document).encode(), content_type="application/json") for document in DOCUMENTS),
    *(exchange(body=json.dumps(document, indent=1).encode()) for document in DOCUMENTS),
    *(exchange(body=page.encode(), content_type="text/html; charset=utf-8") for page in PAGES),
    *(exchange(headers=(header,)) for header in HEADERS),
    exchange(headers=HEADERS),
    exchange(body=b"name=Ann+Lee&city=K%C3%B6ln&quantity=2", content_type="application/x-www-form-urlencoded"),
]


@pytest.mark.parametrize("ordinary", CORPUS, ids=lambda e: (e.request.target + repr(e.request.body))[:60])
def test_no_false_alarm(ordinary: Exchange) -> None:
    assert list(find_secrets(ordinary)) == []


# But for what a name makes suspicious: fields called password with prose in them, and old masks.
LEFT_ALONE = [e for e in CORPUS if not any(mark in (e.request.body or b"") for mark in (b"*****", b"Bitte geben"))]


@pytest.mark.parametrize("ordinary", LEFT_ALONE, ids=lambda e: (e.request.target + repr(e.request.body))[:60])
def test_redaction_leaves_it_alone(ordinary: Exchange) -> None:
    assert Redactor(Rules(), Pseudonyms(b"k" * 32)).apply(ordinary) is ordinary


def test_the_report_says_that_all_is_well() -> None:
    report = audit_exchanges(CORPUS)
    assert (report.exchanges, report.secrets, report.rows, report.clean) == (len(CORPUS), 0, [], True)
