"""What every format keeps to: recognised alone, nothing raised, one bad record lost alone, order of no matter."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import json_values, ordered, read
from tests.unit.traces.formats.samples import ALL, FILES, trees, values
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.registry import FORMATS

JUNK: list[Any] = [None, 7, 1.5, "text", [], {}, [[]], {"a": 1}, [None, 3], {"spans": "x"}, {"data": [5]}, b"\x00\x01"]
ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        2**70,
        -(2**70),
        1e300,
        "",
        "x",
        "0" * 16,
        "f" * 99,
        "\ud800".encode("utf-8", "replace").decode(),
    ),
    *([], {}, [1], [None], [{}], {"": {}}, {"key": 5}, [{"key": "a", "value": {"arrayValue": {"values": 3}}}]),
]


def test_every_format_has_samples() -> None:
    assert FILES.keys() == FORMATS.keys()


@pytest.mark.parametrize(("key", "name"), ALL)
def test_a_sample_is_recognised_by_its_own_format_only(key: str, name: str) -> None:
    found = values(name)
    # Lines of any program may have a trace's id, so they are asked about last.
    others = {k: form for k, form in FORMATS.items() if k != "logs" or key == "logs"}
    known = [[k for k, form in others.items() if form.recognises(value)] for value in found]
    # An X-Ray daemon writes a header line before each segment, programs log lines that belong to no trace.
    assert [key] in known
    assert all(k in ([key], []) for k in known)


def test_logs_are_asked_about_last() -> None:
    assert list(FORMATS)[-1] == "logs"


@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_junk_is_recognised_by_none(value: Any) -> None:
    assert not [key for key, form in FORMATS.items() if form.recognises(value)]


@given(json_values)
def test_recognising_raises_nothing(value: Any) -> None:
    for form in FORMATS.values():
        assert form.recognises(value) in (True, False)


@pytest.mark.parametrize(("key", "name"), ALL)
def test_spans_come_out_with_whole_ids_and_times(key: str, name: str) -> None:
    spans, _ = read(FORMATS[key], *values(name))
    assert spans
    for span in spans:
        assert len(span.trace_id) == 32
        assert int(span.trace_id, 16)
        assert len(span.span_id) == 16
        assert span.parent_id is None or int(span.parent_id, 16)
        assert 0 < span.start_ns <= span.end_ns
        assert span.service


@pytest.mark.parametrize(("key", "name"), ALL)
def test_order_of_values_does_not_matter(key: str, name: str) -> None:
    found = values(name)
    expected = ordered(read(FORMATS[key], *found)[0])
    for seed in range(3):
        random.Random(seed).shuffle(found)
        assert ordered(read(FORMATS[key], *found)[0]) == expected


@pytest.mark.parametrize(("key", "name"), ALL)
def test_bad_values_are_lost_alone(key: str, name: str) -> None:
    found = values(name)
    expected = ordered(read(FORMATS[key], *found)[0])
    mixed = [v for pair in zip(found, JUNK * len(found), strict=False) for v in pair] + JUNK
    spans, losses = read(FORMATS[key], *mixed)
    assert ordered(spans) == expected
    assert losses.lost


@pytest.mark.parametrize("key", FORMATS)
def test_junk_alone_gives_no_spans_and_raises_nothing(key: str) -> None:
    spans, losses = read(FORMATS[key], *JUNK)
    assert not spans
    assert losses.lost


@pytest.mark.parametrize(("key", "name"), [(k, n) for k, n in ALL if not n.endswith(".binpb")])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_mutated_samples_raise_nothing(key: str, name: str, data: st.DataObject) -> None:
    tree = trees(name)
    for _ in range(data.draw(st.integers(1, 3), label="mutations")):
        mutate(tree, data)
    read(FORMATS[key], *tree)


@pytest.mark.parametrize(("key", "name"), [(k, n) for k, n in ALL if not n.endswith(".binpb")])
def test_each_place_of_a_sample_may_hold_anything(key: str, name: str) -> None:
    tree = trees(name)
    for number, (holder, place) in enumerate(list(places(tree))):
        before = holder[place]
        for odd in (ODD[number % len(ODD)], ODD[(number * 7 + 3) % len(ODD)]):
            holder[place] = copy.deepcopy(odd)
            read(FORMATS[key], *tree)
        holder[place] = before


@given(st.lists(json_values, max_size=3), st.sampled_from(sorted(FORMATS)))
def test_readers_take_any_json(found: list[Any], key: str) -> None:
    read(FORMATS[key], *found)


@pytest.mark.parametrize(("key", "name"), [(k, names[0]) for k, names in FILES.items() if k != "otlp-protobuf"])
def test_each_place_may_be_nested_deep_or_a_huge_number(key: str, name: str) -> None:
    deep_list: Any = 1
    deep: Any = {}
    for _ in range(900):  # as deep as the parser lets through
        deep_list, deep = [deep_list], {"a": deep}
    tree = trees(name)
    for number, (holder, place) in enumerate(list(places(tree))):
        before = holder[place]
        holder[place] = (deep_list, deep, 10**4000, "9" * 5000, 1e308)[number % 5]
        read(FORMATS[key], *tree)
        holder[place] = before


def test_losses_merge_and_bound_their_examples() -> None:
    one, other = Losses(), Losses()
    one.lose("a", "x" * 500, 2)
    for number in range(9):
        other.lose("a", number)
    other.repair("b")
    one.merge(other)
    assert (one.lost["a"], one.repaired["b"]) == (11, 1)
    assert one.examples["a"] == ["x" * 120, "0", "1"]


def places(tree: Any) -> Any:
    """(container, key) of every value in a tree."""
    stack = [tree]
    while stack:
        holder = stack.pop()
        for place in range(len(holder)) if isinstance(holder, list) else list(holder):
            yield holder, place
            if isinstance(holder[place], list | dict):
                stack.append(holder[place])


def mutate(tree: Any, data: st.DataObject) -> None:
    found = list(places(tree))
    if not found:
        return
    holder, place = found[data.draw(st.integers(0, len(found) - 1), label="place")]
    action = data.draw(st.sampled_from(["replace", "remove", "double"]), label="action")
    if action == "remove":
        del holder[place]
    elif action == "double" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place]))
    else:
        holder[place] = copy.deepcopy(data.draw(st.sampled_from(ODD) | json_values, label="value"))
