"""YAML text to a tree: dialect, lines, bounds; nothing but WorkspaceError comes out for bad text."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.workspace.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES, read_tree, scalar_of


def problems(text: str | bytes) -> list[tuple[int, str, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(WorkspaceError) as caught:
        read_tree(data, "f.yaml")
    assert all(p.file == "f.yaml" for p in caught.value.problems)
    return [(p.line, p.path, p.message) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", "017"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        (".inf", ".inf"),
        ("1" * 30, "1" * 30),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = read_tree(f"a: {text}".encode(), "f").value["a"]
    assert found == value
    assert type(found) is type(value)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
def test_scalar_of_agrees_with_the_reader_on_plain_scalars(text: str) -> None:
    try:
        event = [e for e in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(e, yaml.ScalarEvent)]
    except yaml.YAMLError:
        return
    if len(event) != 1 or event[0].style or event[0].tag or event[0].anchor or event[0].value != text:
        return
    try:
        found = read_tree(text.encode(), "f").value
    except WorkspaceError:
        return
    assert scalar_of(text) == found


def test_lines_are_known_for_every_key_and_item() -> None:
    tree = read_tree(b"a:\n  b: 1\n  c:\n  - x\n  -\n    d: 2\n", "f")
    assert tree.value == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert tree.lines == {"": 1, "a": 1, "a.b": 2, "a.c": 3, "a.c.0": 4, "a.c.1": 6, "a.c.1.d": 6}


def test_a_byte_order_mark_is_no_text() -> None:
    assert read_tree(b"\xef\xbb\xbfa: 1", "f").value == {"a": 1}


def test_keys_are_text_as_written() -> None:
    assert read_tree(b"200: a\ntrue: b\n1.50: c", "f").value == {"200": "a", "true": "b", "1.50": "c"}


def test_all_duplicate_keys_are_told_with_both_lines() -> None:
    found = problems("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert found == [
        (4, "b.c", "'c' is given twice, first in line 3"),
        (5, "a", "'a' is given twice, first in line 1"),
    ]


def test_quoted_and_plain_spellings_of_a_key_are_one_key() -> None:
    assert problems("1: a\n'1': b")[0][0] == 2


def test_aliases_are_written_out() -> None:
    assert read_tree(b"a: &x {k: 1}\nb: *x", "f").value == {"a": {"k": 1}, "b": {"k": 1}}


def test_a_billion_laughs_are_cut_short() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    ((_, _, message),) = problems("\n".join(rows))
    assert "aliases" in message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("a: 1\n\tb: 2", 2, "\\t"),
        ("a:\n  b: 1\n c: 2", 3, "no valid YAML"),
        ("a: b: c", 1, "mapping values"),
        ("a: 1\n---\nb: 2", 2, "single document"),
        ("a: [1, 2", 1, "no valid YAML"),
        ("a: 1\nb: *nowhere", 2, "alias"),
        ("a: 1\nb: &x [*x]", 2, "part of"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "not supported"),
        ("a: !!binary aGk=", 1, "not supported"),
        ("a: !!int x", 1, "does not fit"),
        ("a: 1\nb: !!set {x}", 2, "not supported"),
        ("a: 1\n<<: {b: 1}", 2, "merge keys"),
        ("? [a, b]\n: 1", 1, "must be a text"),
        ("a: 1e999", 1, "too large"),
        ('a: "\\ud800"', 1, "surrogate"),
        ('"\\ud800": 1', 1, "surrogate"),
        ('a: "\\U7fffffff"', 1, "no valid YAML"),
        ("a: 1\nb: \x07", 2, "not allowed"),
        (b"a: 1\nb: \xff", 2, "UTF-8"),
        (b"\xff\xfea\x00", 1, "UTF-8"),
        ("[" * 100_000, 1, f"deeper than {MAX_DEPTH}"),
        ("a:\n" + "".join(f"{' ' * i}a:\n" for i in range(1, 60)), MAX_DEPTH, f"deeper than {MAX_DEPTH}"),
        (b"a" * (MAX_BYTES + 1), 1, "bytes"),
        (b"[" + b"1," * 2 * MAX_NODES + b"1]", 1, f"more than {MAX_NODES:,} values"),
        (b"[" + b"1," * MAX_NODES + b"1]", 1, f"more than {MAX_NODES:,} values"),
    ],
)
def test_bad_text_has_a_line_and_a_reason(text: str | bytes, line: int, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0][0] == line
    assert said in found[0][2]


def test_a_tab_is_told_with_its_cure() -> None:
    with pytest.raises(WorkspaceError) as caught:
        read_tree(b"a:\n\tb: 1", "f")
    assert "spaces" in caught.value.problems[0].cure


@settings(max_examples=400)
@given(st.binary(max_size=300) | st.text("[]{}&*!?:-<>|'\"\\%@#,\n\t aU01u\x85\ufeff", max_size=60).map(str.encode))
@example(b"%YAML 9999999999999999999999.1\n--- a")
@example(b"%TAG ! tag:x,2000:\n--- !a b")
@example(b'"\\x')
def test_any_bytes_give_a_tree_or_problems(data: bytes) -> None:
    try:
        fine = "" in read_tree(data, "f").lines
    except WorkspaceError as error:
        fine = bool(error.problems) and all(p.line >= 1 and p.message for p in error.problems)
    assert fine


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc.$*x", min_size=1, max_size=4), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=4), _json, min_size=1))
def test_what_json_says_is_read_back(value: dict[str, object]) -> None:
    """JSON is YAML 1.2, so every JSON object reads as itself, floats in their shortest notation included."""
    found = read_tree(json.dumps(value, ensure_ascii=False).encode(), "f").value
    assert _close(found, value)


def _close(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_close(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_close, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right)
    return type(left) is type(right) and left == right
