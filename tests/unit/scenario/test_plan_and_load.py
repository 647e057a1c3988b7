"""From a file to a plan: JSONPaths checked, variables overridden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import UsageError, WorkspaceError
from tracer_bullet.scenario import Plan, Scenario, load_scenario, plan
from tracer_bullet.scenario.paths import find_values, path_mistake
from tracer_bullet.workspace.load import Located

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "path", ["$", "$.a.b", "$['a b'][0]", "$..x", "$.a[?(@.price > 3)].sku", "$.items[*].sku", "$.a.`len`"]
)
def test_paths_that_are_some(path: str) -> None:
    assert path_mistake(path) == ""


@pytest.mark.parametrize("path", ["", "a.b", "$.a[", "$$$", "$.a[?(@]", "$.a.`nope`", "$.a.`sub(/(/, x)`", "$.a & $.b"])
def test_paths_that_are_none(path: str) -> None:
    assert path_mistake(path)


@given(st.text("$.[]@*?()a0'`=<>&| ,:-", max_size=12))
def test_any_text_is_a_path_or_a_mistake(text: str) -> None:
    if path_mistake(f"${text}") == "":
        try:
            assert isinstance(find_values(f"${text}", {"a": [{"a": 1}, "x", None]}), list)
        except ValueError as error:
            assert "cannot be followed" in str(error)  # noqa: PT017 - either end is fine


def test_filters_find_what_they_say() -> None:
    document = {"items": [{"p": 1, "s": "a"}, {"p": 5, "s": "b"}, {"p": "x", "s": "c"}]}
    assert find_values("$.items[?(@.p > 3)].s", document) == ["b"]
    assert find_values("$.items[*].s", document) == ["a", "b", "c"]
    assert find_values("$.nowhere", document) == []


def test_json_paths_are_told_with_their_lines(scenario: Callable[[str], Located[Scenario]]) -> None:
    text = """\
steps:
- name: a
  request: {path: /x}
  expect:
    json:
      $.fine: 1
      $.a[: 1
      order: 2
  take:
    x: $.b[
"""
    with pytest.raises(WorkspaceError) as caught:
        scenario(text)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (10, "steps.0.expect.json.$.a["),
        (11, "steps.0.expect.json.order"),
        (13, "steps.0.take.x"),
    ]


@pytest.mark.parametrize(
    "text", ["steps: 3", "steps: [3]", "steps: [{expect: 3, take: 3}]", "steps: [{expect: {json: []}}]"]
)
def test_files_of_any_shape_are_looked_through(scenario: Callable[[str], Located[Scenario]], text: str) -> None:
    with pytest.raises(WorkspaceError):
        scenario(text)


def test_the_plan_keeps_order_places_and_the_target(planned: Callable[..., Plan]) -> None:
    found = planned("steps:\n- {name: a, request: {path: /x}}\n- {name: b, request: {path: /y}}", "http://h:1/base/")
    assert [(s.index, s.name, s.base_url) for s in found.steps] == [
        (0, "a", "http://h:1/base"),
        (1, "b", "http://h:1/base"),
    ]
    assert found.steps[1].where("request.path") == "s.yaml:6"
    assert found.name == "s"


VARIABLES = "variables: {n: 1, f: 1.5, t: x, b: true}\nsteps: [{name: a, request: {path: /x}}]"


def test_overrides_take_the_type_of_the_default(planned: Callable[..., Plan]) -> None:
    assert dict(planned(VARIABLES).variables) == {"n": 1, "f": 1.5, "t": "x", "b": True}
    found = planned(VARIABLES, n="2.5", f="3", t="007", b="false").variables
    assert dict(found) == {"n": 2.5, "f": 3, "t": "007", "b": False}


@pytest.mark.parametrize(("name", "text"), [("n", "x"), ("n", "true"), ("b", "1"), ("b", "yes"), ("f", "")])
def test_overrides_that_do_not_fit(planned: Callable[..., Plan], name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned(VARIABLES, **{name: text})
    assert (caught.value.code, caught.value.where) == ("TB105", "s.yaml:4")


def test_an_unknown_override_is_told_with_the_closest(scenario: Callable[[str], Located[Scenario]]) -> None:
    located = scenario("variables: {quantity: 1}\nsteps: [{name: a, request: {path: /x}}]")
    with pytest.raises(UsageError) as caught:
        plan(located, base_url="http://h", overrides={"quantty": "1"})
    assert (caught.value.code, caught.value.cure) == ("TB105", "did you mean 'quantity'?")


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda p: p.name)
def test_this_repositorys_own_scenarios_load(path: Path) -> None:
    assert load_scenario(path).value.steps
