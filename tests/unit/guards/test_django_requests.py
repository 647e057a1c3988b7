"""Claim: a Django service takes bullets over WSGI and ASGI, with a line of code or with none, and only customers' rows
stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.django_site import DjangoDatabase, django_database
from tracer_bullet.guards import asgi, frameworks, wsgi

Get = Callable[..., httpx.Response]


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def site(request: pytest.FixtureRequest) -> Iterator[DjangoDatabase]:
    with django_database(request.param, request) as found:
        yield found


@pytest.fixture(params=["installed", "middleware"])
def applications(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """The service over WSGI and over ASGI."""
    if request.param == "middleware":
        yield wsgi.GuardMiddleware(WSGIHandler()), asgi.GuardMiddleware(ASGIHandler())  # type: ignore[no-untyped-call]
        return
    frameworks.install()
    yield WSGIHandler(), ASGIHandler()  # type: ignore[no-untyped-call]
    frameworks.uninstall()


@pytest.fixture(params=["wsgi", "asgi"])
def get(request: pytest.FixtureRequest, applications: tuple[Any, Any]) -> Get:
    """Requests to it, one after the other or many at once."""

    def over_wsgi(path: str, headers: dict[str, str]) -> httpx.Response:
        try:
            with httpx.Client(transport=httpx.WSGITransport(applications[0]), base_url="http://cart") as client:
                return client.get(path, headers=headers)
        finally:
            connections.close_all()

    async def over_asgi(path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(applications[1])
        async with httpx.AsyncClient(transport=transport, base_url="http://cart", timeout=60) as client:
            return await client.get(path, headers=headers)

    if request.param == "wsgi":
        return over_wsgi
    return lambda path, headers: asyncio.run(over_asgi(path, headers))


def test_a_request(get: Get, site: DjangoDatabase, arm_service: Any, flag_headers: Any, telemetry: Telemetry) -> None:
    arm_service()
    answer = get("/place?sku=x", flag_headers())
    assert answer.status_code == 201
    assert (answer.json()["run"], answer.json()["count"]) == ("run-1", 2)
    assert site.rows == ["first"]
    site.assert_nothing_open()
    assert get("/place?sku=first", flag_headers()).status_code == 409
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 2
    assert len(telemetry.having("tb.sealed_spans")) == 2
    answer = get("/place?sku=x", {})
    assert (answer.status_code, answer.json()["run"]) == (201, None)
    assert site.rows == ["first", "x"]


def test_an_asynchronous_view(get: Get, site: DjangoDatabase, arm_service: Any, flag_headers: Any) -> None:
    arm_service()
    answer = get("/place-async?sku=x", flag_headers())
    assert (answer.status_code, answer.json()["run"], answer.json()["count"]) == (201, "run-1", 3)
    assert site.rows == ["first"]
    site.assert_nothing_open()
    assert get("/place-async?sku=x", {}).json()["count"] == 3
    assert sorted(site.rows) == ["first", "x", "x-2"]


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
def test_an_answer_that_is_made_while_it_goes_out(
    get: Get, site: DjangoDatabase, arm_service: Any, flag_headers: Any
) -> None:
    arm_service()
    assert get("/stream?sku=x", flag_headers()).text == "run-1"
    assert site.rows == ["first"]
    site.assert_nothing_open()
    assert get("/stream?sku=x", {}).text == "nobody"
    assert site.rows == ["first", "x"]


def test_a_bullet_without_proof_is_refused(get: Get, arm_service: Any, flag_headers: Any) -> None:
    arm_service()
    answer = get("/", {**flag_headers(), "x-tracer-bullet": "forged"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:ambiguous")
    assert get("/", {}).json() == {"run": None}


def test_installing_twice_wraps_once_and_uninstalling_gives_back_the_originals() -> None:
    kinds = (WSGIHandler, ASGIHandler)
    before = [id(vars(kind)["__call__"]) for kind in kinds]
    frameworks.install()
    once = [id(vars(kind)["__call__"]) for kind in kinds]
    frameworks.install()
    assert [id(vars(kind)["__call__"]) for kind in kinds] == once
    assert not set(once) & set(before)
    frameworks.uninstall()
    assert [id(vars(kind)["__call__"]) for kind in kinds] == before


def test_many_requests_at_once_of_bullets_and_customers_who_want_the_same_keys(
    request: pytest.FixtureRequest, arm_service: Any, flag_headers: Any, telemetry: Telemetry
) -> None:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(asgi.GuardMiddleware(ASGIHandler(), arm_service()))  # type: ignore[no-untyped-call]
        async with httpx.AsyncClient(transport=transport, base_url="http://cart", timeout=60) as client:
            wanted = [(i, flag_headers(f"{i + 1:032x}") if bullet else {}) for i in range(20) for bullet in (1, 0)]
            return await asyncio.gather(*(client.get(f"/place?sku=s{i}", headers=h) for i, h in wanted))

    with django_database("postgresql", request) as site:
        answers = asyncio.run(main())
        assert {a.status_code for a in answers[1::2]} == {201}
        assert {a.status_code for a in answers[::2]} <= {201, 409}
        assert sorted(site.rows) == sorted(["first", *(f"s{i}" for i in range(20))])
        site.assert_nothing_open()
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 20
