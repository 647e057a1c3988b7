"""Mermaid, DOT, SVG and Vizceral, drawn by Mermaid and Vizceral themselves (in Chromium) and by Graphviz."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.servers.diagram_tools import ToolUnavailableError, graphviz, mermaid_script, vizceral_script
from tests.unit.report.browser import chromium
from tests.unit.report.diagrams.graphs import NAMES, graphs, large, node, shop
from tracer_bullet.model import NodeKind, ServiceGraph
from tracer_bullet.report.diagrams import Frame, Level, build_diagram, draw
from tracer_bullet.report.diagrams.mermaid import MAX_CHARS
from tracer_bullet.report.text import line

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FRAME = Frame(name="shop", seconds=10.0)
SVG = "{http://www.w3.org/2000/svg}"
Draw = Callable[[str], dict[str, Any]]


def named(*names: str) -> ServiceGraph:
    """Services of these names alone."""
    nodes = tuple(node(NodeKind.SERVICE, n) for n in sorted(names))
    return ServiceGraph(nodes=nodes, edges=(), operations=(), traces=0, spans=0)


def dot(source: str, form: str) -> str:
    try:
        return graphviz(source, form)
    except ToolUnavailableError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(webgl=True) as running:
        yield running


@pytest.fixture(scope="module")
def mermaid(browser: Browser) -> Iterator[Draw]:
    """A function from a chart to what Mermaid drew: texts of nodes and frames, and the number of edges."""
    try:
        script = mermaid_script()
    except ToolUnavailableError as missing:
        pytest.skip(str(missing))
    page = browser.new_page()
    page.set_content("<!doctype html><body></body>")
    page.add_script_tag(path=script)
    page.evaluate("mermaid.initialize({startOnLoad: false, securityLevel: 'strict'})")

    def drawn(chart: str) -> dict[str, Any]:
        return page.evaluate(  # type: ignore[no-any-return]
            """async (chart) => {
                const { svg } = await mermaid.render("chart", chart);
                document.body.innerHTML = svg;
                const texts = (query) => [...document.querySelectorAll(query)].map((n) => n.textContent);
                return {
                    nodes: texts("g.node .nodeLabel"),
                    frames: texts("g.cluster .nodeLabel"),
                    edges: document.querySelectorAll("g.edgePaths path").length,
                    images: document.querySelectorAll("svg img, svg script").length,
                    text: document.body.textContent,
                };
            }""",
            chart,
        )

    return drawn


def test_mermaid_of_the_shop() -> None:
    made = draw(shop(), "mermaid", Level.SERVICES, FRAME)
    assert made.startswith('flowchart LR\n  entry_tracer_bullet(["tracer-bullet"])\n')
    assert '  store_db_cart[("db/cart<br/>postgresql")]\n' in made
    assert '  service_pay -.->|"10× · p95 3.0 ms"| queue_orders\n' in made
    assert "  linkStyle 6 stroke:#d55e00,stroke-width:3px\n" in made
    plain = draw(shop(), "mermaid", Level.SERVICES, replace(FRAME, counts=False))
    assert "  service_pay -.-> queue_orders\n  service_pay --> third_party_bank_example\n" in plain


@pytest.mark.parametrize("level", Level)
def test_mermaid_draws_the_shop(mermaid: Draw, level: Level) -> None:
    diagram = build_diagram(shop(), level, FRAME)
    drawn = mermaid(draw(shop(), "mermaid", level, FRAME))
    assert drawn["edges"] == len(diagram.edges)
    assert len(drawn["nodes"]) == len(diagram.nodes)
    assert len(drawn["frames"]) == len({n.group for n in diagram.nodes} - {""})
    assert "bank.examplethird party" in drawn["nodes"]


def test_mermaid_shows_hostile_names_as_they_are(mermaid: Draw) -> None:
    drawn = mermaid(draw(named(*NAMES), "mermaid", Level.SERVICES, FRAME, full=True))
    wanted = [(line(n) or "(unnamed)").replace("ﬂ°", "fl°").replace("¶ß", "¶ ß") for n in NAMES]
    assert sorted(drawn["nodes"]) == sorted(wanted)
    assert drawn["images"] == 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs())
@pytest.mark.parametrize("level", Level)
def test_mermaid_takes_any_graph(mermaid: Draw, level: Level, graph: ServiceGraph) -> None:
    diagram = build_diagram(graph, level, FRAME)
    drawn = mermaid(draw(graph, "mermaid", level, FRAME))
    assert len(drawn["nodes"]) == len(diagram.nodes)
    assert drawn["edges"] >= len(diagram.edges)  # a self edge is drawn in three pieces
    assert "Unsupported markdown" not in drawn["text"]


def test_mermaid_is_cut_to_what_mermaid_takes() -> None:
    graph = large(500)
    big = replace(graph, nodes=tuple(replace(n, name=n.name + "y" * 290) for n in graph.nodes))
    made = draw(big, "mermaid", Level.SERVICES, FRAME, full=True)
    assert len(made) <= MAX_CHARS
    assert "%% left out: " in made


@pytest.mark.parametrize("services", [50, 500])
def test_mermaid_draws_large_systems(mermaid: Draw, services: int) -> None:
    drawn = mermaid(draw(large(services), "mermaid", Level.SERVICES, FRAME))
    assert 12 <= len(drawn["nodes"]) <= 120


def test_dot_of_the_shop() -> None:
    read = json.loads(dot(draw(shop(), "dot", Level.SERVICES, FRAME), "dot_json"), strict=False)
    shapes = {n["name"]: n["shape"] for n in read["objects"]}
    assert shapes == {
        "entry_tracer_bullet": "oval",
        "queue_orders": "cds",
        **dict.fromkeys(("service_cart", "service_mail", "service_pay", "service_web"), "box"),
        "store_db_cart": "cylinder",
        "third_party_bank_example": "hexagon",
    }
    names = {n["_gvid"]: n["name"] for n in read["objects"]}
    edges = {(names[e["tail"]], names[e["head"]]): e for e in read["edges"]}
    assert len(edges) == len(shop().edges)
    assert "2 failed (20.0 %)" in edges["service_web", "service_pay"]["label"]
    assert edges["service_pay", "queue_orders"]["style"] == "dashed"


def test_graphviz_shows_hostile_names_as_they_are() -> None:
    drawn = ET.fromstring(dot(draw(named(*NAMES), "dot", Level.SERVICES, FRAME, full=True), "svg"))
    shown = [t.text for t in drawn.iter(f"{SVG}text")]
    assert sorted(t for t in shown if t != "service") == sorted(line(n) or "(unnamed)" for n in NAMES)


@settings(max_examples=20, deadline=None)
@given(graph=graphs())
@pytest.mark.parametrize("level", Level)
def test_graphviz_takes_any_graph(level: Level, graph: ServiceGraph) -> None:
    diagram = build_diagram(graph, level, FRAME)
    read = json.loads(dot(draw(graph, "dot", level, FRAME), "dot_json"), strict=False)
    objects = [o for o in read.get("objects", []) if not o["name"].startswith("cluster")]
    assert len(objects) == len(diagram.nodes)
    assert len(read.get("edges", [])) == len(diagram.edges)


@pytest.mark.parametrize("level", Level)
def test_svg_is_a_drawing_without_a_version(level: Level) -> None:
    dot("digraph {}", "svg")
    made = draw(shop(), "svg", level, FRAME)
    drawn = ET.fromstring(made.encode())
    assert drawn.tag == f"{SVG}svg"
    assert "bank.example" in [t.text for t in drawn.iter(f"{SVG}text")]
    assert "Generated by" not in made
    assert draw(shop(), "svg", level, FRAME) == made


@pytest.fixture(scope="module")
def vizceral(browser: Browser) -> Iterator[Draw]:
    """A function from traffic to what Vizceral holds of its region, with everything that it complained of."""
    try:
        script = vizceral_script()
    except ToolUnavailableError as missing:
        pytest.skip(str(missing))
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_content("<!doctype html><body></body>")
    page.add_script_tag(path=script)
    if not page.evaluate("!!document.createElement('canvas').getContext('webgl')"):
        pytest.skip("Chromium has no WebGL here")
    page.evaluate("""() => {
        document.body.innerHTML = '<canvas width="800" height="600"></canvas>';
        window.view = new Vizceral.default(document.querySelector("canvas"));
    }""")

    def shown(traffic: str) -> dict[str, Any]:
        said.clear()
        read = page.evaluate(
            """(text) => {
                view.updateData(JSON.parse(text));
                view.setView([]);
                const top = Object.keys(view.currentGraph.connections);
                view.setView(["system"]);
                view.updateData(JSON.parse(text));
                const graph = view.currentGraph;
                return {
                    top,
                    volume: graph.volume,
                    nodes: Object.values(graph.nodes).map((n) => [n.name, n.displayName, n.class]),
                    connections: Object.keys(graph.connections),
                    found: view.findNodes("team-a").totalMatches,
                };
            }""",
            traffic,
        )
        return {**read, "said": [s for s in said if "GPU stall" not in s and "GL Driver" not in s]}

    return shown


def test_vizceral_shows_the_shop(vizceral: Draw) -> None:
    shown = vizceral(draw(shop(), "vizceral", Level.SERVICES, FRAME))
    assert shown["said"] == []
    assert shown["top"] == ["INTERNET--system"]
    assert shown["volume"] == {"max": 3, "current": 1}  # 30 calls in 10 s at most, 10 from outside
    assert ["service_pay", "pay", "danger"] in shown["nodes"]
    assert set(shown["connections"]) == {
        "INTERNET--service_web", "queue_orders--service_mail", "service_cart--store_db_cart",
        "service_pay--queue_orders", "service_pay--third_party_bank_example", "service_web--service_cart",
        "service_web--service_pay",
    }  # fmt: skip


def test_vizceral_takes_hostile_names(vizceral: Draw) -> None:
    shown = vizceral(draw(named(*NAMES), "vizceral", Level.SERVICES, FRAME))
    assert shown["said"] == []
    assert len(shown["nodes"]) == len(NAMES) + 1


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs())
@pytest.mark.parametrize("level", Level)
def test_vizceral_takes_any_graph(vizceral: Draw, level: Level, graph: ServiceGraph) -> None:
    shown = vizceral(draw(graph, "vizceral", level, FRAME))
    diagram = build_diagram(graph, level, FRAME)
    assert shown["said"] == []
    assert len(shown["nodes"]) == 1 + sum(n.role != "entry" for n in diagram.nodes)
