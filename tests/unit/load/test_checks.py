"""At load an answer is judged as `fire` judges it; failures are counted by what is wrong, with an example each."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import batch, shot
from tests.unit.load.script.made import arrivals, compiled, scenario
from tracer_bullet.load import checks
from tracer_bullet.load.checks import Checker
from tracer_bullet.load.script import Script
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.load import CheckFailure
from tracer_bullet.model.shots import SHOT_ERRORS, KeptAnswer, ShotBatch
from tracer_bullet.scenario.answer import Answer as FiredAnswer
from tracer_bullet.scenario.answer import check_answer, take_values
from tracer_bullet.workspace.template import Scalar

Failures = list[tuple[CheckFailure, int]]


def checker(*scripts: Script, rows: Mapping[int, Mapping[str, Scalar]] | None = None) -> Checker:
    return Checker(scripts, (rows or {}).__getitem__)


def step(expect: Mapping[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    return {"request": {"path": "/"}, "expect": expect or {}, **parts}


def kept(number: int, document: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> KeptAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return KeptAnswer(number=number, answer=Answer(status=status, headers=tuple(headers), body=body))


def errors(found: ShotBatch) -> list[str]:
    return [SHOT_ERRORS[code] for code in found.error]


def words(failures: Failures) -> dict[str, int]:
    return {failure.message: count for failure, count in failures}


def test_what_is_expected_stays_untouched() -> None:
    judge = checker(compiled(scenario(step({"json": {"$.ok": True}}))))
    judge.answer(kept(0, {"ok": True}))
    given_batch = batch([shot(number=0, endpoint=10), shot(number=1, endpoint=10)])
    found, failures = judge.shots(given_batch)
    assert found is given_batch
    assert (failures, judge.checked, judge.unchecked) == ([], 1, 0)


def test_a_failure_is_told_once_with_its_count_row_and_trace() -> None:
    judge = checker(
        compiled(scenario(step({"json": {"$.state": "paid"}}), variables={"sku": ""})),
        rows={n: {"sku": f"k{n}"} for n in range(5)},
    )
    for number in range(5):
        judge.answer(kept(number, {"state": "paid" if number == 1 else "open"}))
    found, failures = judge.shots(batch([shot(number=n, endpoint=10) for n in range(5)]))
    assert errors(found) == ["unexpected", "", "unexpected", "unexpected", "unexpected"]
    assert failures == [
        (
            CheckFailure(
                endpoint=10,
                message='json $.state: expected "paid", got "open"',
                trace_id="0000000000000001" + "0000000000000002",
                row={"sku": "k0"},
            ),
            4,
        )
    ]


def test_values_that_change_are_one_kind_of_failure() -> None:
    judge = checker(compiled(scenario(step({"json": {"$.total": {"lt": 10}}}))))
    for number in range(30):
        judge.answer(kept(number, {"total": number + 10.5}))
    _, failures = judge.shots(batch([shot(number=n, endpoint=10) for n in range(30)]))
    assert words(failures) == {"json $.total: expected < 10, got #": 30}


def test_wordings_of_a_step_are_bounded() -> None:
    judge = checker(compiled(scenario(step({"json": {"$.word": "x"}}))))
    for number in range(200):
        judge.answer(kept(number, {"word": "y" * (number + 1)}))
    _, failures = judge.shots(batch([shot(number=n, endpoint=10) for n in range(200)]))
    assert len(failures) == checks._MOST_WORDINGS + 1
    assert words(failures)['json $.word: expected "x", got other values'] == 200 - checks._MOST_WORDINGS


def test_statuses_and_missing_answers_are_told_too_and_the_run_s_own_are_not() -> None:
    judge = checker(compiled(scenario(step({"status": [201, "3xx"]}))))
    rows = [
        shot(number=0, endpoint=10, status=500) | {"error": SHOT_ERRORS.index("unexpected")},
        *[
            shot(number=n, endpoint=10, error=e, sent=False)
            for n, e in enumerate(("reset", "slot", "stopped", "skipped", "stale", "lost"), 1)
        ],
    ]
    given_batch = batch(rows)
    found, failures = judge.shots(given_batch)
    assert found is given_batch
    assert words(failures) == {
        "status 500, expected 201 or 3xx": 1,
        "no complete answer: reset": 1,
        "not sent: no earlier answer gave a usable value for a variable of the request": 1,
    }


@pytest.mark.parametrize("operators", [{"lt": 5}, {"ge": 1, "le": 4.5}, {"gt": 2, "ne": 3}])
@given(took=st.lists(st.integers(0, 10_000_000), max_size=20))
def test_times_are_judged_from_the_columns_as_fire_judges_them(operators: dict[str, Any], took: list[int]) -> None:
    script = compiled(scenario(step({"time_ms": operators})))
    (planned,) = script.plan.steps
    judge = checker(script)
    found, failures = judge.shots(batch([shot(number=n, endpoint=10, service=ns) for n, ns in enumerate(took)]))
    fine = [
        all(
            c.passed for c in check_answer(planned, FiredAnswer(status=200, headers=(), body=b"", duration_ms=ns / 1e6))
        )
        for ns in took
    ]
    assert [not e for e in errors(found)] == fine
    assert sum(words(failures).values()) == fine.count(False)


def test_what_has_no_answer_has_no_time_to_judge() -> None:
    judge = checker(compiled(scenario(step({"time_ms": {"lt": 1}}))))
    rows = [shot(number=n, endpoint=10, service=9_000_000, error=e) for n, e in enumerate(("reset", "lost", ""))]
    found, failures = judge.shots(batch(rows))
    assert errors(found) == ["reset", "lost", "unexpected"]
    assert words(failures) == {"no complete answer: reset": 1, "time: expected < 1 ms": 1}


def test_a_time_with_a_variable_is_the_row_s() -> None:
    script = compiled(scenario(step({"time_ms": {"lt": "${most}"}}), variables={"most": 1}))
    judge = checker(script, rows={0: {"most": 3}, 1: {"most": 1}, 2: {}})
    rows = [shot(number=n, endpoint=10, service=2_000_000) for n in range(3)]
    found, failures = judge.shots(batch(rows))
    assert errors(found) == ["", "unexpected", "unexpected"]
    assert words(failures) == {'time: expected < "${most}" ms': 2}


def test_variables_of_matchers_come_from_row_iteration_and_earlier_answers() -> None:
    first = step({"json": {"$.n": {"eq": "${bullet}"}, "$.sku": "${sku}"}}, take={"id": "$.id"})
    second = step({"json": {"$.order": {"eq": "${id}"}, "$.run": {"contains": "${run}"}}})
    script = compiled(scenario(first, second, variables={"sku": "default"}))
    judge = checker(script, rows={n: {"sku": f"k{n // 2}"} for n in range(4)})
    for number, iteration in ((0, 70), (2, 71)):
        arrivals(script, {"sku": f"k{number // 2}"}, iteration, first_number=number, keep=True)
    judge.answer(kept(0, {"n": 70, "sku": "k0", "id": 5}))
    judge.answer(kept(2, {"n": 71, "sku": "k1", "id": 6}))
    found, failures = judge.shots(batch([shot(number=0, endpoint=10), shot(number=2, endpoint=10)]))
    assert (errors(found), failures) == (["", ""], [])
    judge.answer(kept(1, {"order": 5, "run": "r-1"}))
    judge.answer(kept(3, {"order": 5, "run": "r-1"}))
    found, failures = judge.shots(batch([shot(number=1, endpoint=11), shot(number=3, endpoint=11)]))
    assert errors(found) == ["", "unexpected"]
    assert words(failures) == {"json $.order: expected #, got #": 1}
    assert (judge._taken, script._numbers) == ({}, {})


def test_what_an_earlier_answer_should_have_told_is_counted_as_unchecked() -> None:
    script = compiled(scenario(step(take={"id": "$.id"}), step({"json": {"$.order": "${id}"}})))
    judge = checker(script)
    judge.answer(kept(1, {"order": 1}))
    found, failures = judge.shots(batch([shot(number=1, endpoint=11)]))
    assert (errors(found), failures, judge.unchecked) == ([""], [], 1)


def test_a_value_that_is_not_there_fails_the_step_that_takes_it() -> None:
    judge = checker(compiled(scenario(step(take={"id": "$.id"}))))
    judge.answer(kept(0, {"other": 1}))
    found, failures = judge.shots(batch([shot(number=0, endpoint=10)]))
    assert errors(found) == ["unexpected"]
    (message,) = words(failures)
    assert message.startswith("take id: expected one value at $.id, got missing")


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda b: zlib.compress(b)[2:-4]),
        ("gzip, deflate", lambda b: zlib.compress(gzip.compress(b))),
        ("identity", bytes),
    ],
)
def test_bodies_are_decoded(coding: str, pack: Any) -> None:
    judge = checker(compiled(scenario(step({"json": {"$.a": "ö"}, "headers": {"x-name": "ü"}}))))
    headers = [("Content-Encoding", coding), ("X-Name", "ü".encode().decode("latin-1"))]
    judge.answer(kept(0, pack(json.dumps({"a": "ö"}).encode()), headers=headers))
    found, failures = judge.shots(batch([shot(number=0, endpoint=10)]))
    assert (errors(found), failures) == ([""], [])


@pytest.mark.parametrize(
    "parts", [{"expect": {"headers": {"x-a": "fine"}}}, {"expect": {"headers": {"x-a": "fine"}, "json": {"$..a": 1}}}]
)
def test_the_same_body_with_other_headers_is_another_answer(parts: dict[str, Any]) -> None:
    judge = checker(compiled(scenario({"request": {"path": "/"}, **parts})))
    for number, value in enumerate(("fine", "wrong", "fine")):
        judge.answer(kept(number, {"a": 1}, headers=[("X-A", value), ("date", str(number))]))
    found, _ = judge.shots(batch([shot(number=n, endpoint=10) for n in range(3)]))
    assert errors(found) == ["", "unexpected", ""]


def test_a_body_that_unpacks_without_end_is_cut() -> None:
    judge = checker(compiled(scenario(step({"json": {"$.a": 1}}))))
    judge.answer(kept(0, gzip.compress(b" " * 50_000_000 + b'{"a": 1}'), headers=[("content-encoding", "gzip")]))
    _, failures = judge.shots(batch([shot(number=0, endpoint=10)]))
    (message,) = words(failures)
    assert "longer than the" in message


def test_what_was_cut_is_not_taken_for_the_whole() -> None:
    judge = checker(compiled(scenario(step({"json": {"$.a": 1}}))))
    whole = kept(0, {"a": 1})
    judge.answer(KeptAnswer(number=0, answer=whole.answer, cut=True))
    found, failures = judge.shots(batch([shot(number=0, endpoint=10)]))
    assert errors(found) == ["unexpected"]
    assert "longer than" in next(iter(words(failures)))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_MOST_KEPT", 10)
    monkeypatch.setattr(checks, "_MOST_ITERATIONS", 10)
    monkeypatch.setattr(checks, "_MOST_FINE", 10)
    judge = checker(
        compiled(scenario(step(take={"id": "$.id"}), step({"json": {"$.id": "${id}"}}), step({"json": {"$.a": 1}})))
    )
    for number in range(0, 300, 3):
        judge.answer(kept(number, {"id": number}))
        judge.answer(kept(number + 2, {"a": 1, "n": number}))
        judge.shots(batch([shot(number=number, endpoint=10)]))  # and no more is heard of it
    assert max(len(judge._kept), len(judge._taken)) <= 10
    for number in range(1000, 1300, 3):
        judge.answer(kept(number + 2, {"a": 1, "n": number}))
        judge.shots(batch([shot(number=number + 2, endpoint=12)]))
    assert 0 < len(judge._fine) <= 10


VALUES = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", "1"]), st.booleans(), st.none())
MATCHERS = st.one_of(
    st.fixed_dictionaries({"eq": VALUES}),
    st.fixed_dictionaries({"in": st.lists(VALUES, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"eq": st.just("${v}")}),
)


@given(
    st.dictionaries(st.sampled_from(["$.a", "$..b", "$.c[*].a"]), MATCHERS, max_size=2),
    st.dictionaries(st.sampled_from(["X-A", "x-b"]), MATCHERS, max_size=1),
    st.lists(
        st.tuples(
            st.fixed_dictionaries(
                {}, optional={"a": VALUES, "b": VALUES, "c": st.lists(st.fixed_dictionaries({"a": VALUES}), max_size=2)}
            ),
            st.sampled_from(["a", "1", "true"]),
            VALUES.filter(lambda v: v is not None),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_an_answer_is_judged_as_fire_judges_it(
    wanted: dict[str, Any], headers: dict[str, Any], answers: list[tuple[dict[str, Any], str, Any]], takes: bool
) -> None:
    taken = {"t": "$.a"} if takes else {}
    script = compiled(scenario(step({"json": wanted, "headers": headers}, take=taken), variables={"v": "a"}))
    (planned,) = script.plan.steps
    judge = checker(script, rows={n: {"v": v} for n, (_, _, v) in enumerate(answers)})
    expected = []
    for number, (document, value, variable) in enumerate(answers):
        lines = (("x-a", value), ("date", str(number)))
        judge.answer(kept(number, document, headers=lines))
        fired = FiredAnswer(status=200, headers=lines, body=json.dumps(document).encode(), duration_ms=1.0)
        fine = all(c.passed for c in check_answer(planned, fired, {"v": variable}))
        expected.append(fine and isinstance(take_values(planned, fired), dict))
    found, failures = judge.shots(batch([shot(number=n, endpoint=10) for n in range(len(answers))]))
    assert [not e for e in errors(found)] == expected
    assert sum(words(failures).values()) == expected.count(False)
