"""What load sends is what `fire` sends, byte for byte, for any scenario and any row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.load.script.made import RUN, arrivals, compiled, filled, fired, scenario
from tracer_bullet.load.script import RowError
from tracer_bullet.workspace.template import Scalar

ROW, FIXED, TAKEN = ("a", "b", "c"), ("d", "e"), ("t", "u")
NAMES = (*ROW, *FIXED, *TAKEN, "run", "bullet")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    TEXT,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from([".", "", " "]),
)


def templates(alphabet: str, names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts with references in them, often nothing but one."""
    part = st.one_of(st.text(alphabet, max_size=4), st.sampled_from(names).map(lambda n: f"${{{n}}}"), st.just("$${"))
    return st.one_of(st.sampled_from(names).map(lambda n: f"${{{n}}}"), st.lists(part, max_size=5).map("".join))


def values(names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.one_of(templates('ab"\\ ä/&=+\n', names), st.integers(), st.booleans(), st.floats(-9, 9))


@st.composite
def requests(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, Any]:
    segments = draw(st.lists(templates("abé:.~'", names).filter(lambda s: s not in (".", "..")), max_size=4))
    request: dict[str, Any] = {
        "method": draw(st.sampled_from(["GET", "POST", "DELETE"])),
        "path": "/x/" + "/".join(segments),
    }
    parameters = st.dictionaries(
        st.text("xyz &", max_size=3), st.one_of(values(names), st.lists(values(names))), max_size=3
    )
    request["query"] = draw(parameters)
    header = templates("abÄ ;", names).map(str.strip)
    request["headers"] = draw(
        st.dictionaries(
            st.sampled_from(["x-a", "Host", "Accept-Encoding", "content-type", "Cookie"]), header, max_size=3
        )
    )
    body = draw(st.sampled_from(["none", "json", "form", "body"]))
    if body == "json":
        request["json"] = draw(
            st.recursive(
                values(names) | st.none(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(templates("ab", names), inner, max_size=3),
                max_leaves=5,
            )
        )
    elif body == "form":
        request["form"] = draw(parameters)
    elif body == "body":
        request["body"] = draw(templates("ab\n", names))
    return request


def rendered(step: Any, variables: Mapping[str, Scalar]) -> tuple[bytes, bytes] | None:
    """What `fire` writes; None when it refuses to."""
    try:
        head, body = fired(step, variables)
    except ValueError:
        return None
    lines = [line.partition(b": ")[2] for line in head.split(b"\r\n")[1:]]
    return None if any(line != line.strip(b" \t") for line in lines) else (head, body)


@given(
    requests((*ROW, *FIXED, "run", "bullet")),
    st.fixed_dictionaries(dict.fromkeys(ROW, SCALARS)),
    st.fixed_dictionaries(dict.fromkeys(FIXED, SCALARS)),
    st.integers(0, 10**9),
)
@example({"path": "/x/${a}."}, {"a": ".", "b": "", "c": ""}, {"d": 1, "e": 2}, 0)
@example({"path": "/x", "method": "POST", "json": '"${a}"'}, {"a": 5, "b": "", "c": ""}, {"d": 1, "e": 2}, 0)
@example(
    {"path": "/x", "method": "POST", "json": {"q": 'x"${a}', "r": '"${a}"'}},
    {"a": 5, "b": "", "c": ""},
    {"d": 1, "e": 2},
    0,
)
@example({"path": "/x", "method": "POST", "json": ["${a}${b}"]}, {"a": True, "b": 1.5, "c": ""}, {"d": 1, "e": 2}, 0)
@example({"path": "/x", "headers": {"x-a": "${a}"}}, {"a": "1\n2", "b": "", "c": ""}, {"d": 1, "e": 2}, 0)
@example({"path": "/x", "headers": {"x-a": "v ${a}"}}, {"a": "", "b": "", "c": ""}, {"d": 1, "e": 2}, 0)
def test_rows_stand_where_fire_puts_them(
    request: dict[str, Any], row: dict[str, Scalar], fixed: dict[str, Scalar], number: int
) -> None:
    script = compiled(scenario({"request": request}, variables={**dict.fromkeys(ROW, "?"), **fixed}))
    expected = rendered(script.plan.steps[0], {**fixed, **row, "run": RUN, "bullet": number})
    for _ in range(2):  # the second time out of what is kept of the first
        if expected is None:
            with pytest.raises(RowError):
                arrivals(script, row, number)
        else:
            (made,) = arrivals(script, row, number)
            assert (made.head, made.body, made.slots) == (*expected, ())


@given(
    requests((*ROW, *TAKEN)),
    st.fixed_dictionaries(dict.fromkeys(ROW, SCALARS)),
    st.fixed_dictionaries({"t": st.text('ab/ä"?&', min_size=1), "u": st.integers() | st.booleans()}),
)
def test_values_of_answers_stand_where_fire_puts_them(
    request: dict[str, Any], row: dict[str, Scalar], taken: dict[str, Scalar]
) -> None:
    first = {"request": {"path": "/"}, "take": {"t": "$.t", "u": "$.u"}}
    script = compiled(scenario(first, {"request": request}, variables=dict.fromkeys(ROW, "?")))
    expected = rendered(script.plan.steps[1], {**row, **taken, "run": RUN, "bullet": 7})
    try:
        made = arrivals(script, row)[1]
    except RowError:
        assert expected is None
        return
    if expected is not None:
        assert filled(made, taken) == expected


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, SCALARS)), max_size=5))
def test_rows_that_share_variables_share_nothing_else(rows: list[dict[str, Scalar]]) -> None:
    request = {"method": "POST", "path": "/x", "json": {"a": "${a}", "text": "-${b}-${c}"}}
    script = compiled(scenario({"request": request}, variables=dict.fromkeys(ROW, "?")))
    for number, row in enumerate([*rows, *rows]):
        (made,) = arrivals(script, dict(row), number)
        texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in (row["b"], row["c"])]
        assert json.loads(made.body) == {"a": row["a"], "text": f"-{texts[0]}-{texts[1]}"}
        assert f"\r\nContent-Length: {len(made.body)}\r\n".encode() in made.head


def test_a_row_with_fewer_variables_leaves_the_defaults() -> None:
    script = compiled(scenario({"request": {"path": "/${a}/${b}"}}, variables={"a": "1", "b": "2"}), b="given")
    targets = [
        arrivals(script, row)[0].head.split(b" ", 2)[1] for row in ({}, {"a": "x"}, {"b": "y"}, {"b": 4, "a": 3})
    ]
    assert targets == [b"/1/given", b"/x/given", b"/1/y", b"/3/4"]


def test_the_number_of_an_iteration_is_its_own_also_with_the_same_row() -> None:
    script = compiled(scenario({"request": {"path": "/${a}/${bullet}"}}, variables={"a": "1"}))
    row = {"a": "x"}
    targets = [arrivals(script, row, number)[0].head.split(b" ", 2)[1] for number in (1, 2)]
    assert targets == [b"/x/1", b"/x/2"]
