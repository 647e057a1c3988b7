"""Secrets, their encodings, and places for them in exchanges: written apart from the code under test."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jwt
from hypothesis import strategies as st

from tracer_bullet.model.exchange import Answer, Exchange, Headers, Request

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
WORDS = "abcdefghijklmnopqrstuvwxyz"


def _text(alphabet: str, fewest: int, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=fewest, max_size=most)


def luhn(digits: str) -> str:
    """The digits with their Luhn digit."""
    total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(
        st.sampled_from(
            [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16)]
        )
    )
    number = luhn(prefix + draw(_text("0123456789", length - len(prefix) - 1, length - len(prefix) - 1)))
    separator = draw(st.sampled_from(["", "", " ", "-"]))
    groups = (4, 6, length - 10) if length < 16 else (4, 4, 4, 4)
    parts, at = [], 0
    for size in groups:
        parts.append(number[at : at + size])
        at += size
    return separator.join(parts)


@st.composite
def jwts(draw: st.DrawFn) -> str:
    claims = draw(
        st.fixed_dictionaries(
            {"sub": _text(WORDS, 1, 12)}, optional={"exp": st.integers(0, 2**33), "x": _text(LETTERS, 1, 9)}
        )
    )
    return jwt.encode(claims, "k" * 32, headers=draw(st.sampled_from([{}, {"kid": "1"}, {"typ": None}])))


PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(["MIIEpAIBAAKCAQEA7bq5vF0fA2cYQ5mJ8tXhN4sK1rW9uZ3eL6oPyDgTnCvBxHsI"] * 3)
    + "\n-----END RSA PRIVATE KEY-----"
)
SHAPED: dict[str, st.SearchStrategy[str]] = {
    "jwt": jwts(),
    "card": cards(),
    "private-key": st.just(PEM),
    "aws-key": _text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, 16).map(lambda t: f"AKIA{t}"),
    "github-token": _text(LETTERS, 36, 36).map(lambda t: f"ghp_{t}"),
    "slack-token": _text(LETTERS, 12, 40).map(lambda t: f"xoxb-{t}"),
    "stripe-key": _text(LETTERS, 24, 24).map(lambda t: f"sk_live_{t}"),
    "google-key": _text(LETTERS, 35, 35).map(lambda t: f"AIza{t}"),
}
TELLING = (
    "token",
    "access_token",
    "refreshToken",
    "password",
    "X-Api-Key",
    "client_secret",
    "user[password]",
    "apikey",
    "sessionId",
)
# What a person or a machine would take for a password; nothing that says so itself, as `none`.
VALUES = _text(LETTERS, 8, 40).filter(
    lambda t: len(set(t)) > 4 and any(c.isdigit() for c in t) and any(c.isupper() for c in t)
)


def _in_claims(text: str) -> str:
    return jwt.encode({"data": text}, "k" * 32)


def _entities(text: str) -> str:
    return "".join(f"&#{ord(c)};" if at % 2 else f"&#x{ord(c):x};" for at, c in enumerate(text))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "percent": lambda t: "".join(f"%{b:02X}" for b in t.encode()),
    "quoted": lambda t: quote(t, safe=""),
    "quoted twice": lambda t: quote(quote(t, safe=""), safe=""),
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "base64 in lines": lambda t: base64.encodebytes(t.encode()).decode(),
    "base64url": lambda t: base64.urlsafe_b64encode(t.encode()).rstrip(b"=").decode(),
    "hex": lambda t: t.encode().hex(),
    "json": lambda t: json.dumps({"a": [1, {"data": t}]}),
    "json string": json.dumps,
    "unicode": lambda t: json.dumps({"a": "@"}).replace("@", "".join(f"\\u{ord(c):04x}" for c in t)),
    "entities": _entities,
    "gzip": lambda t: base64.b64encode(gzip.compress(t.encode(), mtime=0)).decode(),
    "zlib": lambda t: base64.urlsafe_b64encode(zlib.compress(t.encode())).decode(),
    "query": lambda t: "https://shop.example/cb?x=1&data=" + quote(t, safe="") + "&y=2",
    "xml": lambda t: "<a><data>" + t.replace("&", "&amp;").replace("<", "&lt;") + "</data></a>",
    "claims": _in_claims,
}
NAMED: dict[str, Callable[[str, str], str]] = {
    "json": lambda n, v: json.dumps({"id": 7, "user": {n: v}}),
    "list": lambda n, v: json.dumps([{n: [v]}]),
    "form": lambda n, v: f"a=1&{quote(n)}={quote(v)}&b=2",
    "quoted": lambda n, v: f'{n}: "{v}"',
}


def _in_header(text: str) -> str:
    return text if text.isprintable() and text.isascii() else quote(text, safe="")


# Places: a name and a text, put into an exchange. `named` says whether the place shows the name.
Planter = Callable[[str, str], dict[str, Any]]


def _request(body: bytes, content_type: str, *headers: tuple[str, str]) -> dict[str, Any]:
    return {"headers": (("Content-Type", content_type), *headers), "body": body}


def _multipart(name: str, text: str) -> bytes:
    return (
        f'--bnd\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n--bnd\r\n'
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n--bnd--\r\n'
    ).encode()


def _json_body(name: str, text: str) -> bytes:
    return json.dumps({"id": 12, "items": [{"n": 1.50, name: text}], name: "", "last": None}).encode()


PLACES: dict[str, Planter] = {
    "path": lambda n, t: {"target": f"/a/{quote(n)}={quote(t)}/b"},
    "query": lambda n, t: {"target": f"/a?x=1&{quote(n)}={quote(t)}"},
    "header": lambda n, t: {"headers": ((n.replace("[", "-").replace("]", ""), _in_header(t)),)},
    "cookie": lambda n, t: {"headers": (("Cookie", f"a=1; {quote(n)}={quote(t)}"),)},
    "json": lambda n, t: _request(_json_body(n, t), "application/json; charset=utf-8"),
    "json in utf-16": lambda n, t: _request(_json_body(n, t).decode().encode("utf-16"), "application/json"),
    "gzip": lambda n, t: _request(gzip.compress(_json_body(n, t)), "application/json", ("Content-Encoding", "gzip")),
    "lines": lambda n, t: _request(b'{"a":1}\n' + _json_body(n, t) + b"\n", "application/x-ndjson"),
    "events": lambda n, t: _request(b"event: x\ndata: " + _json_body(n, t) + b"\n\n", "text/event-stream"),
    "form": lambda n, t: _request(f"a=1&{quote(n)}={quote(t)}".encode(), "application/x-www-form-urlencoded"),
    "multipart": lambda n, t: _request(_multipart(n, t), "multipart/form-data; boundary=bnd"),
    "text": lambda n, t: _request(f'He said: {n}="{t}" and left.'.encode(), "text/plain"),
    "no type": lambda n, t: {"body": _json_body(n, t)},
    "trailer": lambda n, t: {"trailers": ((n.replace("[", "-").replace("]", ""), _in_header(t)),)},
}


def exchange_with(fields: dict[str, Any], *, in_answer: bool) -> Exchange:
    """An exchange with planted fields in its request or, but for the target, in its answer."""
    plain: Headers = (("Host", "shop"), ("Accept", "*/*"))
    wanted = {"method": "POST", "scheme": "http", "authority": "shop:80", "target": "/a"}
    if in_answer and "target" not in fields:
        fields = {
            **fields,
            "headers": tuple(
                ("Set-Cookie", v.split("; ")[1]) if k == "Cookie" else (k, v) for k, v in fields.get("headers", ())
            ),
        }
        return Exchange(
            id="7",
            session="",
            source="test",
            started_ns=1,
            request=Request(**wanted, headers=plain),
            answer=Answer(status=200, **fields),
        )
    return Exchange(
        id="7",
        session="",
        source="test",
        started_ns=1,
        request=Request(**{**wanted, "headers": plain, **fields}),
        answer=Answer(status=204),
    )
