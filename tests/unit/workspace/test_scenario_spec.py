"""Scenario files: what is accepted, and each mistake with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.workspace.audit import AuditSpec
from tracer_bullet.workspace.fields import RESERVED_HEADERS
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.matcher import OPERATORS, Matcher
from tracer_bullet.workspace.scenario import ScenarioSpec

HEAD = "version: 1\nname: s\ntarget: t\n"


def parse(text: str) -> ScenarioSpec:
    return parse_located(f"{HEAD}{text}".encode(), ScenarioSpec, file="s.yaml").value


def told(text: str) -> list[tuple[int, str, str]]:
    """(line, path, message), lines counted from the first after HEAD."""
    with pytest.raises(WorkspaceError) as caught:
        parse(text)
    return [(p.line - HEAD.count("\n"), p.path, p.message) for p in caught.value.problems]


def in_request(text: str) -> list[tuple[int, str, str]]:
    return told(f"steps:\n- name: a\n  request:\n    path: /x\n    {text}")


def in_step(text: str) -> list[tuple[int, str, str]]:
    return told(f"steps:\n- name: a\n  request: {{path: /x}}\n  {text}")


def test_the_least_that_can_be_said() -> None:
    found = parse("steps: [{name: a, request: {path: /x}}]")
    step = found.steps[0]
    assert (step.request.method, step.request.timeout_s, step.request.follow_redirects) == ("GET", 10.0, False)
    assert (step.expect.status, step.expect.status_is_default) == (("2xx",), True)
    assert (found.bullets, found.concurrency, found.tester.user_id) == (1, 1, None)
    assert found.audit == AuditSpec(no_writes=True, every_service_flagged=True)
    assert step.request.has_json is False


def test_a_trace_entry_wants_at_least_one_span() -> None:
    found = parse("steps: [{name: a, request: {path: /x}}]\ntrace: [{spans: {kind: server}}]")
    assert found.trace[0].count.operators == (("ge", 1),)


@pytest.mark.parametrize(
    ("written", "statuses"),
    [("201", ("201",)), ("2XX", ("2xx",)), ("'404'", ("404",)), ("[200, 3xx]", ("200", "3xx"))],
)
def test_statuses(written: str, statuses: tuple[str, ...]) -> None:
    found = parse(f"steps: [{{name: a, request: {{path: /x}}, expect: {{status: {written}}}}}]")
    assert found.steps[0].expect.status == statuses
    assert found.steps[0].expect.status_is_default is False


@pytest.mark.parametrize("written", ["2xy", "600", "99", "[]", "{}", "true", "20", "2xx3", "[200, no]"])
def test_statuses_that_are_none(written: str) -> None:
    ((line, path, message),) = in_step(f"expect: {{status: {written}}}")
    assert (line, path) == (4, "steps.0.expect.status")
    assert "status as 201" in message


def test_a_method_in_any_case_and_a_suggestion_for_a_slip() -> None:
    assert parse("steps: [{name: a, request: {path: /x, method: post}}]").steps[0].request.method == "POST"
    with pytest.raises(WorkspaceError) as caught:
        parse("steps: [{name: a, request: {path: /x, method: psot}}]")
    assert caught.value.problems[0].cure == "did you mean 'POST'?"


@pytest.mark.parametrize(
    "path", ["x", "http://h/x", "//h/x", "/x?a=1", "/x#y", "/a b", "/a\nb", "", "/../x", "/a/./b", "/a/.."]
)
def test_paths_that_are_refused(path: str) -> None:
    ((_, where, message),) = told(f"steps: [{{name: a, request: {{path: {json.dumps(path)}}}}}]")
    assert where == "steps.0.request.path"
    assert message.startswith("must")


@pytest.mark.parametrize("name", [*RESERVED_HEADERS, "TraceParent", "Baggage"])
def test_headers_that_the_harness_sets_are_refused(name: str) -> None:
    ((line, path, message),) = in_request(f"headers:\n      x-mine: a\n      {name}: x")
    assert (line, path) == (7, f"steps.0.request.headers.{name}")
    assert "sets the header" in message


def test_headers_that_are_none_are_told_all_at_once() -> None:
    found = in_request('headers: {"a b": x, c: "d\\r\\ne: f", X-A: 1, x-a: 2, "": x}')
    assert [(p, m) for _, p, m in found] == [
        ("steps.0.request.headers", "'' is no valid header name"),
        ("steps.0.request.headers.X-A", "the header 'X-A' is given twice"),
        ("steps.0.request.headers.a b", "'a b' is no valid header name"),
        ("steps.0.request.headers.c", "a header value must not hold control characters"),
        ("steps.0.request.headers.x-a", "the header 'x-a' is given twice"),
    ]


def test_header_values_may_be_numbers() -> None:
    headers = parse("steps: [{name: a, request: {path: /x, headers: {a: 1, b: true}}}]").steps[0].request.headers
    assert headers == {"a": "1", "b": "true"}


def test_there_is_one_body() -> None:
    assert in_request("json: null\n    body: x") == [
        (6, "steps.0.request.body", "only one of json, body can be the body")
    ]
    assert len(in_request("json: 1\n    form: {a: 1}\n    body: x")) == 1


def test_a_null_body_is_a_body() -> None:
    assert parse("steps: [{name: a, request: {path: /x, json: null}}]").steps[0].request.has_json is True


def test_query_lists_repeat_a_parameter() -> None:
    query = parse("steps: [{name: a, request: {path: /x, query: {a: 1, b: [x, true]}}}]").steps[0].request.query
    assert query == {"a": (1,), "b": ("x", True)}
    assert in_request("query: {a: {}}")[0][2] == "must be a text, a number or true/false"


@pytest.mark.parametrize("timeout", ["0", "-1", "601", "x"])
def test_time_outs_have_bounds(timeout: str) -> None:
    assert in_request(f"timeout_s: {timeout}")[0][1] == "steps.0.request.timeout_s"


@pytest.mark.parametrize(
    ("matcher", "path", "said"),
    [
        ("", "", "is empty"),
        ("[1]", "", "a list is no matcher"),
        ("{}", "", "needs a value or one of eq, ne"),
        ('{matches: "("}', ".matches", "no valid regular expression: missing )"),
        ("{matches: 3}", ".matches", "must be a regular expression"),
        ("{lt: [1]}", ".lt", "must be a number, or a text"),
        ("{lt: true}", ".lt", "must be a number, or a text"),
        ("{in: []}", ".in", "needs at least 1, and is empty"),
        ("{in: 3}", ".in", "must be a list"),
        ("{exists: maybe}", ".exists", "must be true or false"),
        ("{type: strng}", ".type", "must be one of string"),
        ("{equals: 3}", ".equals", "unknown key 'equals'"),
    ],
)
def test_matchers_that_are_none(matcher: str, path: str, said: str) -> None:
    ((line, where, message),) = in_step(f"expect:\n    headers:\n      x: {matcher}")
    assert (line, where) == (6, f"steps.0.expect.headers.x{path}")
    assert said in message


def test_a_matcher_knows_which_operators_are_given() -> None:
    assert Matcher.model_validate({"eq": None}).operators == (("eq", None),)
    assert Matcher.model_validate({"in": [1, "a"], "gt": 2}).operators == (("gt", 2), ("in", (1, "a")))
    assert Matcher.model_validate("x").operators == (("eq", "x"),)
    assert Matcher.model_validate(0).operators == (("eq", 0),)
    assert set(OPERATORS) == {
        *("eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "in", "not_in", "exists", "type")
    }


def test_an_unknown_variable_is_told_with_the_closest() -> None:
    with pytest.raises(WorkspaceError) as caught:
        parse("variables: {quantity: 1}\nsteps:\n- name: a\n  request:\n    path: /x\n    json: {n: ['${quantty}']}")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (9, "steps.0.request.json.n.0")
    assert problem.message == "the variable 'quantty' is not known here"
    assert problem.cure == "did you mean 'quantity'?"


def test_a_variable_is_known_after_the_step_that_takes_it() -> None:
    text = """\
steps:
- name: a
  request: {path: "/${id}"}
  expect: {json: {$.x: "${id}"}}
  take: {id: $.id}
- name: b
  request: {path: "/${id}/${run}/${bullet}", headers: {x: "${id}"}, query: {q: ["${id}"]}}
  expect: {headers: {x: {contains: "${id}"}}}
"""
    message = "the variable 'id' is not taken before this step, but by steps.0"
    assert told(text) == [(3, "steps.0.request.path", message), (4, "steps.0.expect.json.$.x", message)]


@pytest.mark.parametrize("text", ["${", "${a b}", "${1}", "x ${} y"])
def test_what_begins_like_a_reference_and_is_none(text: str) -> None:
    assert in_request(f"json: '{text}'")[0][2] == "`${` begins no `${name}`"
    escaped = text.replace("$", "$$")
    assert parse(f"steps: [{{name: a, request: {{path: /x, json: '{escaped}'}}}}]").steps[0].request.json_ == escaped


def test_variables_stay_out_of_the_trace_section() -> None:
    found = told("variables: {a: 1}\nsteps: [{name: a, request: {path: /}}]\ntrace:\n- spans: {name: '${a}'}")
    assert found == [(4, "trace.0.spans.name", "variables are not replaced here")]


@pytest.mark.parametrize(("name", "said"), [("run", "sets 'run'"), ("a-b", "letters"), ("1", "letters")])
def test_names_of_variables(name: str, said: str) -> None:
    assert said in told(f"variables: {{{name}: 1}}\nsteps: [{{name: a, request: {{path: /}}}}]")[0][2]
    assert said in in_step(f"take: {{{name}: $.a}}")[0][2]


def test_values_of_variables_are_scalars() -> None:
    assert told("variables: {a: [1]}\nsteps: [{name: a, request: {path: /}}]")[0][1] == "variables.a"


@pytest.mark.parametrize("source", ["order_id", "header:", "header: x", "3", "header:a b", "Status"])
def test_sources_that_are_none(source: str) -> None:
    ((_, path, message),) = in_step(f"take: {{a: '{source}'}}")
    assert (path, "JSONPath" in message) == ("steps.0.take.a", True)


def test_steps_have_names_of_their_own() -> None:
    found = told(
        "steps:\n- {name: a, request: {path: /}}\n- {name: b, request: {path: /}}\n- {name: a, request: {path: /}}"
    )
    assert found == [(4, "steps.2.name", "steps.0 has the name 'a' already")]


def test_a_duration_of_no_span_is_a_mistake() -> None:
    found = told("steps: [{name: a, request: {path: /}}]\ntrace:\n- spans: {}\n  count: 0\n  duration_ms: {lt: 3}")
    assert found == [(5, "trace.0.duration_ms", "would never be checked, because `count: 0` wants no span")]
    assert parse("steps: [{name: a, request: {path: /}}]\ntrace: [{spans: {}, count: {ge: 0}, duration_ms: {lt: 3}}]")


def test_exceptions_from_the_audit_say_why() -> None:
    found = told(
        "steps: [{name: a, request: {path: /}}]\naudit:\n  allow:\n  - {service: a, operation: INSERT x}\n"
        "  ignore:\n  - {rule: flag-lost, why: ' '}"
    )
    assert [(line, path) for line, path, _ in found] == [(4, "audit.allow.0.why"), (6, "audit.ignore.0.why")]


def test_only_rules_that_there_are_can_be_ignored() -> None:
    steps = "steps: [{name: a, request: {path: /}}]\naudit:\n  ignore:\n"
    found = told(steps + "  - {rule: flag-lots, why: known}\n  - {rule: xyzzy, why: known}")
    assert found[0] == (4, "audit.ignore.0.rule", "the audit has no rule 'flag-lots'")
    assert found[1][:2] == (5, "audit.ignore.1.rule")
    assert parse(steps + "  - {rule: flag-lost, why: known}")


def test_mistakes_of_the_model_and_of_variables_are_told_together() -> None:
    found = told("steps:\n- name: a\n  request: {path: '/${nope}', methd: GET}\n  tke: {}\n- name: a\n  request: 3")
    assert [(line, path) for line, path, _ in found] == [
        (3, "steps.0.request.methd"),
        (3, "steps.0.request.path"),
        (4, "steps.0.tke"),
        (5, "steps.1.name"),
        (6, "steps.1.request"),
    ]


_shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("${ab}", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["steps", "name", "request", "expect", "take", "json", "variables", "a"]), inner
        )
    ),
    max_leaves=15,
)


@given(_shapes)
def test_trees_of_any_shape_are_looked_through(tree: object) -> None:
    assert all(m.message for m in ScenarioSpec.mistakes_in(tree))
