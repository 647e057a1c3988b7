"""ASGI applications from topologies: a service's operations, and third parties that record what they got."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tracer_bullet.sim.chance import generator
from tracer_bullet.sim.operations import Operations, RefusalError, pass_time
from tracer_bullet.sim.telemetry import HEALTH_PATH
from tracer_bullet.sim.templates import MissingValueError, render
from tracer_bullet.workspace.topology import Endpoint, Service, ThirdParty
from tracer_bullet.workspace.topology_checks import INPUT

Answer = Callable[[dict[str, Any], Request], Awaitable[tuple[int, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdPartyCall:
    """A request that a third party received. `body` is its path parameters, query and JSON body together."""

    third_party: str
    operation: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: Mapping[str, Any]


def service_routes(name: str, service: Service, operations: Operations, seed: int) -> list[Route]:
    """The routes of a service: its operations, and one that says that it is up."""

    def answer(operation_name: str) -> Answer:
        operation = service.operations[operation_name]
        random = generator(seed, name, operation_name)
        return lambda given, _request: operations.run(operation, given, random)

    routes = [_route(endpoint, answer(operation)) for operation, endpoint in service.operations.items()]
    return [*routes, _health(name)]


def third_party_routes(
    name: str, party: ThirdParty, seed: int, record: Callable[[ThirdPartyCall], None]
) -> list[Route]:
    """The routes of a third party. `record` is given each call before it is answered."""

    def answer(operation_name: str) -> Answer:
        endpoint = party.operations[operation_name]
        random = generator(seed, name, operation_name)

        async def run(given: dict[str, Any], request: Request) -> tuple[int, Any]:
            record(
                ThirdPartyCall(
                    third_party=name,
                    operation=operation_name,
                    method=request.method,
                    path=request.url.path,
                    headers=tuple(request.headers.items()),
                    body=given,
                )
            )
            try:
                await pass_time(endpoint, random)
                return endpoint.respond.status, render(endpoint.respond.json_, {INPUT: given})
            except RefusalError as refusal:
                return refusal.status, {"error": refusal.message}
            except MissingValueError as missing:
                return 400, {"error": str(missing)}

        return run

    return [*(_route(endpoint, answer(operation)) for operation, endpoint in party.operations.items()), _health(name)]


def _route(endpoint: Endpoint, answer: Answer) -> Route:
    async def handle(request: Request) -> JSONResponse:
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return JSONResponse({"error": "the body is not a JSON object"}, 400)
        given = {**_bearer(request), **request.query_params, **body, **request.path_params}
        status, answered = await answer(given, request)
        return JSONResponse(answered, status)

    return Route(endpoint.path, handle, methods=[endpoint.method])


def _bearer(request: Request) -> dict[str, str]:
    """The credential of a request, as `bearer` (RFC 6750, section 2.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return {"bearer": token} if scheme.lower() == "bearer" and token else {}


def _health(name: str) -> Route:
    async def handle(_request: Request) -> JSONResponse:
        return JSONResponse({"service": name})

    return Route(HEALTH_PATH, handle, methods=["GET"])
