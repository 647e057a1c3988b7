"""Folding and cutting: what is drawn stands for all that was there, and the notes count the rest."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.diagrams.graphs import large
from tracer_bullet.model import ServiceGraph
from tracer_bullet.report.diagrams import Diagram, Frame, Level, Limits, Role, build_diagram, fold
from tracer_bullet.report.diagrams.fold import cut
from tracer_bullet.report.diagrams.ids import plain_ids

NEVER = 10**9
FRAME = Frame(name="big")


def diagram(graph: ServiceGraph, *, counts: bool = True) -> Diagram:
    return build_diagram(graph, Level.SERVICES, Frame(name="big", counts=counts))


def test_a_small_diagram_stays_as_it_is() -> None:
    small = diagram(large(5))
    assert fold(small) is small


def test_leaf_stores_become_lines_of_their_users() -> None:
    whole = diagram(large(50))
    folded = fold(whole, Limits(fold_leaves=10, fold_groups=NEVER, crowd=NEVER, nodes=NEVER, edges=NEVER))
    stores = [n for n in whole.nodes if n.role is Role.STORE]
    assert not [n for n in folded.nodes if n.role is Role.STORE]
    assert len(folded.nodes) == len(whole.nodes) - len(stores)
    assert len(folded.edges) == len(whole.edges) - len(stores)
    named = {line for n in folded.nodes for line in n.details}
    assert named == {f"+ postgresql {n.name}" for n in stores}
    assert folded.notes == (f"{len(stores)} parts that only one service uses: named in its box",)
    assert [n.name for n in folded.nodes if n.role is Role.QUEUE] == ["bus"], "a queue with many users stays"


def test_groups_become_boxes_and_their_calls_are_added_up() -> None:
    whole = diagram(large(120))
    folded = fold(whole, Limits(fold_leaves=NEVER, fold_groups=10, crowd=NEVER, nodes=NEVER, edges=NEVER))
    place = {n.id: n.group or n.id for n in whole.nodes}
    calls: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for edge in whole.edges:
        pair = place[edge.source], place[edge.target]
        if pair[0] != pair[1]:
            calls[pair] += edge.calls
            errors[pair] += edge.errors
    assert {(e.source, e.target): e.calls for e in folded.edges} == dict(calls)
    assert {(e.source, e.target): e.errors for e in folded.edges} == dict(errors)
    boxes = [n for n in folded.nodes if n.role is Role.FOLDED]
    assert len(boxes) == 12
    assert all(n.details == ("10 services",) for n in boxes)
    inside = len(whole.edges) - sum(place[e.source] != place[e.target] for e in whole.edges)
    assert folded.notes == (f"12 groups drawn as one box each, with {inside} edges inside",)


def test_a_crowd_of_arrows_is_thinned_and_nobody_loses_his_heaviest() -> None:
    whole = diagram(large(400), counts=False)
    limits = Limits(fold_leaves=10, fold_groups=10, crowd=NEVER, nodes=NEVER, edges=NEVER)
    crowded = fold(whole, limits)
    thin = fold(whole, Limits(fold_leaves=10, fold_groups=10))
    assert len(crowded.edges) > 100
    assert len(thin.edges) == 2 * len(thin.nodes) == 26
    assert thin.notes[-1] == f"{len(crowded.edges) - 26} arrows of less weight between the boxes not drawn"
    for node in thin.nodes:
        for end in ("source", "target"):
            mine = [e for e in crowded.edges if getattr(e, end) == node.id]
            if mine:
                heaviest = max(e.stands_for for e in mine)
                assert any(e in thin.edges for e in mine if e.stands_for == heaviest)


@pytest.mark.parametrize("counts", [True, False])
@given(nodes=st.integers(1, 60), edges=st.integers(0, 60))
def test_a_cut_keeps_what_weighs_most_and_counts_the_rest(counts: bool, nodes: int, edges: int) -> None:
    whole = diagram(large(30), counts=counts)
    small = cut(whole, nodes=nodes, edges=edges)
    kept = {n.id for n in small.nodes}
    assert len(small.nodes) == min(nodes, len(whole.nodes))
    assert len(small.edges) <= edges
    assert all(e.source in kept and e.target in kept for e in small.edges)
    left = re.fullmatch(r"left out: (\d+) nodes? and (\d+) edges? of less weight", small.notes[0])
    assert left is not None
    assert int(left[1]) == len(whole.nodes) - len(small.nodes)
    assert int(left[2]) == len(whole.edges) - len(small.edges)
    if counts and small.edges:
        failing = [e for e in whole.edges if e.errors and e.source in kept and e.target in kept]
        assert sum(e in small.edges for e in failing) == min(len(failing), edges), "failing edges go first"


@given(names=st.sets(st.text(max_size=12), max_size=15), joint=st.sampled_from("_-"))
def test_plain_ids_are_unlike_and_do_not_depend_on_the_others(names: set[str], joint: str) -> None:
    made = plain_ids(((n, "service", n) for n in names), joint=joint, limit=40)
    assert len(set(made.values())) == len(names)
    assert all(re.fullmatch(rf"[a-z0-9{joint}]{{1,40}}", one) for one in made.values())
    for name in names:
        alone = plain_ids([(name, "service", name)], joint=joint, limit=40)
        assert made[name] == alone[name] or made[name].startswith(alone[name][:30])


def test_the_name_that_is_an_id_already_keeps_it() -> None:
    made = plain_ids((n, "service", n) for n in ("a b", "a_b", "A-B"))
    assert made["a_b"] == "service_a_b"
    assert len(set(made.values())) == 3
