"""The shop, end to end: real HTTP, real rows, real spans; with and without bullets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tracer_bullet.sim import Simulation, Topology

SERVICES = {"gateway", "accounts", "orders", "catalog", "cart", "checkout", "inventory", "payment", "notifications"}
ANSWER = {"order_id": 2, "total_cents": 5700, "payment": {"status": "authorised"}}
SERVER, CLIENT = 2, 3


@pytest.mark.parametrize("mode", ["thread", "processes"])
def test_a_checkout_writes_charges_and_makes_one_trace(
    shop: Topology, run: Any, buy: Any, sink: Any, dumps: Any, mode: str
) -> None:
    simulation = run(shop, mode=mode, otlp_endpoint=sink.endpoint)
    answer = buy(simulation, {"traceparent": f"00-{'cd' * 16}-00000000000000aa-01"})
    assert (answer.status_code, answer.json()) == (201, ANSWER)
    rows = dumps(simulation)
    assert rows["checkout"]["orders"] == [(1, "placed", 2500), (2, "placed", 5700)]
    assert rows["checkout"]["order_lines"][1:] == [(2, 2, "mug", 2, 1250), (3, 2, "book", 1, 3200)]
    assert rows["inventory"]["reservations"] == [(1, "mug", 2), (2, "book", 1)]
    assert dict(rows["inventory"]["stock"])["mug"] == 999_998
    assert rows["payment"]["payments"] == [(1, 2, 5700, "authorised")]
    assert rows["notifications"]["messages"] == [(1, "order-placed", "order 2")]
    (charge,) = simulation.third_party_calls
    assert (charge.operation, charge.path, charge.body) == (
        "charge",
        "/charges",
        {"amount_cents": 5700, "reference": "order 2"},
    )

    simulation.flush()
    spans = sink.in_trace("cd" * 16)
    assert {s.service for s in spans} == SERVICES - {"accounts", "cart", "orders"}
    known = {s.span_id for s in spans} | {"00000000000000aa"}
    assert {s.parent_id for s in spans} <= known
    assert {s.name for s in spans if s.kind == SERVER} == {
        "POST /checkout",
        "POST /orders",
        "GET /products/{sku}",
        "POST /reservations",
        "POST /payments",
        "POST /messages",
    }
    assert not any(key.startswith("tb.") for s in spans for key in s.attributes)


@pytest.mark.parametrize("mode", ["thread", "processes"])
def test_a_bullet_is_answered_alike_and_writes_nothing(
    shop: Topology, run: Any, buy: Any, sink: Any, dumps: Any, jwks: str, flag_headers: Any, mode: str
) -> None:
    simulation = run(shop, mode=mode, otlp_endpoint=sink.endpoint, keys=jwks)
    before = dumps(simulation)
    answer = buy(simulation, flag_headers("ef" * 16))
    assert (answer.status_code, answer.json()) == (201, ANSWER)
    assert dumps(simulation) == before
    assert simulation.third_party_calls == ()
    simulation.flush()
    spans = sink.in_trace("ef" * 16)
    assert {s.service for s in spans} == SERVICES - {"accounts", "cart", "orders"}
    assert all(s.attributes.get("tb.request_type") == "TRACE" for s in spans)
    assert "stubbed" in {s.attributes.get("tb.guard.decision") for s in spans if s.service == "payment"}

    assert buy(simulation).json() == ANSWER
    assert dumps(simulation) != before
    assert len(simulation.third_party_calls) == 1


def test_many_bullets_at_once_write_nothing_and_as_many_customers_do(
    shop: Topology, run: Any, buy: Any, dumps: Any, jwks: str, flag_headers: Any
) -> None:
    simulation = run(shop, keys=jwks)
    before = dumps(simulation)
    with ThreadPoolExecutor(8) as threads:
        bullets = list(threads.map(lambda i: buy(simulation, flag_headers(f"{i + 1:032x}")), range(40)))
        assert {answer.status_code for answer in bullets} == {201}
        assert dumps(simulation) == before
        mixed = list(threads.map(lambda i: buy(simulation, flag_headers() if i % 2 else None), range(40)))
    assert {answer.status_code for answer in mixed} == {201}
    after = dumps(simulation)
    assert len(after["checkout"]["orders"]) == 21
    assert len(after["notifications"]["messages"]) == 20
    assert dict(after["inventory"]["stock"])["mug"] == 1_000_000 - 40
    assert len(simulation.third_party_calls) == 20


@pytest.fixture
def client(shop: Topology, run: Callable[..., Simulation]) -> Any:
    with httpx.Client(base_url=run(shop).url, trust_env=False, timeout=120) as client:
        yield client


def test_products_cart_and_orders(client: httpx.Client) -> None:
    items = client.get("/products").json()["items"]
    assert items[0] == {"sku": "book", "name": "The Art of Tracing", "price_cents": 3200}
    assert len(items) == 4
    cart = client.post("/cart", json={"sku": "mug", "quantity": 1})
    assert (cart.status_code, cart.json()) == (201, {"cart_id": 1})
    order = client.get("/orders/1")
    assert order.status_code == 200
    assert order.json()["total_cents"] == 2500
    assert [line["sku"] for line in order.json()["lines"]] == ["mug"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/orders/77", None, 404),
        ("GET", "/orders/abc", None, 400),
        ("POST", "/cart", b'{"sku": "nothing", "quantity": 1}', 404),
        ("POST", "/cart", b'{"sku": "mug", "quantity": "many"}', 400),
        ("POST", "/cart", b'{"sku": "mug"}', 400),
        ("POST", "/checkout", b'{"items": 3}', 400),
        ("POST", "/checkout", b'{"items": [{"sku": "mug", "quantity": "x"}]}', 400),
        ("POST", "/checkout", b"{", 400),
        ("POST", "/checkout", b"[]", 400),
        ("POST", "/checkout", b"\xff", 400),
        ("DELETE", "/checkout", None, 405),
        ("GET", "/nothing", None, 404),
        ("GET", "/healthz", None, 200),
    ],
)
def test_mistakes_of_clients_are_theirs(
    client: httpx.Client, method: str, path: str, content: bytes | None, status: int
) -> None:
    assert client.request(method, path, content=content).status_code == status


def test_the_shop_runs_on_postgresql(
    shop: Topology, run: Any, buy: Any, dumps: Any, jwks: str, flag_headers: Any, postgres: str
) -> None:
    simulation = run(shop, keys=jwks, databases={"checkout": postgres})
    assert simulation.database_urls["checkout"].startswith("postgresql://")
    before = dumps(simulation)
    assert before["checkout"]["orders"] == [(1, "placed", 2500)]
    assert buy(simulation, flag_headers()).status_code == 201
    assert dumps(simulation) == before
    answer = buy(simulation)
    assert answer.status_code == 201
    written = dumps(simulation)["checkout"]
    # A sequence is not rolled back: the bullet took a number.
    assert written["orders"][1:] == [(answer.json()["order_id"], "placed", 5700)]
    assert len(written["order_lines"]) == 3
