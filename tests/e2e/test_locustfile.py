"""Claim: people's own locustfiles run unchanged, every request is a bullet, and nothing is written."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import run_cli
from tests.e2e.replays import await_that, children
from tracer_bullet.model import Outcome, RunManifest, SpanKind, Verdict
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
from pathlib import Path

from locust import constant, events, task
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


seen = []


@events.request.add_listener
def count(**kwargs):
    seen.append(1)
    if len(seen) == 20:
        Path("sent").touch()
"""


@pytest.fixture
def shop(workspace: Path, tmp_path: Path) -> Callable[..., Any]:
    """A shop that exports to the receiver that the command line opens."""

    @contextmanager
    def start(**settings: Any) -> Iterator[Simulation]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        simulation = Simulation(
            shop_topology(),
            data_dir=tmp_path / "data",
            otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces",
            keys=str(workspace / ".tracer-bullet" / "keys" / "jwks.json"),
            ports="free",
            **settings,
        )
        with simulation:
            system = simulation.system()
            (workspace / "tracer-bullet.yaml").write_text(
                SETTINGS.format(
                    url=simulation.url,
                    port=port,
                    services=", ".join(system.services),
                    third_parties=", ".join(f'"{t}"' for t in system.third_parties),
                )
            )
            yield simulation

    return start


def load(workspace: Path, locustfile: str, *options: str) -> tuple[int, str, RunFolder]:
    done = run_cli("load", "-f", str(locustfile), "--headless", "--only-summary", *options, cwd=workspace)
    folder = latest_run(workspace)
    assert folder is not None, done.stderr
    return done.returncode, done.stdout + done.stderr, folder


def sent_endpoints(shop: Simulation) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in shop.database_urls.items()}


def test_a_locustfile_runs_unchanged_and_writes_nothing(shop: Callable[..., Any], workspace: Path) -> None:
    with shop() as s:
        before, charges = sent_endpoints(s), s.third_party_calls
        code, out, folder = load(
            workspace, str(FILES / "browsing.py"), "-u", "6", "-r", "6", "-t", "7",
            "--sku", "mug", "--exclude-tags", "never", "--csv", str(workspace / "stats"), "--processes", "2",
        )  # fmt: skip
        assert code == 0, out
        assert sent_endpoints(s) == before
        assert s.third_party_calls == charges
    verdict, report = read_json(folder.verdict, Verdict), read_json(folder.load, LoadReport)
    assert verdict.outcome is Outcome.PASSED
    assert report.model == "closed"
    assert {"POST /login", "POST /cart", "POST /checkout", "GET /products", "GET /no-such-page"} == set(report.armed)
    # Locust's own figures, hooks and arguments are as ever.
    counted = (workspace / "stats_stats.csv").read_text().splitlines()
    (aggregated,) = (line.split(",") for line in counted if ",Aggregated," in line)
    assert int(aggregated[2]) == report.accounting.sent == sum(s.sent for s in report.steps)
    assert re.search(r"HOOKS SAW \d+ AND mug", out)
    # All that services saw in the audited traces had the flag; each request has its own harness span above it.
    spans = read_spans(folder)
    servers = [s for s in spans if s.kind is SpanKind.SERVER]
    assert servers
    assert {s.attributes.get(REQUEST_TYPE) for s in spans if s.service == "gateway"} == {"TRACE"}
    assert {p.name for p in folder.path.iterdir()} >= {"report.html", "junit.xml", "shots", "run.json", "graph.json"}


def test_custom_clients_and_shapes_are_flagged_too(shop: Callable[..., Any], workspace: Path) -> None:
    with shop():
        code, out, folder = load(workspace, str(FILES / "custom.py"))
    assert code == 0, out
    report = read_json(folder.load, LoadReport)
    assert {s.endpoint for s in report.steps} == {"POST /RPC2", "GET /products"}
    assert read_json(folder.verdict, Verdict).findings == ()


def test_a_careless_service_is_found_by_the_first_request(shop: Callable[..., Any], workspace: Path) -> None:
    with shop(careless={"accounts": ("no_guard",)}) as s:
        before = sent_endpoints(s)["accounts"]
        code, out, folder = load(workspace, str(FILES / "browsing.py"), "-u", "20", "-r", "20", "-t", "60")
        after = sent_endpoints(s)["accounts"]
    assert code == 1, out
    verdict, report = read_json(folder.verdict, Verdict), read_json(folder.load, LoadReport)
    assert report.stop is not None
    assert report.stop.reason == "not-harmless"
    assert "unguarded-write" in {f.rule for f in verdict.findings}
    logins = [s.sent for s in report.steps if s.endpoint == "POST /login"]
    assert logins == [1], "twenty users wanted to"
    assert before != after, "the proof is of a real write"


def test_a_plain_locust_with_the_class_is_judged_too(shop: Callable[..., Any], workspace: Path) -> None:
    (workspace / "locustfile.py").write_text(TRACER_USER)
    with shop():
        done = subprocess.run(
            [sys.executable, "-m", "locust", "--headless", "-u", "4", "-r", "4", "-t", "5", "--processes", "2"],
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


@pytest.mark.parametrize("end", ["kill-locust", "interrupt", "kill-file"])
def test_whoever_ends_it_the_run_folder_is_readable(shop: Callable[..., Any], workspace: Path, end: str) -> None:
    (workspace / "locustfile.py").write_text(TRACER_USER)
    with shop():
        process = subprocess.Popen(
            [sys.executable, "-m", "tracer_bullet", "load", "-f", "locustfile.py", "--headless", "-u", "4", "-r", "4"],
            cwd=workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
            start_new_session=True,
        )
        await_that((workspace / "sent").exists, "it never began")
        (locust,) = children(process)
        if end == "kill-locust":
            locust.kill()
        elif end == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            (workspace / ".tracer-bullet" / "stop").touch()
        out, err = process.communicate(timeout=120)
        assert not locust.is_running()
    assert process.returncode == {"kill-locust": 3, "interrupt": 130, "kill-file": 4}[end], (out, err)
    folder = latest_run(workspace)
    assert folder is not None
    assert read_json(folder.manifest, RunManifest).state == ("interrupted" if end == "interrupt" else "finished")
    report, verdict = read_json(folder.load, LoadReport), read_json(folder.verdict, Verdict)
    rules = {f.rule for f in verdict.findings}
    expected = {"kill-locust": "locust-died", "interrupt": "stopped-interrupt", "kill-file": "stopped-kill-switch"}
    assert expected[end] in rules
    assert folder.report.exists()
    assert report.audited > 0
