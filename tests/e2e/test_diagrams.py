"""`graph` in all formats and `sim --from`, through the command line, on a run of the demo."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.conftest import run_cli
from tracer_bullet.sim import load_topology

FORMATS = ("mermaid", "dot", "svg", "d2", "structurizr", "vizceral", "backstage", "spigo", "json")
SERVICES = {"gateway", "catalog", "cart", "checkout", "inventory", "payment", "notifications"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a demo that was fired."""
    folder = tmp_path_factory.mktemp("diagrams")
    done = run_cli("demo", "--bullets", "3", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "demo"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_a_run(demo: Path, form: str) -> None:
    if form == "svg" and shutil.which("dot") is None:
        pytest.skip("Graphviz is missing: apt-get install graphviz")
    out = demo / f"graph.{form}"
    done = run_cli("graph", "--format", form, "--out", str(out), cwd=demo)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    text = out.read_text(encoding="utf-8")
    assert all(name in text for name in SERVICES)
    if form in ("vizceral", "spigo", "json"):
        json.loads(text)
    if form == "backstage":
        names = {e["metadata"]["name"] for e in yaml.safe_load_all(text)}
        assert names >= SERVICES
    if form == "svg":
        ET.fromstring(text)


def test_levels_and_counts(demo: Path) -> None:
    operations = run_cli("graph", "--level", "operations", "--counts", "off", cwd=demo).stdout
    assert 'subgraph group_checkout["checkout"]' in operations
    assert "×" not in operations
    context = run_cli("graph", "--level", "context", "--format", "dot", cwd=demo).stdout
    assert "third_party" in context
    assert "checkout" not in context
    refused = run_cli("graph", "--level", "context", "--format", "spigo", cwd=demo)
    assert refused.returncode == 2
    assert "TB553" in refused.stderr


def test_a_run_becomes_a_topology_that_runs(demo: Path) -> None:
    out = demo / "observed.yaml"
    done = run_cli("sim", "--from", "latest", "--topology", str(out), cwd=demo)
    assert done.returncode == 0, done.stderr
    assert "note: stores take the time that SQLite takes" in done.stderr
    assert "entry gateway" in done.stdout
    topology = load_topology(out)
    assert set(topology.services) == SERVICES
    command = [
        sys.executable,
        "-m",
        "tracer_bullet",
        "sim",
        "--from",
        "latest",
        "--ports",
        "free",
        "--otlp",
        "http://127.0.0.1:9/v1/traces",
    ]
    with subprocess.Popen(command, cwd=demo, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = next(line for line in process.stdout if line.startswith("ready: "))
            with httpx.Client(trust_env=False) as client:
                answer = client.get(f"{ready.split()[1]}/products")
            assert answer.status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_a_topology_or_a_run_but_not_both(demo: Path) -> None:
    done = run_cli("sim", "x.yaml", "--from", "latest", cwd=demo)
    assert done.returncode == 2
    assert "not both" in done.stderr
