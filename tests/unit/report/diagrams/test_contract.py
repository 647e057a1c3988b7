"""What every diagram format keeps to, whatever the graph: the same bytes, fit text, no numbers without counts."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report.diagrams.graphs import graphs, large, shop
from tracer_bullet.errors import UsageError
from tracer_bullet.model import Catalog, Entity, ServiceGraph
from tracer_bullet.report.diagrams import FORMATS, Frame, Level, draw

CASES = [(f.name, level) for f in FORMATS.values() for level in f.levels if f.name != "svg"]
FRAME = Frame(name="shop", seconds=10.0)


def shuffled(graph: ServiceGraph, seed: int) -> ServiceGraph:
    rng = random.Random(seed)
    names = ("nodes", "edges", "operations", "operation_edges")
    return replace(graph, **{k: tuple(rng.sample(getattr(graph, k), len(getattr(graph, k)))) for k in names})


@pytest.mark.parametrize(("form", "level"), CASES)
@settings(max_examples=25, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_the_same_graph_gives_the_same_bytes(form: str, level: Level, graph: ServiceGraph, seed: int) -> None:
    made = draw(graph, form, level, FRAME)
    assert made == draw(shuffled(graph, seed), form, level, FRAME)
    assert made.endswith("\n")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", made)


@pytest.mark.parametrize(("form", "level"), [c for c in CASES if not FORMATS[c[0]].counted])
def test_without_counts_other_traffic_makes_no_difference(form: str, level: Level) -> None:
    graph, frame = shop(), Frame(name="shop", counts=False)
    busier = replace(
        graph,
        nodes=tuple(replace(n, calls=n.calls * 7, errors=3) for n in graph.nodes),
        edges=tuple(replace(e, calls=e.calls * 7, errors=1, decisions=(("stubbed", 4),)) for e in graph.edges),
        operation_edges=tuple(replace(e, calls=e.calls * 7, errors=1) for e in graph.operation_edges),
        operations=tuple(replace(o, calls=o.calls * 7) for o in graph.operations),
    )
    made = draw(graph, form, level, frame)
    assert made == draw(busier, form, level, frame)
    bank = "third_party:bank.example"
    without = replace(
        graph,
        edges=tuple(e for e in graph.edges if e.target != bank),
        operation_edges=tuple(e for e in graph.operation_edges if e.target != bank),
    )
    assert made != draw(without, form, level, frame)


@pytest.mark.parametrize("form", [f for f in FORMATS if f not in ("vizceral", "backstage", "spigo")])
def test_failing_calls_are_told_in_words_and_not_by_colour_alone(form: str) -> None:
    assert "2 failed (20.0" in draw(shop(), form, Level.SERVICES, FRAME)


@pytest.mark.parametrize("form", [f.name for f in FORMATS.values() if f.picture])
@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("services", [5, 50, 500])
def test_pictures_stay_small_and_say_what_they_left_out(form: str, services: int, counts: bool) -> None:
    graph, frame = large(services), Frame(name="big", counts=counts)
    made = draw(graph, form, Level.SERVICES, frame)
    whole = draw(graph, "dot", Level.SERVICES, frame, full=True)
    assert whole.count(" [label=") >= len(graph.nodes)
    if services == 5:
        assert made == draw(graph, form, Level.SERVICES, frame, full=True)
    if form == "dot":
        drawn = re.findall(r'^ +"\w+" \[label', made, flags=re.MULTILINE)
        assert len(drawn) <= 120
        if services == 50:
            assert "that only one service uses: named in its box" in made
            assert made.count("subgraph") == 12
        if services == 500:
            assert "12 groups drawn as one box each" in made
            assert re.search(r'"folded_shop" \[label="shop\\n42 services"', made)


def test_a_new_service_changes_only_its_own_lines() -> None:
    graph, frame = shop(), Frame(name="shop", counts=False)
    fresh = replace(
        graph,
        nodes=(*graph.nodes, replace(graph.nodes[2], id="service:Web", name="Web")),
        edges=(*graph.edges, replace(graph.edges[0], source="service:web", target="service:Web")),
    )
    before = draw(graph, "d2", Level.SERVICES, frame).splitlines()
    after = draw(fresh, "d2", Level.SERVICES, frame).splitlines()
    assert set(before) <= set(after)
    assert len(after) == len(before) + 2


def test_a_catalog_groups_and_names_owners() -> None:
    catalog = Catalog(
        entities=(
            Entity(
                ref="component:default/cart",
                name="cart",
                service="cart",
                owner="group:default/c",
                system="system:default/sales",
            ),
            Entity(ref="component:default/web", name="web", service="web", system="system:default/sales"),
        )
    )
    frame = replace(FRAME, catalog=catalog)
    assert 'subgraph group_sales["sales"]' in draw(shop(), "mermaid", Level.SERVICES, frame)
    assert 'owner: "group:default/c"\n  system: "sales"' in draw(shop(), "backstage", Level.SERVICES, frame)
    region = json.loads(draw(shop(), "vizceral", Level.SERVICES, frame))["nodes"][1]
    assert {n["displayName"]: n["metadata"]["owner"] for n in region["nodes"][1:]}["cart"] == "group:default/c"


@pytest.mark.parametrize(
    ("form", "level", "code"),
    [("spigo", Level.CONTEXT, "TB553"), ("backstage", Level.OPERATIONS, "TB553"), ("mermaidd", Level.CONTEXT, "TB554")],
)
def test_what_a_format_cannot_say_is_an_error(form: str, level: Level, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        draw(shop(), form, level, FRAME)
    assert caught.value.code == code
    assert caught.value.cure


def test_vizceral_without_numbers_is_an_error() -> None:
    with pytest.raises(UsageError, match="made of numbers"):
        draw(shop(), "vizceral", Level.SERVICES, Frame(name="shop", counts=False))


def test_a_graph_of_an_older_version_has_no_operations_level() -> None:
    with pytest.raises(UsageError) as caught:
        draw(replace(shop(), operation_edges=()), "dot", Level.OPERATIONS, FRAME)
    assert caught.value.code == "TB551"


def test_svg_without_graphviz_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError) as caught:
        draw(shop(), "svg", Level.SERVICES, FRAME)
    assert caught.value.code == "TB550"
    assert "install Graphviz" in caught.value.cure
