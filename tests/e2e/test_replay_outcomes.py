"""Claim: nothing is replayed at a system that is not proved harmless, and what is replayed is judged by its answers,
its traces and its own punctuality."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Range
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.cli.init import write_workspace
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import Outcome, RunEnded, Verdict
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.runs.replay.job import prepare_replay
from tracer_bullet.runs.replay.recipe import replay
from tracer_bullet.sim import Simulation, dump_database, shop_topology
from tracer_bullet.traces import Receiver
from tracer_bullet.workspace.runs import RunFolder, read_json

FILE = """
version: 1
name: browsing
target: shop
archive: browsing.tba
timing: {speed: 10x}
compare:
  noise_pairs: 2
  # Rolled back each time, the same number is given again, so that pairs do not show that it is new.
  ignore: [{field: $.cart_id, endpoint: "POST /cart", why: a new cart has a new number}]
guardrails: {lateness_p99_ms: 60000}
limits: {answer_s: 120, total_s: 300}
proof: {traces_per_s: 1000}
"""
SESSIONS = 8
CART = b'{"sku": "mug", "quantity": 1}'
JSON = (("content-type", "application/json"),)


@dataclass(frozen=True)
class Ended:
    """What a replay came to."""

    verdict: Verdict
    report: ReplayReport
    folder: RunFolder

    def findings(self, rule: str) -> list[Any]:
        return [f for f in self.verdict.findings if f.rule == rule]


def visit(client: httpx.Client, session: int) -> Iterator[Exchange]:
    """A customer looks at the products, and puts a mug into a cart; as the shop answers it."""
    for place, (method, path, body) in enumerate((("GET", "/products", b""), ("POST", "/cart", CART))):
        began = time.time_ns()
        got = client.request(method, path, content=body, headers=dict(JSON) if body else {})
        got.raise_for_status()
        yield Exchange(
            id=f"{session}-{place}",
            session=f"s-{session}",
            source="tests",
            started_ns=began,
            ended_ns=time.time_ns(),
            request=Request(method=method, scheme="http", authority="shop.example", target=path,
                            headers=JSON if body else (), body=body),
            answer=Answer(status=got.status_code, headers=JSON, body=got.content),
        )  # fmt: skip


def record(r: Range, extra: Sequence[Exchange] = (), name: str = "browsing") -> Path:
    """Customers' visits, and the file of their replay."""
    folder = r.workspace / "replay"
    folder.mkdir(exist_ok=True)
    with (
        httpx.Client(base_url=r.shop.url, timeout=60) as client,
        ArchiveWriter(folder / f"{name}.tba", created_by="tests") as writer,
    ):
        for session in range(SESSIONS):
            for one in visit(client, session):
                writer.append(one)
        for one in extra:
            writer.append(one)
    path = folder / f"{name}.yaml"
    path.write_text(FILE.replace("browsing", name))
    return path


def run(r: Range, file: Path, *, settle_s: float = 60.0) -> Ended:
    job = prepare_replay(file, environ=os.environ, target=r.shop.url, system=r.shop.system())
    job = replace(job, traces=job.traces.model_copy(update={"settle_s": settle_s, "quiet_s": 0.3}))

    async def main() -> RunEnded:
        events = [event async for event in replay(job, r.receiver)]
        assert isinstance(events[-1], RunEnded)
        return events[-1]

    ended = asyncio.run(main())
    folder = RunFolder(path=ended.folder)
    return Ended(ended.verdict, read_json(folder.replay, ReplayReport), folder)


def dumps(r: Range) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in r.shop.database_urls.items()}


@contextmanager
def shop_in(folder: Path, careless: dict[str, tuple[str, ...]] | None = None) -> Iterator[Range]:
    workspace = folder / "workspace"
    write_workspace(workspace, overwrite=False)
    create_keys(workspace / ".tracer-bullet" / "keys")
    jwks = str(workspace / ".tracer-bullet" / "keys" / "jwks.json")
    with Receiver("127.0.0.1", 0) as receiver:
        shop = Simulation(
            shop_topology(), data_dir=folder / "data", otlp_endpoint=f"{receiver.url}/v1/traces", keys=jwks,
            careless=careless, ports="free",
        )  # fmt: skip
        with shop:
            yield Range(workspace, shop, receiver)


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    """A shop whose services do all that they should; its tests leave it as it was."""
    with shop_in(tmp_path_factory.mktemp("careful")) as r:
        yield r


@pytest.mark.parametrize(
    ("careless", "service"), [({"cart": ("no_guard",)}, "cart"), ({"gateway": ("drops_flag",)}, "catalog")]
)
def test_a_careless_service_keeps_everything_from_being_replayed(
    tmp_path: Path, careless: dict[str, tuple[str, ...]], service: str
) -> None:
    with shop_in(tmp_path, careless) as r:
        ended = run(r, record(r), settle_s=3.0)
    assert ended.verdict.outcome is Outcome.FAILED
    (armed,) = ended.findings("not-armed")
    assert "not proved harmless, so nothing was replayed" in armed.message
    assert service in {f.service for f in ended.verdict.findings}, ended.verdict.findings
    assert ended.report.accounting.sent == 0
    assert ended.report.endpoints == ()
    assert int(ended.verdict.outcome.exit_code) == 1


def test_lost_spans_prove_nothing(tmp_path: Path) -> None:
    with shop_in(tmp_path, {"cart": ("drops_spans",)}) as r:
        ended = run(r, record(r), settle_s=3.0)
    assert ended.verdict.outcome is Outcome.INCONCLUSIVE, ended.verdict.findings
    assert int(ended.verdict.outcome.exit_code) == 3
    assert ended.findings("not-armed")
    assert ended.report.accounting.sent == 0


def test_what_differs_is_told_by_endpoint_and_field(careful: Range) -> None:
    file = record(careful, name="prices")
    path = careful.shop.database_urls["catalog"].partition("///")[2]
    with closing(sqlite3.connect(f"/{path.lstrip('/')}")) as connection, connection:
        (before,) = connection.execute("SELECT price_cents FROM products WHERE sku = 'mug'").fetchone()
        connection.execute("UPDATE products SET price_cents = 1 WHERE sku = 'mug'")
    try:
        ended = run(careful, file)
    finally:
        with closing(sqlite3.connect(f"/{path.lstrip('/')}")) as connection, connection:
            connection.execute("UPDATE products SET price_cents = ? WHERE sku = 'mug'", (before,))
    assert ended.verdict.outcome is Outcome.FAILED, ended.verdict.findings
    (finding,) = ended.findings("answer-differs")
    assert (finding.operation, finding.hop) == ("GET /products", "$.items[*].price_cents")
    assert f"{SESSIONS} of {SESSIONS} answers differ" in finding.message
    assert ended.report.comparison is not None
    assert ended.report.comparison.findings[0].examples == ((str(before), "1"),)
    cases = {c.get("name"): c for c in ET.parse(ended.folder.junit).iter("testcase")}
    failure = cases["GET /products"].find("failure")
    assert failure is not None
    assert failure.get("type") == "answer-differs"
    assert cases["POST /cart"].find("failure") is None


def test_a_late_harness_says_nothing_of_the_target(careful: Range) -> None:
    file = record(careful, name="late")
    file.write_text(file.read_text().replace("lateness_p99_ms: 60000", "lateness_p99_ms: 0.000001"))
    ended = run(careful, file)
    assert ended.verdict.outcome is Outcome.INCONCLUSIVE, ended.verdict.findings
    assert [f.rule for f in ended.verdict.findings] == ["late"]
    assert not ended.report.timing.valid
    assert ended.report.accounting.sent == 2 * SESSIONS


def test_a_write_whose_body_was_not_recorded_is_never_sent(careful: Range) -> None:
    now = time.time_ns()
    bare = Exchange(
        id="bare", session="s-bare", source="tests", started_ns=now, ended_ns=now + 1_000_000,
        request=Request(method="POST", scheme="http", authority="shop.example", target="/checkout", body=None),
        answer=Answer(status=201), lacks=frozenset({Lack.REQUEST_BODY, Lack.REQUEST_HEADERS}),
    )  # fmt: skip
    file = record(careful, [bare], name="bare")
    before, charges = dumps(careful), careful.shop.third_party_calls
    ended = run(careful, file)
    assert ended.verdict.outcome is Outcome.PASSED, ended.verdict.findings
    accounting = ended.report.accounting
    assert dict(accounting.refused) == {"write-without-body": 1}
    assert accounting.planned == accounting.sent + 1 == 2 * SESSIONS + 1
    assert {e.endpoint for e in ended.report.endpoints} == {"GET /products", "POST /cart"}
    assert dumps(careful) == before, "carts were filled, and nothing was written"
    assert careful.shop.third_party_calls == charges
