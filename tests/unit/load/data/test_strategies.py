"""Hypothesis strategies become rows, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.load.data.feeding import rows, write
from tracer_bullet.errors import UsageError

ORDERS = """
from hypothesis import strategies as st
import helping

orders = st.fixed_dictionaries(
    {"sku": st.text("abc", min_size=1), "n": st.integers(1, 10**6)}, optional={"gift": st.booleans()}
)
few = st.fixed_dictionaries({"n": st.integers(1, 3)})
nested = st.just({"sku": {"a": [1, None]}})
numbers = st.integers()
floats = st.just({"f": float("nan")})
typo = st.just({"skuu": "x"})
none = st.nothing()
picky = st.fixed_dictionaries({"n": st.integers()}).filter(lambda row: False)
text = "no strategy"


@st.composite
def made(draw):
    return {"sku": draw(st.sampled_from(helping.SKUS))}


@st.composite
def broken(draw):
    draw(st.integers())
    raise RuntimeError("boom")


def not_yet():
    return undefined
"""
VARIABLES = {"sku": "A", "n": 1, "f": 0.5, "gift": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "orders.py", ORDERS)
    write(tmp_path, "helping.py", "SKUS = ['h1', 'h2']\n")
    return tmp_path


def feed(name: str, **parts: Any) -> dict[str, Any]:
    return {"strategy": f"orders.py:{name}", **parts}


def test_rows_are_drawn_and_are_the_same_for_a_seed(folder: Path) -> None:
    first = rows(folder, VARIABLES, feed("orders", rows=60))
    assert len(first) == 60
    assert len({tuple(row.items()) for row in first}) > 50
    assert all(isinstance(r["sku"], str) and isinstance(r["n"], int) and 1 <= r["n"] <= 10**6 for r in first)
    assert {"gift" in row for row in first} == {True, False}
    assert rows(folder, VARIABLES, feed("orders", rows=60)) == first
    assert rows(folder, VARIABLES, feed("orders", rows=60), seed=2) != first


def test_feeds_of_one_strategy_differ(folder: Path) -> None:
    variables = {**VARIABLES, "b_sku": "", "b_n": 0, "b_gift": True}
    both = rows(folder, variables, feed("orders", rows=20), feed("orders", rows=20, prefix="b_"))
    assert any(row["n"] != row["b_n"] for row in both)


def test_a_strategy_of_few_values_gives_these(folder: Path) -> None:
    assert sorted(int(row["n"]) for row in rows(folder, VARIABLES, feed("few"))) == [1, 2, 3]


def test_what_is_no_scalar_is_json_text(folder: Path) -> None:
    assert rows(folder, VARIABLES, feed("nested")) == ({"sku": '{"a":[1,null]}'},)


def test_a_composite_is_called_and_may_import_its_neighbours(folder: Path) -> None:
    assert {row["sku"] for row in rows(folder, VARIABLES, feed("made"))} == {"h1", "h2"}


def test_a_module_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "tb_test_shop_data.py", "from hypothesis import strategies as st\none = st.just({'n': 4})\n")
    monkeypatch.syspath_prepend(str(folder / "scenarios"))
    assert rows(folder, VARIABLES, {"strategy": "tb_test_shop_data:one"}) == ({"n": 4},)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("orders.py", "TB1015", "names no strategy"),
        ("none.py:orders", "TB1015", "there is no file"),
        ("no_such_module_at_all:x", "TB1015", "ModuleNotFoundError"),
        ("orders.py:order", "TB1015", "did you mean 'orders'?"),
        ("orders.py:text", "TB1015", "orders.py:text is str, not a Hypothesis strategy"),
        ("orders.py:numbers", "TB1015", "the strategy gives int, not a map of variables"),
        ("orders.py:broken", "TB1015", "RuntimeError: boom"),
        ("orders.py:not_yet", "TB1015", "orders.py:30"),
        ("orders.py:floats", "TB1012", "f is nan, which JSON cannot say"),
        ("orders.py:typo", "TB1014", "did you mean 'sku'?"),
        ("orders.py:none", "TB1019", ""),
        ("orders.py:picky", "TB1019", ""),
    ],
)
def test_what_cannot_be_drawn_is_told_where_the_scenario_names_it(
    folder: Path, text: str, code: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        rows(folder, VARIABLES, {"strategy": text})
    assert (caught.value.code, caught.value.where) == (code, f"{folder}/scenarios/s.yaml:9")
    assert words in str(caught.value)


def test_a_file_that_does_not_run_is_told_with_its_line(folder: Path) -> None:
    path = write(folder, "bad.py", "x = 1\n\nraise ValueError('no')\n")
    with pytest.raises(UsageError, match="ValueError: no") as caught:
        rows(folder, VARIABLES, {"strategy": "bad.py:x"})
    assert caught.value.why == f"raised at {path}:3"
