"""Claim: what customers did is recorded, and done again by testers ten times as fast, and nothing is written."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.envoy import EnvoyUnavailableError, envoy_binary
from tests.servers.postgres import PostgresServer
from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.proxy import ProxyReady, ProxySpec, parse_target, run_proxy
from tracer_bullet.model import Outcome, RunEnded, Verdict
from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.runs.capture import capture_rules, open_recorder
from tracer_bullet.runs.replay.job import prepare_replay
from tracer_bullet.runs.replay.recipe import replay
from tracer_bullet.sim import dump_database
from tracer_bullet.workspace.runs import RunFolder, read_json

CUSTOMERS = (("ann", "apple"), ("ben", "berry"), ("cleo", "cherry"))
FILE = """
version: 1
name: shopping
target: shop
archive: shopping.tba
identities:
  accounts:
    - {user: tester-1, password: t-1}
    - {user: tester-2, password: t-2}
    - {user: tester-3, password: t-3}
    - {user: tester-4, password: t-4}
  places:
    - {at: "json:$.user", value: "${user}", paths: [/login]}
    - {at: "json:$.password", value: "${password}", paths: [/login]}
timing: {speed: 10x, clones: 3}
compare:
  noise_pairs: 3
  ignore:
    - {field: $.user, endpoint: "POST /login", why: testers are others}
    - {field: "$.orders*", why: testers have ordered other things}
guardrails: {lateness_p99_ms: 5000}
limits: {answer_s: 120, total_s: 300}
proof: {traces_per_s: 1000}
"""


def shop_around(address: str, user: str, password: str, seed: int) -> None:
    """One customer's visit: log in, look, order, pay."""
    pause = random.Random(seed)
    with httpx.Client(base_url=address, timeout=60) as client:
        client.get("/products").raise_for_status()
        token = client.post("/login", json={"user": user, "password": password}).raise_for_status().json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        client.get("/account/orders", headers=headers).raise_for_status()
        order = client.post("/account/orders", headers=headers, json={"sku": "mug", "quantity": pause.randint(1, 3)})
        path = f"/account/orders/{order.raise_for_status().json()['order_id']}/payment"
        client.post(path, headers=headers, json={}).raise_for_status()


def record(shop_url: str, archive: Path, workspace: Path, visit: Callable[[str], None]) -> None:
    """Let `visit` go through a capturing proxy before the shop."""
    with open_recorder(archive, capture_rules(workspace, os.environ), created_by="tests") as recorder:

        async def main() -> None:
            stop = asyncio.Event()
            async for event in run_proxy(ProxySpec(host="127.0.0.1", port=0, target=parse_target(shop_url)),
                                         recorder.take, stop=stop):  # fmt: skip
                if isinstance(event, ProxyReady):
                    address = f"http://127.0.0.1:{event.port}"
                    visiting = asyncio.create_task(asyncio.to_thread(visit, address))
                    visiting.add_done_callback(lambda _: stop.set())
            await visiting

        asyncio.run(main())


def run_replay(file: Path, r: Any, **settings: Any) -> tuple[Verdict, RunFolder, ReplayReport]:
    job = prepare_replay(file, environ=os.environ, target=r.shop.url, system=r.shop.system(), **settings)
    job = replace(job, traces=job.traces.model_copy(update={"settle_s": 60.0, "quiet_s": 0.3}))

    async def main() -> RunEnded:
        events = [event async for event in replay(job, r.receiver)]
        assert isinstance(events[-1], RunEnded)
        return events[-1]

    ended = asyncio.run(main())
    folder = RunFolder(path=ended.folder)
    return ended.verdict, folder, read_json(folder.replay, ReplayReport)


@pytest.fixture
def recorded(firing_range: Callable[..., Any], postgres: PostgresServer, workspace: Path) -> Iterator[Any]:
    """A shop on PostgreSQL, since bullets hold transactions there, and customers' visits in an archive."""
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(str(error))
    names = ("accounts", "orders", "payment")
    databases = {name: postgres.create_database() for name in names}
    with firing_range(databases=databases) as r:

        def visit(address: str) -> None:
            visits = [
                threading.Thread(target=shop_around, args=(address, *customer, seed))
                for seed, customer in enumerate(CUSTOMERS)
            ]
            for one in visits:
                one.start()
            for one in visits:
                one.join()

        (workspace / "replay").mkdir(exist_ok=True)
        record(r.shop.url, workspace / "replay" / "shopping.tba", workspace, visit)
        (workspace / "replay" / "shopping.yaml").write_text(FILE)
        yield r


def dumps(shop: Any) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in shop.database_urls.items()}


def test_customers_visits_are_replayed_by_testers_and_nothing_is_written(recorded: Any, workspace: Path) -> None:
    archive = workspace / "replay" / "shopping.tba"
    exchanges = list(open_archive(archive).exchanges())
    assert len(exchanges) == 15
    assert len({e.session for e in exchanges if e.request.target != "/products"}) == 3
    raw = b"".join(p.read_bytes() for p in archive.parent.iterdir())
    assert b"apple" not in json.dumps([e.request.body.decode() for e in exchanges if e.request.body]).encode() + raw
    before, charges = dumps(recorded.shop), recorded.shop.third_party_calls
    verdict, folder, report = run_replay(workspace / "replay" / "shopping.yaml", recorded)
    assert verdict.outcome is Outcome.PASSED, (verdict.findings, report.stop, report.accounting)
    assert report.accounting.sent == report.accounting.answered == 45
    statuses = {e.endpoint: dict(e.statuses) for e in report.endpoints}
    assert statuses == {
        "GET /products": {"200": 9},
        "POST /login": {"200": 9},
        "GET /account/orders": {"200": 9},
        "POST /account/orders": {"201": 9},
        "POST /account/orders/{}/payment": {"201": 9},
    }
    assert dumps(recorded.shop) == before
    assert recorded.shop.third_party_calls == charges
    assert folder.report.exists()
