"""A server cannot tell an iteration of load from a bullet of `fire`, but by the carriers."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import httpx

from tests.unit.load.script.made import ORIGIN, RUN, scenario
from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.load.checks import Checker
from tracer_bullet.load.script import compile_script
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.load import Iteration
from tracer_bullet.model.shots import EngineNote, ShotBatch
from tracer_bullet.scenario import RandomIds, send_bullet
from tracer_bullet.workspace.template import Scalar

ANSWER = {"id": 17, "name": 'a b/ä"?&', "ok": True, "items": [{"price": 2.5}]}
CARRIERS = (b"traceparent", b"tracestate", b"baggage", b"x-tracer-bullet")
ROW: dict[str, Scalar] = {"sku": "ö 1/2", "n": 3}
STEPS: tuple[dict[str, Any], ...] = (
    {
        "request": {"method": "POST", "path": "/orders/${sku}", "query": {"q": ["${n}", "x y"]}, "json": {"n": "${n}"}},
        "expect": {"status": 201, "json": {"$.name": {"contains": "b"}, "$.id": {"gt": "${bullet}"}}},
        "take": {
            "id": "$.id",
            "name": "$['name']",
            "ok": "$.ok",
            "price": "$.items[0].price",
            "etag": "header:ETag",
            "code": "status",
        },
    },
    {
        "request": {
            "method": "PUT",
            "path": "/orders/${id}/${name}",
            "query": {"price": "${price}", "ok": "${ok}"},
            "headers": {"If-Match": "${etag}", "x-n": "n${n}"},
            "json": {"id": "${id}", "price": "${price}", "ok": "${ok}", "text": "${name}!", "code": ["${code}"]},
        },
        "expect": {"status": "2xx", "headers": {"etag": {"contains": "v1"}}},
    },
    {"request": {"method": "POST", "path": "/form", "form": {"id": "${id}", "sku": "${sku}", "run": "${run}"}}},
    {"request": {"method": "POST", "path": "/text", "body": "${name} of ${bullet}"}},
    {"request": {"method": "POST", "path": "/none"}},
    {"request": {"method": "DELETE", "path": "/orders/${id}", "headers": {"User-Agent": "me", "accept": "a/b"}}},
)
Seen = list[tuple[bytes, list[bytes], bytes]]


async def serve(seen: Seen) -> asyncio.Server:
    """Keeps what it is sent, and answers ANSWER with an etag and a cookie."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
                length = next((int(v[16:]) for v in head if v.lower().startswith(b"content-length: ")), 0)
                seen.append((head[0], head[1:], await reader.readexactly(length)))
                body = json.dumps(ANSWER).encode()
                lines = [b"HTTP/1.1 201 Created", b'etag: "v1, x"', b"set-cookie: sid=abc; path=/"]
                lines += [b"content-length: %d" % len(body), b"", body]
                writer.write(b"\r\n".join(lines))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


def plain(seen: Seen) -> list[tuple[bytes, list[bytes], bytes]]:
    """Without the carriers; cookies, which are added last or before the carriers, at the end."""
    return [
        (
            line,
            sorted(
                (h for h in headers if h.partition(b":")[0].lower() not in CARRIERS),
                key=lambda h: h.lower().startswith(b"cookie:"),
            ),
            body,
        )
        for line, headers, body in seen
    ]


def lowered_cookies(headers: list[bytes]) -> list[bytes]:
    return [b"cookie" + h[6:] if h.lower().startswith(b"cookie:") else h for h in headers]


async def both() -> tuple[Seen, Seen, list[ShotBatch], Checker]:
    fired, loaded = Seen(), Seen()
    spec = scenario(*STEPS, variables=dict.fromkeys(ROW, 0) | {"sku": ""})
    first, second = await serve(fired), await serve(loaded)
    port = first.sockets[0].getsockname()[1]
    other = second.sockets[0].getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    script = compile_script(spec, base_url=base, variables={}, origin=ORIGIN, first_endpoint=0, run_id=RUN)
    checker = Checker([script], lambda _: ROW)
    batches: list[ShotBatch] = []
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            plan = type(script.plan)(
                scenario=script.plan.scenario, variables={**script.plan.variables, **ROW}, steps=script.plan.steps
            )
            result = await send_bullet(
                client,
                plan,
                bullet=7,
                run_id=RUN,
                headers_for=lambda trace, span: {"traceparent": f"00-{trace}-{span}-01", "baggage": "a=b"},
                ids=RandomIds(random.Random(1)),
                clock_ns=time.time_ns,
            )
            assert [c for c in result.checks if not c.passed] == []
        settings = EngineSettings(flag_lines=("tracestate: tb=x", "x-tracer-bullet: y"), baggage="a=b")
        async with EngineProcess(settings) as engine:
            engine.define(Origin(number=ORIGIN.number, scheme="http", host="127.0.0.1", port=other))
            for endpoint in script.endpoints:
                engine.define(endpoint)
            made = script.arrivals(
                Iteration(number=7, scenario=0, due_ns=0),
                ROW,
                first_number=0,
                session=0,
                pauses_ns=[1_000_000] * 5,
                keep=True,
            )
            async for told in engine.run([made], time.time_ns()):
                if isinstance(told, ShotBatch):
                    batches.append(checker.shots(told)[0])
                elif not isinstance(told, EngineNote):
                    for kept in told:
                        checker.answer(kept)
    finally:
        for server in (first, second):
            server.close()
            await server.wait_closed()
    return (
        fired,
        [(line, [h.replace(b":%d" % other, b":%d" % port) for h in hs], body) for line, hs, body in loaded],
        batches,
        checker,
    )


def test_load_sends_what_fire_sends() -> None:
    fired, loaded, batches, checker = asyncio.run(both())
    assert len(fired) == len(STEPS)
    for one, other in zip(plain(fired), plain(loaded), strict=True):
        assert one[0] == other[0]
        assert lowered_cookies(one[1]) == lowered_cookies(other[1])
        if one[0].startswith(b"POST /text"):
            assert other[2] == 'a b/ä"?& of 7'.encode()
        assert one[2] == other[2]
    assert [status for b in batches for status in b.status] == [201] * len(STEPS)
    assert [error for b in batches for error in b.error] == [0] * len(STEPS)
    assert (checker.checked, checker.unchecked) == (2, 0)
