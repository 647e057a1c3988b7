"""D2, Structurizr DSL and Backstage entities, read by their own compilers and validators; Spigo by its rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.servers.diagram_tools import ToolUnavailableError, backstage, d2, structurizr
from tests.unit.report.diagrams.graphs import NAMES, graphs, large, node, shop
from tracer_bullet.model import NodeKind, ServiceGraph
from tracer_bullet.report.diagrams import Frame, Level, build_diagram, draw
from tracer_bullet.report.text import line
from tracer_bullet.workspace.catalog import load_catalog

FRAME = Frame(name="shop", seconds=10.0)
HOSTILE = ServiceGraph(
    nodes=tuple(node(NodeKind.SERVICE, n) for n in sorted(NAMES)), edges=(), operations=(), traces=0, spans=0
)
# Each example starts a program: a failing one is shown as it is.
few = settings(deadline=None, phases=[Phase.generate])
many = st.lists(graphs(), min_size=15, max_size=15)


def ask(tool: Callable[[Any], Any], value: Any) -> Any:
    try:
        return tool(value)
    except ToolUnavailableError as missing:
        pytest.skip(str(missing))


def levelled(some: list[ServiceGraph]) -> list[tuple[ServiceGraph, Level]]:
    """Each graph at one of the levels in turn."""
    return [(graph, list(Level)[i % 3]) for i, graph in enumerate(some)]


def test_d2_of_the_shop_and_of_hostile_names() -> None:
    made = [draw(shop(), "d2", Level.SERVICES, FRAME), draw(HOSTILE, "d2", Level.SERVICES, FRAME, full=True)]
    read, hostile = ask(d2, made)
    shapes = {s["id"]: s for s in read["shapes"]}
    assert shapes["store_db_cart"] == {"id": "store_db_cart", "label": "db/cart\npostgresql", "type": "cylinder"}
    assert shapes["queue_orders"]["type"] == "queue"
    assert {"src": "service_web", "dst": "service_pay", "label": "10× · p95 3.0 ms\n2 failed (20.0 %)"} in (
        read["connections"]
    )
    assert "error" not in hostile
    assert sorted(s["label"] for s in hostile["shapes"]) == sorted(line(n) or "(unnamed)" for n in NAMES)


@pytest.mark.slow
@settings(few, max_examples=2)
@given(some=many)
def test_d2_takes_any_graph(some: list[ServiceGraph]) -> None:
    cases = [*levelled(some), (large(50), Level.SERVICES), (large(500), Level.SERVICES)]
    for (graph, level), read in zip(cases, ask(d2, [draw(g, "d2", at, FRAME) for g, at in cases]), strict=True):
        assert "error" not in read
        if len(graph.nodes) <= 8:
            diagram = build_diagram(graph, level, FRAME)
            frames = {n.group for n in diagram.nodes} - {""}
            assert len(read["shapes"]) == len(diagram.nodes) + len(frames)
            assert len(read["connections"]) == len(diagram.edges)


def test_structurizr_of_the_shop() -> None:
    context, services, operations = ask(structurizr, [draw(shop(), "structurizr", one, FRAME) for one in Level])
    assert {(e["kind"], e["name"]) for e in context["elements"]} == {
        ("Person", "tracer-bullet"), ("SoftwareSystem", "shop"), ("SoftwareSystem", "bank.example"),
    }  # fmt: skip
    assert [v["key"] for v in context["views"]] == ["context"]
    names = {e["name"]: e for e in services["elements"]}
    assert names["db/cart"] == {"kind": "Container", "name": "db/cart", "tags": "Element,Container,Store"}
    assert {r["description"] for r in services["relationships"] if r["target"] == "pay"} == {
        "10× · p95 3.0 ms; 2 failed (20.0 %)"
    }
    assert next(r for r in services["relationships"] if r["target"] == "orders")["tags"].endswith("Asynchronous")
    assert ("Component", "POST /pay") in {(e["kind"], e["name"]) for e in operations["elements"]}
    assert len(operations["views"]) == 5
    assert all(v["elements"] for v in [*services["views"], *operations["views"]])


def test_structurizr_takes_hostile_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/a/secret/home")
    (read,) = ask(structurizr, [draw(HOSTILE, "structurizr", Level.SERVICES, FRAME)])
    names = [e["name"] for e in read["elements"]]
    assert len(set(names)) == len(NAMES) + 1
    assert not any("secret" in n for n in names)
    plain = [n for n in NAMES if line(n) and not set(n) & set('\\${}"')]
    shown = {n.removesuffix(" (2)") for n in names}
    assert {line(n) for n in plain} <= shown


@settings(few, max_examples=2)
@given(some=many)
def test_structurizr_takes_any_graph(some: list[ServiceGraph]) -> None:
    cases = levelled(some)
    made = [draw(g, "structurizr", level, FRAME) for g, level in cases]
    for (graph, level), read in zip(cases, ask(structurizr, made), strict=True):
        assert "error" not in read
        assert len(read["relationships"]) == len(build_diagram(graph, level, FRAME).edges)


def entities(graph: ServiceGraph) -> list[dict[str, Any]]:
    made = yaml.safe_load_all(draw(graph, "backstage", Level.SERVICES, FRAME))
    return [e for e in made if e is not None]


def test_backstage_of_the_shop() -> None:
    made = {e["metadata"]["name"]: e for e in entities(shop())}
    assert ask(backstage, [list(made.values())]) == [[""] * 7]
    assert made["pay"]["spec"]["dependsOn"] == ["resource:default/bank.example", "resource:default/orders"]
    assert made["db-cart"]["kind"] == "Resource"
    assert made["db-cart"]["metadata"]["annotations"]["tracer-bullet/service"] == "db/cart"
    assert "tracer-bullet" not in made


def test_what_is_written_for_backstage_is_a_catalog(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    text = draw(shop(), "backstage", Level.SERVICES, FRAME)
    (tmp_path / "catalog" / "observed.yaml").write_text(text, encoding="utf-8")
    catalog = load_catalog(tmp_path)
    pay = catalog.of_service("pay")
    assert pay is not None
    assert pay.depends_on == ("resource:default/bank.example", "resource:default/orders")
    assert len(catalog.entities) == 7


@settings(few, max_examples=3)
@given(some=many)
def test_backstage_takes_any_graph(some: list[ServiceGraph]) -> None:
    made = [entities(g) for g in [*some, HOSTILE]]
    for graph, group, said in zip([*some, HOSTILE], made, ask(backstage, made), strict=True):
        assert set(said) <= {""}, [(e["metadata"], s) for e, s in zip(group, said, strict=True) if s]
        refs = {f"{e['kind']}:{e['metadata']['name']}".lower() for e in group}
        assert len(refs) == len(group) == sum(n.kind is not NodeKind.HARNESS for n in graph.nodes)
        for e in group:
            own = f"{e['kind'].lower()}:default/{e['metadata']['name']}"
            assert own not in e["spec"].get("dependsOn", ()), "nobody depends on himself"
        wanted = {ref.replace("default/", "") for e in group for ref in e["spec"].get("dependsOn", ())}
        assert {w.lower() for w in wanted} <= refs


@settings(max_examples=50, deadline=None)
@given(graph=graphs())
def test_spigo_names_are_unique_and_known_and_callees_come_first(graph: ServiceGraph) -> None:
    services = json.loads(draw(graph, "spigo", Level.SERVICES, FRAME))["services"]
    names = [s["name"] for s in services]
    assert len(set(names)) == len(names) == len(graph.nodes)
    place = {name: i for i, name in enumerate(names)}
    calls = {s["name"]: s["dependencies"] for s in services}
    for name, called in calls.items():
        for one in called:
            assert place[one] < place[name] or _reaches(calls, one, name), "only in a circle"


def _reaches(calls: dict[str, list[str]], start: str, goal: str) -> bool:
    seen, left = set(), [start]
    while left:
        here = left.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            left += calls[here]
    return False


def test_spigo_of_the_shop() -> None:
    made = json.loads(draw(shop(), "spigo", Level.SERVICES, FRAME))
    assert (made["arch"], made["version"]) == ("shop", "arch-0.0")
    by_name = {s["name"]: s for s in made["services"]}
    assert by_name["db-cart"]["package"] == "store"
    assert by_name["web"] == {
        "name": "web", "package": "karyon", "count": 1, "regions": 1, "dependencies": ["cart", "pay"],
    }  # fmt: skip
    assert made["services"][-1] == {
        "name": "tracer-bullet", "package": "denominator", "count": 0, "regions": 0, "dependencies": ["web"],
    }  # fmt: skip
