"""Answers: each expectation one check, with what was there when it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import Check
from tracer_bullet.scenario import Answer, Plan, check_answer, take_values
from tracer_bullet.workspace.template import Scalar

Planned = Callable[..., Plan]


def answer(
    status: int = 200, body: bytes = b"", *headers: tuple[str, str], ms: float = 10.0, cut: bool = False
) -> Answer:
    return Answer(status=status, headers=headers, body=body, duration_ms=ms, truncated=cut)


def checks(planned: Planned, expect: str, given_answer: Answer, **variables: Scalar) -> list[Check]:
    names = ", ".join(f"{name}: x" for name in variables)
    step = planned(
        f"variables: {{{names}}}\nsteps:\n- name: a\n  request: {{path: /x}}\n  expect:\n    {expect}"
    ).steps[0]
    return list(check_answer(step, given_answer, variables))[1:]


def taken(planned: Planned, take: str, given_answer: Answer) -> dict[str, Scalar] | Check:
    step = planned(f"steps:\n- name: a\n  request: {{path: /x}}\n  take: {take}").steps[0]
    return take_values(step, given_answer)


def test_a_step_without_expectations_wants_success_and_says_so(planned: Planned) -> None:
    step = planned("steps:\n- name: a\n  request: {path: /x}").steps[0]
    (good,) = check_answer(step, answer(204))
    assert good == Check(
        name="status",
        passed=True,
        expected="2xx (default: the step names no status)",
        actual="204",
        where="s.yaml:5",
        step="a",
    )
    (bad,) = check_answer(step, answer(500, b"boom"))
    assert (bad.passed, bad.actual) == (False, "500, with the body boom")


@pytest.mark.parametrize(
    ("expected", "fitting", "others"),
    [("201", [201], [200, 202]), ("2xx", [200, 299], [199, 300]), ("[404, 3xx]", [404, 302], [400, 200])],
)
def test_statuses(planned: Planned, expected: str, fitting: list[int], others: list[int]) -> None:
    step = planned(f"steps:\n- name: a\n  request: {{path: /x}}\n  expect:\n    status: {expected}").steps[0]
    assert all(check_answer(step, answer(s))[0].passed for s in fitting)
    assert not any(check_answer(step, answer(s))[0].passed for s in others)
    assert check_answer(step, answer())[0].where == "s.yaml:8"


def test_headers_in_any_case_with_their_lines_joined(planned: Planned) -> None:
    found = checks(
        planned,
        "headers: {X-A: 'a, b', X-N: {lt: 5}, x-no: {exists: false}, x-gone: b}",
        answer(200, b"", ("x-a", "a"), ("X-A", "b"), ("x-n", "4")),
    )
    assert [(c.name, c.passed) for c in found] == [
        ("header X-A", True),
        ("header X-N", True),
        ("header x-no", True),
        ("header x-gone", False),
    ]
    assert found[3].actual == "missing; the answer has the headers x-a, x-n"
    assert found[3].where == "s.yaml:9"


def test_json_expectations(planned: Planned) -> None:
    body = b'{"id": "o1", "n": 2, "items": [{"p": 1}, {"p": 0}, {"p": 5}], "none": null}'
    expect = """json:
      $.id: "${id}"
      $.n: {gt: 1, type: integer}
      $.items[*].p: {gt: 0}
      $.items[?(@.p > 0)].p: {gt: 0}
      $.nope: {exists: false}
      $.gone: 3
      $.none: {eq: null}
      $.items: {exists: true}"""
    found = checks(planned, expect, answer(200, body), id="o1")
    assert [c.passed for c in found] == [True, True, False, True, True, False, True, True]
    assert (found[2].actual, found[2].expected, found[2].where) == ("0 (of 3 found)", "> 0", "s.yaml:12")
    assert found[5].actual.startswith('missing; the answer is {"id": "o1"')
    assert found[1].actual == "2"


@pytest.mark.parametrize(
    ("given_answer", "said"),
    [
        (answer(200, b""), "the answer is no JSON, but empty"),
        (answer(200, b"<html>"), "the answer is no JSON, but <html>"),
        (answer(200, b"\xff\xfe\xfa"), "no JSON"),
        (answer(200, b'{"a": NaN}'), "no JSON"),
        (answer(200, b"[" * 200_000), "nested too deep"),
        (answer(200, b'{"a": 1', cut=True), "longer than the 7 bytes that are kept"),
        (answer(200, b'{"a": ' + b"9" * 5000 + b"}"), "no JSON"),
    ],
    ids=["empty", "html", "bytes", "nan", "deep", "cut", "huge number"],
)
def test_answers_that_are_no_json_fail_each_expectation(planned: Planned, given_answer: Answer, said: str) -> None:
    found = checks(planned, "json: {$.a: {exists: false}, $.b: 2}", given_answer)
    assert [c.passed for c in found] == [False, False]
    assert all(said in c.actual for c in found)


@given(body=st.binary(max_size=60))
def test_any_body_is_judged_without_raising(planned: Planned, body: bytes) -> None:
    found = checks(planned, "json: {$..a: 1, '$[?(@.a > 3)]': 2, $.a.`len`: 3}", answer(200, body))
    assert len(found) == 3
    assert isinstance(taken(planned, "{a: $.a}", answer(200, body)), dict | Check)


def test_time(planned: Planned) -> None:
    (good,) = checks(planned, "time_ms: {lt: 50}", answer(ms=49.9))
    (bad,) = checks(planned, "time_ms: {lt: 50}", answer(ms=50.04))
    assert (good.passed, bad.passed) == (True, False)
    assert (bad.expected, bad.actual, bad.name, bad.where) == ("< 50 ms", "50.0 ms", "time", "s.yaml:9")


def test_values_are_taken_with_their_types(planned: Planned) -> None:
    body = b'{"id": "o1", "n": 2.5, "ok": true, "items": [{"p": 7}, {"p": 8}]}'
    found = taken(
        planned,
        "{a: $.id, b: $.n, c: $.ok, d: '$.items[*].p', e: 'header:Location', f: status}",
        answer(201, body, ("location", "/orders/o1")),
    )
    assert found == {"a": "o1", "b": 2.5, "c": True, "d": 7, "e": "/orders/o1", "f": 201}


@pytest.mark.parametrize(
    ("take", "body", "said"),
    [
        ("{a: $.x}", b'{"y": 1}', 'missing; the answer is {"y": 1}'),
        ("{a: $.x}", b'{"x": null}', "null, which is no text"),
        ("{a: $.x}", b'{"x": [1]}', "[1], which is no text"),
        ("{a: $.x}", b"<p>", "no JSON"),
        ("{a: 'header:X-Id'}", b"", "missing; the answer has the headers server"),
    ],
)
def test_values_that_cannot_be_taken(planned: Planned, take: str, body: bytes, said: str) -> None:
    found = taken(planned, take, answer(200, body, ("Server", "x")))
    assert isinstance(found, Check)
    assert (found.name, found.passed, found.step, found.where) == ("take a", False, "a", "s.yaml:7")
    assert said in found.actual
