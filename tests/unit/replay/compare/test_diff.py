"""Claim: what differs between two JSON values is found where it is, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.replay.compare.diff import differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


def found(a: Any, b: Any) -> list[tuple[str, str]]:
    return [(d.path, d.kind) for d in differences(a, b)]


@given(JSON)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert found(value, copy.deepcopy(value)) == []


@given(JSON, JSON)
def test_both_sides_see_as_many_places(a: Any, b: Any) -> None:
    other = {"missing": "added", "added": "missing"}
    assert sorted(found(a, b)) == sorted((path, other.get(kind, kind)) for path, kind in found(b, a))


@given(JSON, JSON)
def test_equal_when_and_only_when_nothing_is_found(a: Any, b: Any) -> None:
    assert (found(a, b) == []) == (_typed(a) == _typed(b))


def _typed(value: Any) -> Any:
    """Python says True == 1; JSON does not."""
    if isinstance(value, dict):
        return {k: _typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(v) for v in value]
    return (isinstance(value, bool), value)


def test_each_kind_and_its_place() -> None:
    recorded = {"a": 1, "gone": 1, "t": 1, "list": [1, 2], "set": [1, 2], "deep": [{"x": 1}, {"x": 2}], "odd key": 1}
    replayed = {"a": 2, "new": 1, "t": "1", "list": [1], "set": [2, 1], "deep": [{"x": 1}, {"x": 3}], "odd key": 2}
    assert found(recorded, replayed) == [
        ("$.gone", "missing"),
        ("$.new", "added"),
        ("$.a", "value"),
        ("$.t", "type"),
        ("$.list", "size"),
        ("$.set", "order"),
        ("$.deep[*].x", "value"),
        ('$["odd key"]', "value"),
    ]


def test_numbers_are_numbers_and_truth_is_none() -> None:
    assert found(1, 1.0) == []
    assert found(1, not 0) == [("$", "type")]
    assert found(None, 0) == [("$", "type")]


def test_depth_costs_no_stack() -> None:
    a: Any = 1
    b: Any = 2
    for _ in range(20_000):
        a, b = {"x": a}, {"x": b}
    assert [d.kind for d in differences(a, b)] == ["value"]
