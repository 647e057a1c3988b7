"""Sessions of arrivals, what is refused, and what is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.load.script.made import BASE, ORIGIN, RUN, arrivals, compiled, scenario
from tracer_bullet.engine.schedule.takes import take
from tracer_bullet.errors import UsageError
from tracer_bullet.load.script import RowError, compile_script
from tracer_bullet.model.arrival import Slot, Take
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.load import Iteration
from tracer_bullet.scenario import Scenario, load_scenario
from tracer_bullet.scenario.paths import find_values

ORDER = {
    "request": {"method": "POST", "path": "/orders", "json": {"n": 1}, "timeout_s": 2.5},
    "expect": {"status": [201, "3xx"], "json": {"$.id": {"exists": True}}},
    "take": {"order": "$.items[0].id", "etag": "header:ETag", "code": "status", "unused": "$..deep[*]"},
}
PAY = {
    "request": {
        "method": "POST",
        "path": "/orders/${order}/pay",
        "headers": {"if-match": "${etag}"},
        "json": {"code": "${code}", "note": "after ${code}"},
    }
}
LOOK = {"request": {"path": "/orders/${order}"}, "expect": {"time_ms": {"lt": 50}}}


def test_an_iteration_is_a_session_each_step_after_the_one_before() -> None:
    script = compiled(scenario(ORDER, PAY, LOOK))
    iteration = Iteration(number=4, scenario=0, due_ns=1_000, user=2, after=55, pause_ns=300)
    made = script.arrivals(iteration, {}, first_number=100, session=9, pauses_ns=(20, 30), keep=True)
    assert [(a.number, a.session, a.origin, a.endpoint) for a in made] == [
        (100, 9, 3, 10),
        (101, 9, 3, 11),
        (102, 9, 3, 12),
    ]
    assert [(a.due_ns, a.after, a.pause_ns, a.needs) for a in made] == [
        (1_000, 55, 300, False),
        (1_020, 100, 20, True),
        (1_050, 101, 30, True),
    ]
    assert [(a.last, a.keep, a.cookies) for a in made] == [
        (False, True, True),
        (False, False, True),  # its status says all
        (True, False, True),  # and its time is in the columns
    ]


def test_a_single_step_is_the_engine_s_quick_way() -> None:
    (made,) = arrivals(compiled(scenario({"request": {"path": "/"}})), keep=True)
    assert (made.after, made.pause_ns, made.needs, made.cookies, made.keep, made.last) == (
        -1,
        -1,
        False,
        False,
        False,
        True,
    )
    assert made.takes == ()
    assert made.slots == ()


def test_only_what_later_requests_use_is_taken() -> None:
    made = arrivals(compiled(scenario(ORDER, PAY, LOOK)))
    assert [set(a.takes) for a in made] == [
        {Take("order", "json", "$.items[0].id"), Take("etag", "header", "etag"), Take("code", "status", "")},
        set(),
        set(),
    ]
    body = made[1].body
    assert body == b'{"code":0,"note":"after 0"}'
    assert [(s.part, s.variable, s.encoding) for s in made[1].slots] == [
        ("head", "order", "percent"),
        ("head", "etag", "raw"),
        ("body", "code", "value"),
        ("body", "code", "json"),
    ]
    assert made[2].slots == (Slot("head", len("GET /orders/"), 1, "order", "percent"),)


def test_a_variable_is_the_row_s_until_it_is_taken() -> None:
    step = {"request": {"path": "/${id}"}, "take": {"id": "$.id"}}
    made = arrivals(compiled(scenario(step, step, variables={"id": "first"})), {"id": "row"})
    assert made[0].head.startswith(b"GET /row ")
    assert made[0].slots == ()
    assert made[1].head.startswith(b"GET /0 ")
    assert made[1].slots == (Slot("head", 5, 1, "id", "percent"),)


def test_endpoints_and_steps() -> None:
    script = compiled(scenario(ORDER, LOOK))
    assert [(e.number, e.method, e.name, e.statuses, e.timeout_s) for e in script.endpoints] == [
        (10, "POST", "shop / s0", ("201", "3xx"), 2.5),
        (11, "GET", "shop / s1", ("2xx",), 10.0),
    ]
    assert [(k.scenario, k.step, k.method, k.path, k.index, k.of) for k in script.steps] == [
        ("shop", "s0", "POST", "/orders", 0, 2),
        ("shop", "s1", "GET", "/orders/${order}", 1, 2),
    ]


@pytest.mark.parametrize(
    ("step", "code", "line", "words"),
    [
        ("{name: a, request: {path: /x, follow_redirects: true}}", "TB1010", 7, "follows redirects"),
        ("{name: a, request: {path: '/x/%4${v}'}}", "TB1010", 7, "right before a variable"),
        (
            "{name: a, request: {path: /x}, take: {id: '$..id'}}\n- {name: b, request: {path: '/${id}'}}",
            "TB1011",
            7,
            "$..id is taken for a later step's request",
        ),
    ],
)
def test_what_cannot_go_is_refused_where_it_stands(tmp_path: Any, step: str, code: str, line: int, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"version: 1\nname: s\ntarget: t\nvariables: {{v: 1}}\n\nsteps:\n- {step}\n")
    located = load_scenario(path)
    with pytest.raises(UsageError, match=words.replace("$", r"\$")) as caught:
        compile_script(
            located.value, base_url=BASE, variables={}, origin=ORIGIN, first_endpoint=0, run_id=RUN, located=located
        )
    assert (caught.value.code, caught.value.where) == (code, f"{path}:{line}")


def test_a_path_that_only_expectations_use_may_be_any() -> None:
    expect = {"json": {"$.id": {"eq": "${id}"}}}
    script = compiled(
        scenario({"request": {"path": "/"}, "take": {"id": "$..id"}}, {"request": {"path": "/"}, "expect": expect})
    )
    assert [a.takes for a in arrivals(script, keep=True)] == [(), ()]
    assert [a.keep for a in arrivals(script, keep=True)] == [True, True]


def test_a_bad_row_says_the_step_and_why() -> None:
    script = compiled(scenario({"request": {"path": "/${a}"}}, variables={"a": "1"}))
    for call in (lambda: arrivals(script, {"a": ""}), lambda: script.check_row({"a": ""})):
        with pytest.raises(RowError, match="s0: the variable 'a' in the path is empty"):
            call()
    script.check_row({"a": "x"})


def test_a_target_that_is_no_address_is_refused() -> None:
    with pytest.raises(UsageError, match="is no address"):
        compiled(scenario({"request": {"path": "/"}}), base_url="http://h:x")


KEYS = st.sampled_from(["a", "b_1", "c d", "0", "ä"])
DOCUMENTS = st.recursive(
    st.text("xyz") | st.booleans() | st.integers(),
    lambda i: st.lists(i, max_size=3) | st.dictionaries(KEYS, i, max_size=3),
)


@given(DOCUMENTS, st.lists(st.one_of(KEYS, st.integers(0, 2)), max_size=3), st.booleans())
def test_the_engine_takes_what_fire_takes(document: Any, keys: list[str | int], quoted: bool) -> None:
    path = "$" + "".join(
        f"[{k}]" if isinstance(k, int) else f".{k}" if k in ("a", "b_1") and not quoted else f"['{k}']" for k in keys
    )
    spec: Scenario = scenario({"request": {"path": "/"}, "take": {"v": path}}, {"request": {"path": "/${v}"}})
    (wanted,) = arrivals(compiled(spec))[0].takes
    answer = Answer(status=200, headers=(("content-type", "application/json"),), body=json.dumps(document).encode())
    found = find_values(path, document)[:1]
    assume(not found or isinstance(found[0], str | bool | int))  # anything else fails a bullet of `fire`
    expected = found[0] if found else None
    minted = take(answer, (wanted,)).get("v")
    text = None if minted is None else minted.decode()
    assert text == (
        None if expected is None else str(expected).lower() if isinstance(expected, bool) else str(expected)
    )
