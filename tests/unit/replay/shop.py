"""Hand-made recordings: users who log in, look, order and pay, each with a token and an order of his own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.workspace.replay import Replay

SECOND = 1_000_000_000
START = 1_760_000_000 * SECOND
FINE = Answer(status=200)
TARGET = "http://127.0.0.1:8080"


def spec(**parts: Any) -> Replay:
    """A replay file with these parts."""
    return Replay.model_validate({"version": 1, "name": "t", "target": "shop", "archive": "a.tba", **parts})


def exchange(
    number: int = 0,
    *,
    at: float = 0.0,
    took: float | None = 0.01,
    session: str = "s",
    method: str = "GET",
    target: str = "/",
    headers: Headers = (),
    body: bytes | None = b"",
    answer: Answer | None = FINE,
    lacks: frozenset[Lack] = frozenset(),
    authority: str = "shop.example",
    redacted: tuple[str, ...] = (),
) -> Exchange:
    """An exchange that began `at` seconds after START and took so long."""
    started = START + round(at * SECOND)
    return Exchange(
        id=f"e{number}",
        session=session,
        source="test",
        started_ns=started,
        ended_ns=None if took is None else started + round(took * SECOND),
        request=Request(method=method, scheme="http", authority=authority, target=target, headers=headers, body=body),
        answer=answer,
        lacks=lacks,
        redacted=redacted,
    )


def said(document: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """A JSON answer."""
    return Answer(
        status=status, headers=(("content-type", "application/json"), *headers), body=json.dumps(document).encode()
    )


def asked(document: Any) -> bytes:
    """A JSON body."""
    return json.dumps(document).encode()


JSON = ("content-type", "application/json")
PRODUCTS = {"products": [{"sku": "book-0001", "price_cents": 1299}, {"sku": "mug-00002", "price_cents": 799}]}


def visit(user: int, *, at: float) -> Iterator[Exchange]:
    """One user's visit of five requests, a tenth of a second apart."""
    token = f"tok{user:03d}a8f3e1c9d7b5"
    order = 90_000 + user * 37
    bearer = ("authorization", f"Bearer {token}")
    cookie = ("cookie", f"theme=dark; sid=sid{user:05d}")
    session = f"user-{user}"
    steps: list[tuple[str, str, Headers, Any, Answer]] = [
        (
            "POST",
            "/login",
            (JSON,),
            {"username": f"user{user}", "password": "tbp_aaaaaaaaaaaaaaaaaaaaaaaa"},
            said({"token": token, "expires_in": 3600}, headers=(("set-cookie", f"sid=sid{user:05d}; Path=/"),)),
        ),
        ("GET", "/products?page=1", (bearer, cookie), None, said(PRODUCTS)),
        (
            "POST",
            "/orders",
            (bearer, cookie, JSON, ("idempotency-key", f"key-{user}")),
            {"sku": "book-0001", "quantity": 1},
            said(
                {"order": {"id": order, "total_cents": 1299}},
                201,
                (("location", f"http://shop.example/orders/{order}"),),
            ),
        ),
        ("GET", f"/orders/{order}", (bearer, cookie), None, said({"id": order, "state": "open"})),
        ("POST", "/pay", (bearer, cookie, JSON), {"order_id": order, "card": "tbp_card"}, said({"paid": True})),
    ]
    for place, (method, target, headers, document, answer) in enumerate(steps):
        yield exchange(
            user * 10 + place,
            at=at + place * 0.1,
            took=0.05,
            session=session,
            method=method,
            target=target,
            headers=headers,
            body=b"" if document is None else asked(document),
            answer=answer,
        )


def visits(users: int, apart: float = 0.03) -> list[Exchange]:
    """The visits of several users, begun so many seconds apart, in order of time."""
    return sorted((e for u in range(users) for e in visit(u, at=u * apart)), key=lambda e: (e.started_ns, e.id))


def fill(arrival: Arrival, values: dict[str, str]) -> tuple[bytes, bytes]:
    """Head and body with the slots filled as the engine does (docs of model.arrival.Slot)."""
    from urllib.parse import quote

    parts = {"head": arrival.head, "body": arrival.body}
    for slot in sorted(arrival.slots, key=lambda s: (s.part, -s.start)):
        text = values[slot.variable]
        new = {
            "raw": lambda t: t.encode("latin-1"),
            "percent": lambda t: quote(t, safe="").encode(),
            "json": lambda t: json.dumps(t, ensure_ascii=False)[1:-1].encode(),
        }[slot.encoding](text)
        data = parts[slot.part]
        parts[slot.part] = data[: slot.start] + new + data[slot.start + slot.length :]
    return parts["head"], parts["body"]


def recorded_at(arrival: Arrival, slot_index: int) -> str:
    """What stands in a slot of an arrival."""
    slot = arrival.slots[slot_index]
    data = arrival.head if slot.part == "head" else arrival.body
    return data[slot.start : slot.start + slot.length].decode("latin-1")
