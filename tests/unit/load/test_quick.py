"""What the quick way calls fine, `fire` calls fine; and it knows nearly all that is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.script.made import compiled, scenario
from tracer_bullet.load.quick import Quick
from tracer_bullet.scenario.answer import Answer, check_answer, take_values

VALUES = st.one_of(
    st.integers(0, 2), st.sampled_from(["a", "1", "ä"]), st.booleans(), st.none(), st.floats(0, 2), st.just([1])
)
MATCHERS = st.one_of(
    st.fixed_dictionaries({"eq": VALUES}),
    st.fixed_dictionaries({"ne": VALUES}),
    st.fixed_dictionaries({"ge": st.integers(0, 2)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "number", "null", "array"])}),
)
PATHS = st.sampled_from(["$", "$.a", "$.b.a", "$.c[0]", "$.c[1].a", "$['a']"])
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "a": VALUES,
        "b": st.fixed_dictionaries({}, optional={"a": VALUES}),
        "c": st.lists(VALUES | st.fixed_dictionaries({"a": VALUES}), max_size=2),
    },
)
BODIES = st.one_of(
    (DOCUMENTS | VALUES).map(lambda d: json.dumps(d, ensure_ascii=False).encode()),
    st.sampled_from([b"", b"{", b"NaN", b"[NaN]", b'{"a":1}x', b'\xef\xbb\xbf{"a":1}', b'"\xff"', b"[" * 5000]),
)


@given(
    st.dictionaries(PATHS, MATCHERS, max_size=2),
    st.dictionaries(st.sampled_from(["x-a", "X-B"]), MATCHERS, max_size=2),
    st.dictionaries(st.sampled_from(["t", "u"]), PATHS | st.sampled_from(["header:X-A", "status"]), max_size=2),
    st.sampled_from(["2xx", 200, [201, "4xx"]]),
    st.sampled_from([200, 201, 404]),
    st.lists(st.tuples(st.sampled_from(["x-a", "X-A", "x-b"]), st.sampled_from(["a", "1", "true", ""])), max_size=3),
    BODIES,
)
def test_it_agrees_with_fire(
    paths: Any, headers: Any, takes: Any, wanted: Any, status: int, lines: list[tuple[str, str]], body: bytes
) -> None:
    expect = {"status": wanted, "json": paths, "headers": headers}
    (step,) = compiled(scenario({"request": {"path": "/"}, "expect": expect, "take": takes})).plan.steps
    answer = Answer(status=status, headers=tuple(lines), body=body, duration_ms=1.0)
    fine = all(c.passed for c in check_answer(step, answer)) and isinstance(take_values(step, answer), dict)
    quick = Quick(step.spec)
    assert quick.is_usable
    said = quick.is_fine(status, tuple(lines), body)
    assert said <= fine
    assert said == fine or body.startswith(b"\xef")  # a byte order mark is left to the search


@pytest.mark.parametrize("path", ["$..a", "$.a[*]", "$.a[-1]", "$.a[?(@.b)]"])
def test_what_is_more_than_names_and_indexes_is_left_to_the_search(path: str) -> None:
    (step,) = compiled(scenario({"request": {"path": "/"}, "expect": {"json": {path: 1}}})).plan.steps
    assert not Quick(step.spec).is_usable


def test_a_header_beyond_ascii_is_left_to_the_search() -> None:
    spec = scenario({"request": {"path": "/"}, "expect": {"headers": {"x": {"exists": True}}}})
    assert not Quick(spec.steps[0]).is_fine(200, (("x", "\xc3\xa4"),), b"")
    assert Quick(spec.steps[0]).is_fine(200, (("x", "a"),), b"")
