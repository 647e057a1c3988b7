"""Mermaid and DOT, read back by Mermaid itself (in Chromium) and by Graphviz."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.report.browser import chromium
from tests.unit.report.generated import HOSTILE, runs
from tests.unit.report.shop_run import Run, shop_run, wide_graph
from tracer_bullet.model import Node, NodeKind, ServiceGraph
from tracer_bullet.report import Document, build_document, render_dot, render_mermaid
from tracer_bullet.report.mermaid import MAX_CHARS

TOOLS = Path(__file__).parents[3] / ".tools" / "mermaid"
MERMAID = "12.3.0"


def document(run: Run) -> Document:
    return build_document(run.manifest, run.verdict, run.graph, run.traces)


@pytest.fixture(scope="module")
def mermaid_script() -> Path:
    """The real Mermaid, installed once by npm into .tools/."""
    script = TOOLS / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is missing, so Mermaid cannot be installed")
        TOOLS.mkdir(parents=True, exist_ok=True)
        command = [
            npm,
            "install",
            "--prefix",
            str(TOOLS),
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            f"mermaid@{MERMAID}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install mermaid {MERMAID}")
    return script


@pytest.fixture(scope="module")
def mermaid(mermaid_script: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """A function from a chart to what Mermaid drew: number of nodes and edges, and the texts of nodes."""
    with chromium() as browser:
        page = browser.new_page()
        page.set_content("<!doctype html><body></body>")
        page.add_script_tag(path=mermaid_script)
        page.evaluate("mermaid.initialize({startOnLoad: false, securityLevel: 'strict'})")

        def draw(chart: str) -> dict[str, Any]:
            return page.evaluate(  # type: ignore[no-any-return]
                """async (chart) => {
                    const { svg } = await mermaid.render("chart", chart);
                    document.body.innerHTML = svg;
                    return {
                        nodes: [...document.querySelectorAll("g.node .nodeLabel")].map((n) => n.textContent),
                        edges: document.querySelectorAll("g.edgePaths path").length,
                        images: document.querySelectorAll("svg img, svg script").length,
                        text: document.body.textContent,
                    };
                }""",
                chart,
            )

        yield draw


def test_mermaid_of_the_shop() -> None:
    made = render_mermaid(document(shop_run(bullets=20, lost=[3])))
    assert made.startswith('flowchart LR\n  harness_tracer_bullet(["tracer-bullet"])\n')
    assert '  store_cart_db[("cart-db<br/>sqlite")]\n' in made
    assert re.search(r'service_checkout -\.->\|"20× · p95 [^"]+<br/>20 rolled_back"\|', made) is None
    assert re.search(r'service_checkout -\.->\|"20× · p95 [^"]+<br/>20 suppressed"\| queue_order_created\n', made)
    assert "1 without a guard#39;s decision" in made
    assert "  class service_payment bad\n" in made


def test_mermaid_draws_the_shop(mermaid: Callable[[str], dict[str, Any]]) -> None:
    made = document(shop_run(bullets=20, lost=[3]))
    drawn = mermaid(render_mermaid(made))
    assert drawn["edges"] == len(made.graph.edges)
    assert len(drawn["nodes"]) == len(made.graph.nodes)
    assert "api.payments.examplethird party" in drawn["nodes"]


@pytest.mark.parametrize("name", [h for h in HOSTILE if h.isprintable() and len(h) < 100])
def test_mermaid_shows_a_hostile_name_as_it_is(mermaid: Callable[[str], dict[str, Any]], name: str) -> None:
    node = Node(id="service:x", name=name, kind=NodeKind.SERVICE)
    graph = ServiceGraph(nodes=(node,), edges=(), operations=(), traces=0, spans=0)
    drawn = mermaid(render_mermaid(document(replace(shop_run(bullets=1), graph=graph))))
    assert drawn["nodes"] == [name.replace("ﬂ°", "fl°").replace("¶ß", "¶ ß")]
    assert drawn["images"] == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_mermaid_takes_any_run(mermaid: Callable[[str], dict[str, Any]], run: Run) -> None:
    made = document(run)
    drawn = mermaid(render_mermaid(made))
    assert len(drawn["nodes"]) == len(made.graph.nodes)
    assert drawn["edges"] >= len(made.graph.edges)  # a self edge is drawn in three pieces
    assert "Unsupported markdown" not in drawn["text"]


def test_mermaid_is_cut_to_what_mermaid_takes() -> None:
    run = replace(shop_run(bullets=1), graph=wide_graph(services=99))
    big = replace(run.graph, nodes=tuple(replace(n, name=n.name + "y" * 290) for n in run.graph.nodes))
    made = render_mermaid(document(replace(run, graph=big)))
    assert len(made) <= MAX_CHARS
    assert "%% Drawn: " in made


@pytest.mark.parametrize("render", [render_mermaid, render_dot])
def test_equal_runs_give_equal_bytes_whatever_the_order(render: Callable[[Document], str]) -> None:
    run = shop_run(bullets=5)
    turned = replace(run.graph, nodes=run.graph.nodes[::-1], edges=run.graph.edges[::-1])
    assert render(document(run)) == render(document(replace(run, graph=turned)))


def run_dot(source: str, form: str) -> str:
    program = shutil.which("dot")
    if program is None:
        pytest.skip("Graphviz is missing: apt-get install graphviz")
    done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def graphviz(source: str) -> dict[str, Any]:
    return json.loads(run_dot(source, "dot_json"), strict=False)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [h for h in HOSTILE if h.isprintable() and len(h) < 100])
def test_graphviz_shows_a_hostile_name_as_it_is(name: str) -> None:
    node = Node(id=name, name=name, kind=NodeKind.SERVICE)
    graph = ServiceGraph(nodes=(node,), edges=(), operations=(), traces=0, spans=0)
    drawn = ET.fromstring(run_dot(render_dot(document(replace(shop_run(bullets=1), graph=graph))), "svg"))
    assert [t.text for t in drawn.iter("{http://www.w3.org/2000/svg}text")] == [name, "service"]


def test_dot_of_the_shop() -> None:
    run = shop_run(bullets=20, lost=[3])
    read = graphviz(render_dot(document(run)))
    shapes = {n["name"]: n["shape"] for n in read["objects"]}
    assert shapes["harness:tracer-bullet"] == "oval"
    assert shapes["store:cart-db"] == "cylinder"
    assert shapes["queue:order.created"] == "cds"
    assert shapes["third_party:api.payments.example"] == "hexagon"
    names = {n["_gvid"]: n["name"] for n in read["objects"]}
    edges = {(names[e["tail"]], names[e["head"]]): e for e in read["edges"]}
    assert set(edges) == {(e.source, e.target) for e in run.graph.edges}
    assert "19 rolled_back, 1 without a guard's decision" in edges["service:payment", "store:payment-db"]["label"]


@settings(max_examples=40, deadline=None)
@given(run=runs())
def test_graphviz_takes_any_run(run: Run) -> None:
    made = document(run)
    read = graphviz(render_dot(made))
    assert len(read.get("objects", [])) == len(made.graph.nodes)
    assert len(read.get("edges", [])) == len(made.graph.edges)
