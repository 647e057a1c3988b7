"""Claim: people's own locustfiles run unchanged, every request is a bullet, and nothing is written."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import run_cli
from tracer_bullet.cli.init import write_workspace
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import Outcome, SpanKind, Verdict
from tracer_bullet.model.attributes import REQUEST_TYPE
from tracer_bullet.model.load import LoadReport
from tracer_bullet.runs.store import read_spans
from tracer_bullet.sim import Simulation, dump_database, shop_topology
from tracer_bullet.workspace.runs import RunFolder, latest_run, read_json

# Not importorskip: importing Locust patches the standard library.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")
FILES = Path(__file__).parent / "locustfiles"
SETTINGS = """
version: 1
targets:
  shop:
    url: {url}
    services: [{services}]
    third_parties: [{third_parties}]
traces: {{source: embedded, listen: "127.0.0.1:{port}", settle_s: 20, quiet_s: 0.3}}
"""
TRACER_USER = """
from locust import LoadTestShape, constant, task
from tracer_bullet.load.locustfile import TracerFastHttpUser, TracerUser


class Shopper(TracerUser):
    wait_time = constant(0.1)

    @task
    def look(self):
        self.client.get("/products")


class Quick(TracerFastHttpUser):
    wait_time = constant(0.1)

    @task
    def look(self):
        self.client.get("/products", name="products, fast")


class UntilEnough(LoadTestShape):
    def tick(self):
        entries = self.runner.stats.entries.values()
        return None if len(entries) > 1 and all(e.num_requests > 5 for e in entries) else (4, 4)

"""


@contextmanager
def running_shop(folder: Path, **settings: Any) -> Iterator[tuple[Simulation, Path]]:
    """A shop, and a workspace whose receiver, which the command line opens, gets the shop's spans."""
    workspace = folder / "workspace"
    write_workspace(workspace, overwrite=False)
    create_keys(workspace / ".tracer-bullet" / "keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Simulation(
        shop_topology(),
        data_dir=folder / "data",
        otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces",
        keys=str(workspace / ".tracer-bullet" / "keys" / "jwks.json"),
        ports="free",
        **settings,
    ) as shop:
        system = shop.system()
        told = SETTINGS.format(
            url=shop.url,
            port=port,
            services=", ".join(system.services),
            third_parties=", ".join(f'"{t}"' for t in system.third_parties),
        )
        (workspace / "tracer-bullet.yaml").write_text(told)
        yield shop, workspace


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulation, Path]]:
    with running_shop(tmp_path_factory.mktemp("guarded")) as running:
        yield running


def load(workspace: Path, locustfile: str, *options: str) -> tuple[int, str, RunFolder]:
    done = run_cli("load", "-f", str(locustfile), "--headless", "--only-summary", *options, cwd=workspace)
    folder = latest_run(workspace)
    assert folder is not None, done.stderr
    return done.returncode, done.stdout + done.stderr, folder


def dumps(shop: Simulation) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in shop.database_urls.items()}


def test_a_locustfile_runs_unchanged_and_writes_nothing(guarded: tuple[Simulation, Path]) -> None:
    shop, workspace = guarded
    before, charges = dumps(shop), shop.third_party_calls
    code, out, folder = load(
        workspace, str(FILES / "browsing.py"), "-u", "6", "-r", "6", "-t", "5m",
        "--sku", "mug", "--exclude-tags", "never", "--csv", str(workspace / "stats"),
        "--json-file", str(workspace / "stats"),
    )  # fmt: skip
    assert code == 0, out
    assert dumps(shop) == before
    assert shop.third_party_calls == charges
    verdict, report = read_json(folder.verdict, Verdict), read_json(folder.load, LoadReport)
    assert verdict.outcome is Outcome.PASSED
    assert report.model == "closed"
    # What answers 404 is armed by its third clean request, which may not have come.
    assert {"POST /login", "POST /cart", "POST /checkout", "GET /products"} == {*report.armed} - {"GET /no-such-page"}
    # Locust's own figures, hooks and arguments are as ever.
    counted = sum(entry["num_requests"] for entry in json.loads((workspace / "stats.json").read_text()))
    assert counted == report.accounting.sent == sum(s.sent for s in report.steps)
    assert "Aggregated" in (workspace / "stats_stats.csv").read_text()
    assert re.search(r"HOOKS SAW \d+ AND mug", out)
    # All that services saw in the audited traces had the flag; each request has its own harness span above it.
    spans = read_spans(folder)
    servers = [s for s in spans if s.kind is SpanKind.SERVER]
    assert servers
    assert {s.attributes.get(REQUEST_TYPE) for s in spans if s.service == "gateway"} == {"TRACE"}
    assert {p.name for p in folder.path.iterdir()} >= {"report.html", "junit.xml", "shots", "run.json", "graph.json"}


@pytest.mark.slow
def test_custom_clients_and_shapes_are_flagged_too(guarded: tuple[Simulation, Path]) -> None:
    code, out, folder = load(guarded[1], str(FILES / "custom.py"), "--processes", "2")
    assert code == 0, out
    report = read_json(folder.load, LoadReport)
    assert {s.endpoint for s in report.steps} == {"POST /RPC2", "GET /products"}
    assert read_json(folder.verdict, Verdict).findings == ()


@pytest.mark.slow
def test_a_careless_service_is_found_by_the_first_request(tmp_path: Path) -> None:
    with running_shop(tmp_path, careless={"accounts": ("no_guard",)}) as (shop, workspace):
        before = dumps(shop)["accounts"]
        code, out, folder = load(workspace, str(FILES / "browsing.py"), "-u", "20", "-r", "20", "-t", "60")
        after = dumps(shop)["accounts"]
    assert code == 1, out
    verdict, report = read_json(folder.verdict, Verdict), read_json(folder.load, LoadReport)
    assert report.stop is not None
    assert report.stop.reason == "not-harmless"
    assert "unguarded-write" in {f.rule for f in verdict.findings}
    logins = [s.sent for s in report.steps if s.endpoint == "POST /login"]
    assert logins == [1], "twenty users wanted to"
    assert before != after, "the proof is of a real write"


@pytest.mark.slow
def test_a_plain_locust_with_the_class_is_judged_too(guarded: tuple[Simulation, Path]) -> None:
    _, workspace = guarded
    (workspace / "locustfile.py").write_text(TRACER_USER)
    done = subprocess.run(
        [sys.executable, "-m", "locust", "--headless", "--processes", "2"],
        cwd=workspace,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tracer-bullet: PASSED" in done.stderr
    folder = latest_run(workspace)
    assert folder is not None
    assert set(read_json(folder.load, LoadReport).armed) == {"GET /products", "GET products, fast"}
