"""Cutting JSON of any size and state of repair into values."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import json_values as any_json
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.json_values import CUT, NO_JSON, PATHS, TOO_LARGE, Limits, json_values
from tracer_bullet.traces.formats.parse import NOT_QUITE_JSON, parse
from tracer_bullet.traces.formats.scan import Scanner, mended

TINY = Limits(group=16, window=8)


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def values(text: bytes, size: int = 5, limits: Limits | None = None) -> tuple[list[Any], dict[str, int]]:
    losses = Losses()
    return list(json_values(cut(text, size), losses, limits)), dict(losses.lost)


def joined(parts: Iterable[Any]) -> Any:
    """One document of the groups that it came in."""
    first, *rest = parts
    for part in rest:
        first = _join(first, part)
    return first


def _join(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return one + other
    if isinstance(one, dict):
        return {
            k: _join(one[k], other[k]) if k in one and k in other else one.get(k, other.get(k))
            for k in {**one, **other}
        }
    return one


DOCUMENTS = [
    {"data": [{"x": i, "y": ["[", '"', {"z": "}\\"}]} for i in range(6)], "total": 3, "errors": None},
    {
        "status": "COMPLETE",
        "a": {},
        "trace": {"resourceSpans": [{"q": []}, {}, {"r": 1}]},
        "tail": [1, {"a": []}],
    },
    {"result": {"resourceSpans": [{"q": [{"w": 1}]}]}},
    [{"a": 1}, {"b": [2]}, {"c": "ü"}],
    [[{"a": 1}], [{"b": 2}, {"c": 3}]],
    {"other": [{"n": i} for i in range(9)]},
    {"data": []},
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: json.dumps(d)[:30])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("group", [8, 40, 10_000])
def test_a_document_comes_whole_or_in_groups_of_its_shape(document: Any, indent: int, size: int, group: int) -> None:
    found, lost = values(json.dumps(document, indent=indent).encode(), size, Limits(group=group, window=8))
    assert not lost
    assert joined(found) == document


@pytest.mark.parametrize("path", sorted({*PATHS, ("result", "resourceSpans"), ("data",), ("trace", "batches")}))
@pytest.mark.parametrize("before", ["", '"a": {"b": {}, "c": []}, "d": [[]], '])
def test_arrays_with_elements_for_themselves_are_cut(path: tuple[str, ...], before: str) -> None:
    opening = "".join(f'{{{before if n == 0 else ""}"{key}": ' for n, key in enumerate(path))
    text = f"{opening}[{', '.join(['{}'] * 400)}]{'}' * len(path)}"
    found, lost = values(text.encode(), 8, Limits(group=128, window=8))
    assert not lost
    assert len(found) > 5
    for key in path:
        found = [part[key] for part in found]
    assert [e for part in found for e in part] == [{}] * 400


def test_a_large_document_is_cut_and_one_without_elements_is_not() -> None:
    found, _ = values(b'{"data":[{"a":1},{"a":2},{"a":3}],"total":3}', 4, TINY)
    assert len(found) > 2
    assert found[-1] == {"data": [], "total": 3}
    assert values(b'{"spans":[{"a":1},{"a":2},{"a":3}],"n":3}', 4, TINY)[0] == [
        {"spans": [{"a": 1}, {"a": 2}, {"a": 3}], "n": 3}
    ]


@given(st.lists(any_json.filter(lambda v: isinstance(v, list | dict)), max_size=5), st.integers(1, 30), st.booleans())
def test_lines_and_values_after_each_other_come_as_they_are(found: list[Any], size: int, lines: bool) -> None:
    text = ("\n" if lines else " ").join(json.dumps(v, allow_nan=True) for v in found).encode()
    got, lost = values(text, size)
    assert not lost
    # Integers beyond 64 bits become doubles.
    assert json.dumps(got) == json.dumps([parse(json.dumps(v).encode(), Losses()) for v in found])


def test_indented_values_with_other_output_between() -> None:
    text = 'started\n{\n "a": {"b": [1]}\n}\n[INFO] {hello\n{\n "c": 2\n}\nbye "\n{"d": 3}\n'
    assert values(text.encode())[0] == [{"a": {"b": [1]}}, {"c": 2}, {"d": 3}]


def test_a_line_of_json_before_indented_values() -> None:
    assert values(b'{"log": 1}\n{\n "a": 2\n}\n{\n "b": 3\n}\n')[0] == [{"log": 1}, {"a": 2}, {"b": 3}]


def test_bad_lines_are_lost_alone() -> None:
    found, lost = values(b'{"a":1}\n{"b":"to\n{"c":3}\nWARN\n\n{"d":4}\n')
    assert found == [{"a": 1}, {"c": 3}, {"d": 4}]
    assert lost == {NO_JSON: 2}


@pytest.mark.parametrize("torn", ["[INFO starting", "{starting", "[1,2", '[{"traceId":"a', '{"a":{"b":1}'])
def test_a_first_line_that_is_no_value_takes_nothing_with_it(torn: str) -> None:
    lines = "".join(f'{{"n":{n}}}\n' for n in range(3))
    found, lost = values(f"{torn}\n{lines}".encode())
    assert (found, lost) == ([{"n": 0}, {"n": 1}, {"n": 2}], {NO_JSON: 1})


def test_a_torn_last_line_gives_what_is_whole_in_it() -> None:
    found, lost = values(b'{"a":1}\n{"resourceSpans":[{"x":1},{"x":2},{"x"')
    assert found == [{"a": 1}, {"resourceSpans": [{"x": 1}, {"x": 2}]}]
    assert lost == {CUT: 1}


@pytest.mark.parametrize("limits", [TINY, Limits()])
def test_a_document_cut_anywhere_gives_its_whole_elements(limits: Limits) -> None:
    text = json.dumps({"data": [{"x": [{"y": i}]} for i in range(4)], "total": 9}).encode()
    for end in range(1, len(text)):
        found, lost = values(text[:end], 6, limits)
        assert lost == {CUT: 1}
        elements = [e for part in found for e in part["data"]]
        whole = text[:end].count(b"]}")
        assert elements[:whole] == [{"x": [{"y": i}]} for i in range(whole)]


@pytest.mark.parametrize("limits", [TINY, Limits()])
def test_a_bad_element_of_a_document_is_lost_alone(limits: Limits) -> None:
    found, lost = values(b'{"data":[{"a":1},{"a":nul},{"a":{"b":[3]}}],"total":3}', 6, limits)
    assert [e for part in found for e in part["data"]] == [{"a": 1}, {"a": {"b": [3]}}]
    assert lost == {NO_JSON: 1}
    assert found[-1].get("total") == 3


def test_values_after_a_broken_one_are_found() -> None:
    found, lost = values(b'{\n "a": "torn\n{\n "b": 1\n}\n{\n "c": 2\n}\n', 9)
    assert found == [{"b": 1}, {"c": 2}]
    assert sum(lost.values()) == 1


def test_what_python_writes_and_json_does_not_know_is_read() -> None:
    losses = Losses()
    (value,) = json_values(iter([b'{"a": NaN, "b": "\\ud800", "c": "\xff"}']), losses)
    assert (value["b"], value["c"], value["a"] != value["a"]) == ("?", "\ufffd", True)
    assert losses.repaired == {NOT_QUITE_JSON: 1}


@pytest.mark.parametrize(
    "text", [b"", b" \n ", b"\x1e", b"hello", b"123\n456", b'"a"', b"]]]}", b"{", b"[" * 5000, b"{]" * 99]
)
def test_what_is_no_json_gives_nothing(text: bytes) -> None:
    assert values(text, 100)[0] == []


def test_json_sequences_are_read() -> None:
    assert values(b'\x1e{"a":1}\n\x1e{"b":2}\n')[0] == [{"a": 1}, {"b": 2}]


@given(st.binary(max_size=60), st.integers(1, 20))
def test_any_bytes_raise_nothing(text: bytes, size: int) -> None:
    values(text, size, TINY)


@given(st.text('{}[]",: \n1\\a', max_size=80).map(str.encode), st.integers(1, 20))
def test_any_brackets_raise_nothing_and_end(text: bytes, size: int) -> None:
    values(text, size, TINY)
    values(text, size)


def test_a_value_too_large_ends_the_reading_in_bounded_memory() -> None:
    endless = (b'{"a": "' if n == 0 else b"x" * (1 << 16) for n in range(2000))
    losses = Losses()
    tracemalloc.start()
    try:
        found = list(json_values(endless, losses, Limits(value=1 << 20, group=1 << 18)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == []
    assert losses.lost == {TOO_LARGE: 1}
    assert peak < 20 << 20


def test_an_endless_document_is_read_in_bounded_memory() -> None:
    count = 8_000
    text = (b'{"data":[{"a":"start"}' if n == 0 else b',{"a":"' + b"x" * 500 + b'"}' for n in range(count))
    tracemalloc.start()
    try:
        found = sum(len(v["data"]) for v in json_values(text, Losses(), Limits(group=1 << 16)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == count
    assert peak < 5 << 20


def test_many_broken_values_do_not_cost_their_square() -> None:
    found, lost = values(b'{\n"a": [\n' * 3000, 1 << 16, Limits(again=1 << 20))
    assert not any(found)
    assert sum(lost.values()) < 100
    assert not values(b"[" * 300_000)[0]
    broken = b'{"a": x\n{"b": y}}' * 3000
    assert sum(values(broken, 1 << 16, Limits(again=1 << 12))[1].values()) < 2000


def reference(text: bytes) -> list[tuple[int, bool, int]]:
    found, depth, inside, escaped = [], 0, False, False
    for at, code in enumerate(text):
        if code == ord("\\"):
            escaped = not escaped
            continue
        was_escaped, escaped = escaped, False
        if code == ord('"'):
            inside ^= not was_escaped
        elif not inside and code in b"{[}]":
            depth += 1 if code in b"{[" else -1
            found.append((at, code in b"{[", depth))
    return found


@given(st.text('{}[]"\\ a;', max_size=40).map(str.encode), st.lists(st.integers(0, 40), max_size=4))
def test_the_scanner_finds_brackets_whatever_the_pieces(text: bytes, cuts: list[int]) -> None:
    scanner, found = Scanner(), []
    ends = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    for a, b in itertools.pairwise(ends):
        piece = scanner.scan(text[a:b])
        found += zip(piece.at.tolist(), piece.opens.tolist(), piece.depth.tolist(), strict=True)
    assert found == reference(text)


@pytest.mark.parametrize(
    "pieces",
    [(b'["\\', b'"{\\\\",{'), (b'["\\', b'\\",{"\\"'), (b'["\\\\', b'",{'), (b'["\\', b"", b'"{"'), (b'["\\', b'"')],
)
def test_the_scanner_carries_a_backslash_over(pieces: tuple[bytes, ...]) -> None:
    scanner, found = Scanner(), []
    for text in pieces:
        piece = scanner.scan(text)
        found += zip(piece.at.tolist(), piece.opens.tolist(), piece.depth.tolist(), strict=True)
    assert found == reference(b"".join(pieces))


@given(any_json.filter(lambda v: isinstance(v, list | dict) and v), st.integers(0, 200))
def test_a_mended_value_is_json(value: Any, end: int) -> None:
    text = json.dumps(value).encode()
    closed = mended(text[:end])
    if closed and end < len(text):
        json.loads(closed)
