"""Claim: numbers with units become plain numbers, and no other text does."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tracer_bullet.workspace.quantities import Rate, Share, Size, Speed

KINDS: dict[str, TypeAdapter[Any]] = {
    "speed": TypeAdapter(Speed),
    "rate": TypeAdapter(Rate),
    "share": TypeAdapter(Share),
    "size": TypeAdapter(Size),
}


def read(kind: str, value: object) -> Any:
    return KINDS[kind].validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        ("speed", "4x", 4.0),
        ("speed", "0.5 x", 0.5),
        ("speed", 2, 2.0),
        ("speed", 0.00001, 0.00001),  # Python writes it as 1e-05
        ("rate", "500/s", 500.0),
        ("rate", "90/min", 1.5),
        ("rate", "1 per h", 1 / 3600),
        ("share", "10 %", 0.1),
        ("share", "10%", 0.1),
        ("share", 0.25, 0.25),
        ("share", 0.00001, 0.00001),
        ("share", 1, 1.0),
        ("share", 0, 0.0),
        ("size", 1000, 1000),
        ("size", "2 GB", 2_000_000_000),
        ("size", "1 KiB", 1024),
        ("size", "1.5 MiB", 1_572_864),
        ("size", 1e16, 10**16),
    ],
)
def test_what_they_say(kind: str, value: object, plain: float) -> None:
    assert read(kind, value) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("speed", "0x"), ("speed", "-2x"), ("speed", "fast"), ("speed", True), ("speed", None), ("speed", "9" * 400),
        ("speed", math.inf), ("speed", math.nan), ("rate", "500"), ("rate", 500), ("rate", "0/s"), ("rate", "5/day"),
        ("rate", f"{'9' * 400}/s"), ("rate", "1e-323/h"), ("share", "101 %"), ("share", 1.1), ("share", -0.1),
        ("share", "half"), ("share", False), ("size", "2 gb"), ("size", -1), ("size", "9" * 400), ("size", "1e300 TiB"),
        ("size", ""), ("size", [1]),
    ],
)  # fmt: skip
def test_what_is_none(kind: str, value: object) -> None:
    with pytest.raises(ValidationError) as told:
        read(kind, value)
    assert "must be a" in str(told.value)


@given(kind=st.sampled_from(sorted(KINDS)), value=st.one_of(st.text(), st.floats(), st.integers(), st.booleans()))
def test_any_value_is_read_or_refused(kind: str, value: object) -> None:
    try:
        found = read(kind, value)
    except ValidationError:
        return
    assert math.isfinite(found)
    assert found >= 0
    assert found > 0 or kind in ("share", "size")
    assert kind != "share" or found <= 1


@given(st.floats(1e-6, 1e9))
def test_a_plain_number_and_its_text_are_the_same(value: float) -> None:
    assert read("speed", value) == read("speed", f"{value}x") == value


@given(st.integers(0, 2**53))
def test_bytes_are_exact(value: int) -> None:
    assert read("size", value) == read("size", f"{value} B") == value
