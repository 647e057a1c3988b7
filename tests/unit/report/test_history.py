"""Architecture over time: what came and went when, as a table and as the page's data."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.report.generated import HOSTILE
from tracer_bullet.model import Edge, Latency, Node, NodeKind, ServiceGraph
from tracer_bullet.report.history import (
    MAX_EDGES,
    MAX_NODES,
    History,
    Snapshot,
    State,
    build_history,
    render_history_page,
    render_history_text,
)
from tracer_bullet.report.text import line

DAY_NS = 86_400_000_000_000
QUICK = Latency(p50_ms=1, p90_ms=1, p95_ms=2, p99_ms=3, p999_ms=3, max_ms=3)
T, C, W, A = State.THERE, State.CAME, State.WENT, State.ABSENT


def graph(*edges: tuple[str, str], calls: int = 10) -> ServiceGraph:
    names = sorted({name for edge in edges for name in edge})
    return ServiceGraph(
        nodes=tuple(Node(id=f"service:{n}", name=n, kind=NodeKind.SERVICE, calls=calls) for n in names),
        edges=tuple(
            Edge(source=f"service:{a}", target=f"service:{b}", calls=calls, errors=0, latency=QUICK, evidence=())
            for a, b in sorted(edges)
        ),
        operations=(),
        traces=1,
        spans=len(edges),
    )


def snapshots() -> list[Snapshot]:
    graphs = [
        graph(("web", "cart")),
        graph(("web", "cart"), ("cart", "stock")),
        graph(("web", "stock")),
        graph(("web", "cart"), ("web", "stock")),
    ]
    return [Snapshot(name=f"run-{i}", started_ns=(20_000 + i) * DAY_NS, graph=g) for i, g in enumerate(graphs)]


def states(history: History) -> dict[str, tuple[State, ...]]:
    return {t.name: t.states for t in (*history.nodes, *history.edges)}


def test_what_came_and_went_when() -> None:
    assert states(build_history(snapshots())) == {
        "cart": (T, T, W, C),
        "stock": (A, C, T, T),
        "web": (T, T, T, T),
        "cart → stock": (A, C, W, A),
        "web → cart": (T, T, W, C),
        "web → stock": (A, A, C, T),
    }


def test_runs_are_put_in_order_of_time() -> None:
    assert build_history(reversed(snapshots())) == build_history(snapshots())


def test_a_table_of_what_changed() -> None:
    text = render_history_text(build_history(snapshots()))
    rows = {tuple(row.split()[:-4]): row.split()[-4:] for row in text.splitlines() if row.startswith(("node", "edge"))}
    assert rows["edge", "cart", "→", "stock"] == ["·", "+", "−", "·"]
    assert rows["node", "cart"] == ["●", "●", "−", "+"]
    assert ("node", "web") not in rows
    assert "node  web" in render_history_text(build_history(snapshots()), everything=True)
    assert "Nothing came or went." in render_history_text(build_history(snapshots()[:1]))


def test_without_runs_there_is_no_history() -> None:
    with pytest.raises(ValueError, match="a history needs a run"):
        build_history([])


def test_the_same_runs_give_the_same_page() -> None:
    page = render_history_page(build_history(snapshots()))
    assert page == render_history_page(build_history(reversed(snapshots())))
    assert "http" not in re.sub(r'xmlns|"http://www.w3.org/2000/svg"', "", page.split("<script>")[-1])


def test_hostile_names_stay_text() -> None:
    page = render_history_page(
        build_history(
            [Snapshot(name=HOSTILE[0], started_ns=0, graph=graph(*((h, "b") for h in HOSTILE))), *snapshots()]
        )
    )
    block = re.search(r'<script type="application/json" id="tb-history">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    assert json.loads(block[1])["steps"][0]["name"] == line(HOSTILE[0], 80)
    assert "<img" not in page
    assert page.count("<script") == 3


def test_a_huge_history_keeps_what_changed_and_says_what_is_missing() -> None:
    big = graph(*((f"s{i:03}", f"s{(i * 7 + 1) % 600:03}") for i in range(600)), calls=1_000)
    more = ServiceGraph(
        nodes=(*big.nodes, Node(id="service:new", name="new", kind=NodeKind.SERVICE, calls=1)),
        edges=big.edges,
        operations=(),
        traces=1,
        spans=1,
    )
    history = build_history([Snapshot(name="a", started_ns=1, graph=big), Snapshot(name="b", started_ns=2, graph=more)])
    assert len(history.nodes) == MAX_NODES
    assert len(history.edges) <= MAX_EDGES
    assert states(history)["new"] == (A, C)
    assert "451 nodes" in history.note
    assert history.note in render_history_text(history)
    assert history.note in render_history_page(history)
