"""Paths fold to endpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.replay.reading.endpoints import Endpoints, fold_segment


@pytest.mark.parametrize(
    ("segment", "folded"),
    [
        ("orders", "orders"),
        ("v2", "v2"),
        ("V1.10", "V1.10"),
        ("oauth2", "oauth2"),
        ("17", "{}"),
        ("-3.5,12.25", "{}"),
        ("2026-11-21", "{}"),
        ("2026-11-21T08:00:00.5Z", "{}"),
        ("20261121", "{}"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{}"),
        ("6ba7b8109dad11d180b400c04fd430c8", "{}"),
        ("deadbeef1", "{}"),
        ("facade", "facade"),
        ("feedbac", "feedbac"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "{}"),
        ("cus_9s6XKzkNRiz8i3", "{}"),
        ("order-17", "{}"),
        ("tbp_abcdefghijklmnopqrstuvwx", "{}"),
        ("ann@example.org", "{}"),
        ("ann%40example.org", "{}"),
        ("eyJhbGciOi.J9eyJzdWIiOiIx", "{}"),
        ("how-to-bake-a-chocolate-cake", "how-to-bake-a-chocolate-cake"),
        ("index.html", "index.html"),
        ("main.8f3a9c1d.js", "main.{}.js"),
        ("1234.png", "{}.png"),
        ("jquery.min.js", "jquery.min.js"),
        ("", ""),
    ],
)
def test_a_segment_that_looks_like_a_value_is_folded(segment: str, folded: str) -> None:
    assert fold_segment(segment) == folded


def names(table: Endpoints) -> set[str]:
    return {f"{method} {path}" for method, path in table.names().values()}


def test_methods_queries_and_paths() -> None:
    table = Endpoints()
    first = table.number("GET", "/orders/1?x=1")
    assert table.number("GET", "/orders/2") == first
    assert table.number("POST", "/orders/2") != first
    table.number("GET", "/")
    table.number("OPTIONS", "*")
    assert names(table) == {"GET /orders/{}", "POST /orders/{}", "GET /", "OPTIONS /"}


def test_grpc_methods_stay_as_they_are() -> None:
    table = Endpoints()
    for n in range(100):
        table.number("POST", f"/shop.Cart{n}/Add17", rpc=True)
    assert len(names(table)) == 100
    assert "POST /shop.Cart7/Add17" in names(table)


def test_many_words_of_one_place_are_folded_and_old_numbers_lead_to_the_new_one() -> None:
    table = Endpoints()
    words = [f"{a}{b}" for a in "bcdfgh" for b in ("ook", "ug", "ap", "ell", "oat", "at")]
    numbers = [table.number("GET", f"/products/{word}") for word in words]
    numbers += [table.number("GET", f"/products/{word}/reviews") for word in words]
    table.number("GET", "/products")
    assert names(table) == {"GET /products", "GET /products/{}", "GET /products/{}/reviews"}
    assert len({table.current(n) for n in numbers}) == 2
    assert table.number("GET", "/products/neverseen") == table.current(numbers[0])


def test_few_words_beside_identifiers_stay() -> None:
    table = Endpoints()
    for path in ("/orders/1", "/orders/2", "/orders/search", "/orders/latest"):
        table.number("GET", path)
    assert names(table) == {"GET /orders/{}", "GET /orders/search", "GET /orders/latest"}


def test_the_first_segment_names_resources_and_folds_late() -> None:
    table = Endpoints()
    for a in "bcdfghjklm":
        for b in ("ook", "ug", "ap", "ell", "oat", "at"):
            table.number("GET", f"/{a}{b}")
    assert len(names(table)) == 60


def test_the_table_is_bounded_whatever_comes() -> None:
    table = Endpoints()
    letters = "abcdefghijklmnopqrstuvw"
    for a in letters:
        for b in letters:
            for c in letters:
                table.number("GET", f"/x/{a}a/{b}b/{c}c")
    assert len(names(table)) < 5_001


@given(st.lists(st.tuples(st.sampled_from(["GET", "PUT"]), st.text("ab/1%.", max_size=12)), max_size=200))
def test_every_number_stays_valid(requests: list[tuple[str, str]]) -> None:
    table = Endpoints()
    numbers = [table.number(method, f"/{path}") for method, path in requests]
    known = table.names()
    assert {table.current(n) for n in numbers} == set(known)
    for (method, path), number in zip(requests, numbers, strict=True):
        assert known[table.current(number)][0] == method
        assert table.current(table.number(method, f"/{path}")) == table.current(number)
