"""Matchers: what holds, and that operators agree with each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.scenario.matching import MISSING, Text, describe, satisfies, show
from tracer_bullet.workspace.matcher import OPERATORS, Matcher

TEXT = Text


def holds(matcher: Any, actual: Any) -> bool:
    return satisfies(Matcher.model_validate(matcher), actual)


@pytest.mark.parametrize(
    ("matcher", "fitting", "others"),
    [
        (5, [5, 5.0, TEXT("5"), TEXT("5.0"), TEXT("+5e0")], ["5", True, 6, None, TEXT("five"), TEXT("")]),
        (0.5, [0.5, TEXT(".5"), TEXT("0.50")], [0, TEXT("0,5")]),
        ("5", ["5", TEXT("5")], [5, TEXT("5.0"), ["5"]]),
        (1, [1], [True, TEXT("true")]),
        (True, [True, TEXT("true")], [1, "true", TEXT("True"), TEXT("1")]),
        ({"eq": None}, [None], [0, "", False, TEXT("null"), MISSING]),
        ({"eq": [1, {"a": True}]}, [[1.0, {"a": True}]], [[1, {"a": 1}], [1], [1, {}], {"a": True}]),
        ({"eq": {"a": 1}}, [{"a": 1}], [{"a": 1, "b": 2}, {}, [["a", 1]]]),
        ({"ne": 5}, [6, "5", None, True, TEXT("6"), TEXT("x")], [5, 5.0, TEXT("5"), MISSING]),
        ({"lt": 5}, [4, 4.9, -1, TEXT("4"), TEXT("-9")], [5, "4", True, None, [], TEXT("x"), MISSING]),
        ({"ge": 5}, [5, 6, TEXT("10")], [4, TEXT("4.99"), TEXT("")]),
        ({"gt": "b"}, ["c", "ba", TEXT("c")], ["b", "a", 3, None]),
        ({"le": "2026-01-02"}, ["2026-01-01", "2026-01-02"], ["2026-01-03", 5]),
        ({"gt": 1, "lt": 3}, [2, TEXT("2.5")], [1, 3, 4]),
        ({"contains": "b"}, ["abc", ["a", "b"], {"b": 0}, TEXT("abc")], ["", ["ab"], {"a": "b"}, 5, None]),
        ({"contains": 5}, [[4, 5.0], "a5", TEXT('["5"]')], [["5"], [True], {"5": 1}, 5]),
        ({"contains": True}, [[True], "is true"], [[1], {}]),
        ({"matches": "a.c"}, ["abc", TEXT("abc")], ["xabc", "abcx", "", None, ["abc"], MISSING]),
        ({"matches": r"\d+"}, [12, "12", TEXT("12")], [1.5, -1, "x"]),
        ({"in": [1, "a"]}, [1, "a", TEXT("1"), TEXT("a")], [2, "1", True, MISSING]),
        ({"not_in": [1, "a"]}, [2, "1", TEXT("2"), None], [1, "a", TEXT("1"), MISSING]),
        ({"exists": True}, [0, None, "", TEXT("")], [MISSING]),
        ({"exists": False}, [MISSING], [0, None, "", TEXT("")]),
        ({"type": "string"}, ["", TEXT("5")], [5, None, MISSING]),
        ({"type": "number"}, [5, 5.5, TEXT("5.5")], ["5", True, TEXT("x"), TEXT("true")]),
        ({"type": "integer"}, [5, TEXT("5")], [5.5, True, TEXT("5.5"), TEXT("")]),
        ({"type": "boolean"}, [True, TEXT("false")], [0, "true", TEXT("no")]),
        ({"type": "object"}, [{}], [[], None, TEXT("{}")]),
        ({"type": "array"}, [[]], [{}, "", TEXT("[]")]),
        ({"type": "null"}, [None], [0, "", MISSING, TEXT("null")]),
    ],
    ids=str,
)
def test_what_fits_and_what_does_not(matcher: Any, fitting: list[Any], others: list[Any]) -> None:
    for actual in fitting:
        assert holds(matcher, actual), repr(actual)
    for actual in others:
        assert not holds(matcher, actual), repr(actual)


_scalars = st.none() | st.booleans() | st.integers(-50, 50) | st.floats(allow_nan=False) | st.text("ab01.-", max_size=3)
_values = st.recursive(
    _scalars,
    lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text("ab", max_size=2), i, max_size=3),
    max_leaves=6,
)
_texts = st.text("ab01.-e+", max_size=4).map(Text)
_actuals = _values | _texts


@given(_values)
def test_every_value_equals_itself(value: Any) -> None:
    assert holds({"eq": value}, value)
    assert holds({"in": [value]}, value)
    assert not holds({"ne": value}, value)


@given(_actuals, _values)
def test_ne_and_not_in_are_the_contrary_of_eq_and_in(actual: Any, operand: Any) -> None:
    assert holds({"ne": operand}, actual) is not holds({"eq": operand}, actual)
    assert holds({"not_in": [operand]}, actual) is not holds({"in": [operand]}, actual)
    assert holds({"in": [operand]}, actual) is holds({"eq": operand}, actual)


@given(_actuals, st.integers(-50, 50) | st.floats(allow_nan=False, allow_infinity=False))
def test_order_is_total_on_numbers_and_empty_elsewhere(actual: Any, operand: float) -> None:
    found = [holds({o: operand}, actual) for o in ("lt", "eq", "gt")]
    assert sum(found) == (1 if holds({"type": "number"}, actual) else 0)
    assert holds({"le": operand}, actual) is (found[0] or found[1])
    assert holds({"ge": operand}, actual) is (found[2] or found[1])


@given(st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False), st.integers(-50, 50))
def test_a_number_and_its_text_compare_alike(number: float, operand: int) -> None:
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        assert holds({name: operand}, Text(repr(number))) is holds({name: operand}, number)


_operands = {
    **dict.fromkeys(("eq", "ne", "contains"), _values),
    **{
        name: st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
        for name in ("lt", "le", "gt")
    },
    "ge": st.integers() | st.text(),
    "matches": st.sampled_from(["", ".*", "a+", r"\d*"]),
    **{name: st.lists(_values, min_size=1, max_size=3) for name in ("in", "not_in")},
    "exists": st.booleans(),
    "type": st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null"]),
}


@given(st.fixed_dictionaries({}, optional=_operands).filter(bool), _actuals | st.just(MISSING))
def test_operators_are_anded_and_never_raise(matcher: dict[str, Any], actual: Any) -> None:
    assert set(_operands) == set(OPERATORS)
    whole = Matcher.model_validate(matcher)
    assert satisfies(whole, actual) is all(holds({name: operand}, actual) for name, operand in matcher.items())
    assert describe(whole)


@given(st.dictionaries(st.sampled_from([o for o in OPERATORS if o != "exists"]), st.just(None), min_size=1))
def test_nothing_but_exists_holds_for_what_is_missing(names: dict[str, None]) -> None:
    operands = {"lt": 1, "le": 1, "gt": 1, "ge": 1, "matches": ".*", "in": [None], "not_in": [1], "type": "null"}
    assert not holds({name: operands.get(name) for name in names}, MISSING)


def test_matchers_in_words() -> None:
    said = [
        (3, "3"),
        ("a", '"a"'),
        ({"ge": 1, "lt": 5}, "< 5 and ≥ 1"),
        ({"ne": "x"}, 'not "x"'),
        ({"in": [1, 2]}, "in [1, 2]"),
        ({"not_in": ["ä"]}, 'not in ["ä"]'),
        ({"exists": False}, "not to be there"),
        ({"type": "integer", "exists": True}, "to be there and a value of type integer"),
        ({"contains": "x"}, 'contains "x"'),
        ({"matches": "a+"}, 'matches "a+"'),
    ]
    assert [describe(Matcher.model_validate(matcher)) for matcher, _ in said] == [text for _, text in said]


def test_values_in_words() -> None:
    assert [show(v) for v in (MISSING, Text("a"), "a", None, True, {"a": [1]})] == [
        *("missing", "a", '"a"', "null", "true", '{"a": [1]}')
    ]
    assert show("x" * 500, 10) == '"xxxxxxxx…'
    deep: Any = []
    for _ in range(200_000):
        deep = [deep]
    assert "deep" in show(deep)


@given(st.text())
def test_a_shown_text_can_be_read_back(text: str) -> None:
    assert json.loads(show(text, 10_000)) == text
