"""Environment variables in values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.workspace.environment import expand


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A}", {"A": "true"}, True),
        ("${A}", {"A": "80"}, 80),
        ("http://${H}:${P}/", {"H": "h", "P": "80"}, "http://h:80/"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-}", {}, None),
        ("x${A:-}", {}, "x"),
        ("x${A}", {"A": ""}, "x"),
        ("${A:-http://h:1}", {}, "http://h:1"),
        ("$A $ {A} ${1}", {"A": "x"}, "$A $ {A} ${1}"),
        ("${A}", {"A": "${B}"}, "${B}"),
    ],
)
def test_references_are_replaced_once(text: str, environ: dict[str, str], value: object) -> None:
    assert expand({"k": [text]}, environ) == ({"k": [value]}, [])


def test_each_unset_variable_is_a_mistake_with_its_path() -> None:
    _, mistakes = expand({"a": {"b": ["x", "${HOMEE}${Z_Z}"]}}, {"HOME": "/"})
    assert [(m.path, m.message, m.cure) for m in mistakes] == [
        ("a.b.1", "the environment variable HOMEE is not set", "did you mean 'HOME'?"),
        ("a.b.1", "the environment variable Z_Z is not set", "set Z_Z, or write ${Z_Z:-a default}"),
    ]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text().filter(lambda t: "${" not in t), st.lists))
def test_what_has_no_reference_stays(value: object) -> None:
    assert expand(value, {}) == (value, [])
