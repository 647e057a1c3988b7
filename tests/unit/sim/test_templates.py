"""Templates and chance: the pure parts of a simulated service."""

from __future__ import annotations

from random import Random
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.sim.chance import draw, generator, sample_ms
from tracer_bullet.sim.templates import MissingValueError, render
from tracer_bullet.workspace.latency import Latency
from tracer_bullet.workspace.topology import Operation

VALUES = {"input": {"sku": "mug", "items": [{"n": 1}, {"n": 2}], "none": None}, "total": 7}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="$")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${total}", 7),
        ("${input.items}", [{"n": 1}, {"n": 2}]),
        ("${input.items.1.n}", 2),
        ("${input.none}", None),
        ("-${total}", "-7"),
        ("${input.sku}/${total}", "mug/7"),
        ({"a": ["${total}", 1, None]}, {"a": [7, 1, None]}),
        ("$total {total}", "$total {total}"),
    ],
)
def test_references_become_their_values(template: Any, expected: Any) -> None:
    assert render(template, VALUES) == expected


@given(value=JSON)
def test_a_whole_reference_keeps_the_value_and_its_type(value: Any) -> None:
    assert render("${value}", {"value": value}) is value
    assert render({"list": ["${value.x}"]}, {"value": {"x": value}}) == {"list": [value]}


@given(template=JSON)
def test_what_has_no_reference_stays_as_it_is(template: Any) -> None:
    assert render(template, {}) == template


def test_values_are_not_read_as_templates() -> None:
    assert render("${input}", {"input": "${secret}", "secret": 1}) == "${secret}"


@pytest.mark.parametrize("reference", ["nothing", "input.nothing", "input.items.2", "input.items.-1", "input.sku.x"])
def test_a_reference_that_leads_nowhere(reference: str) -> None:
    template = f"${{{reference}}}"
    if "-" in reference:  # no reference by its form
        assert render(template, VALUES) == template
        return
    with pytest.raises(MissingValueError) as caught:
        render(template, VALUES)
    assert caught.value.reference == reference
    assert render([template], VALUES, lenient=True) == [None]


def operation(**settings: Any) -> Operation:
    return Operation.model_validate({"http": "GET /", **settings})


@given(seed=st.integers(), rate=st.floats(0, 1))
def test_the_same_seed_gives_the_same_fates(seed: int, rate: float) -> None:
    endpoint = operation(latency_ms={"lognormal": {"median": 5, "sigma": 0.5}}, error_rate=rate)
    first, second = (generator(seed, "cart", "add") for _ in range(2))
    assert [draw(endpoint, first) for _ in range(20)] == [draw(endpoint, second) for _ in range(20)]


def test_services_and_operations_have_streams_of_their_own() -> None:
    streams = [generator(1, "a", "x"), generator(1, "a", "y"), generator(1, "b", "x"), generator(2, "a", "x")]
    assert len({stream.random() for stream in streams}) == len(streams)


def test_an_error_rate_does_not_move_the_latencies() -> None:
    latency = {"uniform": [1, 9]}
    never, always = operation(latency_ms=latency), operation(latency_ms=latency, error_rate=1)
    one, other = Random(3), Random(3)
    fates = [(draw(never, one), draw(always, other)) for _ in range(20)]
    assert [a.latency_s for a, _ in fates] == [b.latency_s for _, b in fates]
    assert not any(a.fails for a, _ in fates)
    assert all(b.fails for _, b in fates)


def test_latencies_follow_their_distribution() -> None:
    random = Random(1)
    assert sample_ms(Latency(constant=4), random) == 4
    uniform = [sample_ms(Latency(uniform=(2, 3)), random) for _ in range(500)]
    assert all(2 <= ms <= 3 for ms in uniform)
    assert max(uniform) - min(uniform) > 0.9
    lognormal = Latency.model_validate({"lognormal": {"median": 10, "sigma": 1}})
    assert median(sample_ms(lognormal, random) for _ in range(5001)) == pytest.approx(10, rel=0.1)
    assert sum(draw(operation(error_rate=0.25), random).fails for _ in range(4000)) == pytest.approx(1000, rel=0.1)
