"""Claim: MLflow's tracking server, of which nobody here wrote a line, takes bullets and keeps nothing of them.

It runs under `opentelemetry-instrument` with nothing but environment variables. A bullet
makes an experiment, a run in it and a metric on the run, and reads them back.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.servers.mlflow import ROOT, MlflowServer, UnavailableError, ensure_environment, free_port
from tracer_bullet.context.carriers import write_baggage
from tracer_bullet.context.keys import JWKS_NAME, SigningKey, create_keys
from tracer_bullet.context.token import mint
from tracer_bullet.model import Context

pytestmark = [pytest.mark.xdist_group("mlflow"), pytest.mark.slow]

CREATE = "/api/2.0/mlflow/experiments/create"


@dataclass(frozen=True)
class Setting:
    """A workspace of its own, and the server that it fires at."""

    workspace: Path
    key: SigningKey
    server: MlflowServer

    def fire(self, *options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """`tracer-bullet fire`: the exit code, `verdict.json` and `graph.json`."""
        command = [sys.executable, "-m", "tracer_bullet", "fire", str(self.workspace / "scenarios" / "mlflow.yaml")]
        done = subprocess.run(
            [*command, "--target", self.server.url, *options],
            cwd=self.workspace,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        runs = sorted((self.workspace / ".tracer-bullet" / "runs").glob("*-*"), key=lambda f: f.stat().st_mtime_ns)
        assert runs, done.stderr
        verdict, graph = (json.loads((runs[-1] / name).read_text()) for name in ("verdict.json", "graph.json"))
        sys.stdout.write(f"{done.stdout}\n{done.stderr}\n{self.server.log.read_text(errors='replace')}\n")
        return done.returncode, verdict, graph

    def dump(self) -> list[str]:
        """Every table and every row, as a stranger to all guards reads them."""
        with closing(sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True)) as connection:
            return list(connection.iterdump())

    def bullet_headers(self) -> dict[str, str]:
        now = int(time.time())
        token = mint(self.key, issuer="tests", run_id="run-1", scope=["mlflow"], now_s=now, lifetime_s=600)
        trace_id, span_id = random.randbytes(16).hex(), random.randbytes(8).hex()
        return {
            "traceparent": f"00-{trace_id}-{span_id}-01",
            "baggage": write_baggage(Context(run_id="run-1", token=token)),
            "tracestate": "tb=t",
            "x-tracer-bullet": token,
        }


def _serve(folder: Path, *, armed: bool) -> Iterator[Setting]:
    try:
        ensure_environment()
    except UnavailableError as error:
        pytest.skip(str(error))
    workspace = folder / "workspace"
    (workspace / "scenarios").mkdir(parents=True)
    (workspace / "scenarios" / "mlflow.yaml").write_text((ROOT / "scenarios" / "mlflow.yaml").read_text())
    settings = yaml.safe_load((ROOT / "tracer-bullet.yaml").read_text())
    listen = f"127.0.0.1:{free_port()}"
    settings["traces"]["listen"] = listen
    (workspace / "tracer-bullet.yaml").write_text(yaml.safe_dump(settings))
    keys = workspace / ".tracer-bullet" / "keys"
    key = create_keys(keys)
    environment = {
        "OTEL_SERVICE_NAME": "mlflow",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{listen}",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PROPAGATORS": "tracecontext,baggage,tracer_bullet",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",  # nobody listens between two runs
        "OTEL_PYTHON_EXCLUDED_URLS": "health",
    }
    if armed:
        environment |= {"TRACER_BULLET_KEYS": str(keys / JWKS_NAME), "TRACER_BULLET_HOLD_S": "1"}
    server_folder = folder / "server"
    server_folder.mkdir()
    with MlflowServer(server_folder, environment) as server:
        yield Setting(workspace, key, server)


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    yield from _serve(tmp_path_factory.mktemp("armed"), armed=True)


@pytest.fixture(scope="module")
def unarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    yield from _serve(tmp_path_factory.mktemp("unarmed"), armed=False)


@pytest.mark.parametrize("options", [(), ("--bullets", "4", "--concurrency", "2")], ids=["one", "several at once"])
def test_bullets_get_answers_of_success_and_the_database_stays_as_it_was(
    armed: Setting, options: tuple[str, ...]
) -> None:
    before = armed.dump()
    code, verdict, graph = armed.fire(*options)
    assert armed.dump() == before
    assert (code, verdict["outcome"], verdict["findings"]) == (0, "passed", [])
    bullets = int(options[1]) if options else 1
    answers = [c for b in verdict["bullets"] for c in b["checks"] if c["step"]]
    assert len(answers) == bullets * 13
    assert all(check["passed"] for check in answers)
    nodes = {node["id"]: node for node in graph["nodes"]}
    (to_store,) = [edge for edge in graph["edges"] if edge["source"] == "service:mlflow"]
    store = nodes[to_store["target"]]
    assert (store["kind"], store["system"]) == ("store", "sqlite")
    assert store["name"].endswith("mlflow.db")
    assert to_store["writes"] >= bullets * 3
    assert to_store["decisions"] == [["rolled_back", to_store["writes"]]]
    assert not graph["orphans"]


def test_the_control_without_the_flag_writes(armed: Setting) -> None:
    before = armed.dump()
    code, verdict, _graph = armed.fire("--control")
    assert (code, verdict["outcome"]) == (0, "passed")
    new = sorted(row.split(" VALUES(")[0] for row in set(armed.dump()) - set(before))
    for table in ("experiments", "experiment_tags", "runs", "metrics", "latest_metrics"):
        assert new.count(f'INSERT INTO "{table}"') == 1
    assert set(before) <= set(armed.dump())


def test_a_customer_on_the_connection_of_a_bullet_writes(armed: Setting) -> None:
    """uvicorn starts his request in the context of the bullet's, which still runs when its answer is whole."""
    with httpx.Client(base_url=armed.server.url, timeout=30) as client:
        bullet = client.post(CREATE, json={"name": "of the bullet"}, headers=armed.bullet_headers())
        customer = client.post(CREATE, json={"name": "of the customer"})
        assert (bullet.status_code, customer.status_code) == (200, 200)
    rows = "\n".join(armed.dump())
    assert "of the customer" in rows
    assert "of the bullet" not in rows


def test_without_keys_it_refuses_bullets_and_serves_customers(unarmed: Setting) -> None:
    before = unarmed.dump()
    refused = httpx.post(unarmed.server.url + CREATE, json={"name": "x"}, headers=unarmed.bullet_headers())
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:tracer-bullet:unarmed"
    assert unarmed.dump() == before
    served = httpx.post(unarmed.server.url + CREATE, json={"name": "of a customer"}, timeout=30)
    assert served.status_code == 200
    assert "of a customer" in "\n".join(unarmed.dump())
