"""A row that fails becomes the smallest that does, within bounds, and nothing is left over."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.load.data.feeding import located, rows, write
from tracer_bullet.load.shrink import Row, shortest, shrink
from tracer_bullet.workspace.template import Scalar

VARIABLES: dict[str, Scalar] = {"n": 1, "text": "", "flag": False, "other": 1, "one": 1, "two": 1, "three": 1}
STRATEGY = """
from hypothesis import strategies as st
numbers = {"n": st.integers(0, 10**9), "other": st.integers()}
orders = st.fixed_dictionaries({**numbers, "text": st.text("ab"), "flag": st.booleans()})
"""
FEED = {"strategy": "d.py:orders", "rows": 200}


class Target:
    """Counts what it is asked; fails for some rows."""

    def __init__(self, is_bad: Callable[[Mapping[str, Scalar]], bool]) -> None:
        self.asked: list[Row] = []
        self._is_bad = is_bad

    async def fails(self, row: Row) -> bool:
        self.asked.append(row)
        await asyncio.sleep(0)
        return self._is_bad({**VARIABLES, **row})


def drawn(folder: Path, is_bad: Callable[[Any], bool]) -> Mapping[str, Scalar]:
    """A row of the strategy's that fails: the longest of them."""
    write(folder, "d.py", STRATEGY)
    return max((row for row in rows(folder, VARIABLES, FEED) if is_bad({**VARIABLES, **row})), key=str)


def shrunk(
    folder: Path, is_bad: Callable[[Any], bool], row: Row, *feeds: Any, **bounds: Any
) -> tuple[Row | None, Target]:
    target = Target(is_bad)
    scenario = located(folder, VARIABLES, *(feeds or [FEED]))
    return asyncio.run(shrink(target.fails, row, scenario, seed=1, **bounds)), target


@pytest.mark.parametrize(
    ("is_bad", "smallest"),
    [
        (lambda r: r["n"] > 1000, {"n": 1001}),
        (lambda r: r["text"].count("b") >= 2, {"text": "bb"}),
        (lambda r: r["n"] >= 500 and "ab" in r["text"], {"n": 500, "text": "ab"}),
        (lambda r: r["flag"], {"flag": True}),
        (lambda r: True, {}),
    ],
)
def test_hypothesis_shrinks_what_it_made(tmp_path: Path, is_bad: Callable[[Any], bool], smallest: Row) -> None:
    found, target = shrunk(tmp_path, is_bad, drawn(tmp_path, is_bad), tries=1000, within_s=1000)
    assert found == smallest
    assert len(target.asked) == len({json.dumps(dict(r), sort_keys=True) for r in target.asked}) < 200


def test_what_does_not_fail_again_is_not_shrunk(tmp_path: Path) -> None:
    row = drawn(tmp_path, lambda r: r["n"] > 1000)
    found, target = shrunk(tmp_path, lambda r: False, row)
    assert (found, target.asked) == (None, [row])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sets(st.sampled_from(sorted(VARIABLES)), min_size=1), st.integers(1, 100))
def test_rows_of_files_lose_what_does_not_matter_and_nothing_else(tmp_path: Path, needed: set[str], tries: int) -> None:
    row = {name: f"from file {name}" for name in VARIABLES}
    write(tmp_path, "d.csv", "n\n1\n")

    def is_bad(r: Mapping[str, Scalar]) -> bool:
        return all(r[name] == row[name] for name in needed)

    found, target = shrunk(tmp_path, is_bad, row, {"file": "d.csv"}, tries=tries)
    assert found is not None
    assert len(target.asked) <= tries
    assert is_bad({**VARIABLES, **found})
    assert found.items() <= row.items()
    if tries == 100:
        assert set(found) == needed


@pytest.mark.parametrize("tries", [1, 2, 5, 12])
def test_tries_are_bounded_and_the_best_so_far_is_the_answer(tmp_path: Path, tries: int) -> None:
    def is_bad(r: Any) -> bool:
        return bool(r["n"] > 1000 and "b" in r["text"])

    row = drawn(tmp_path, is_bad)
    found, target = shrunk(tmp_path, is_bad, row, tries=tries)
    assert len(target.asked) == tries
    assert found is not None
    assert is_bad({**VARIABLES, **found})


def test_time_is_bounded(tmp_path: Path) -> None:
    def is_bad(r: Any) -> bool:
        return bool(r["n"] > 1000)

    row = drawn(tmp_path, is_bad)
    ticks = iter(range(1000))
    found, target = shrunk(tmp_path, is_bad, row, within_s=7, clock_s=lambda: float(next(ticks)))
    assert found is not None
    assert is_bad(found)
    assert len(target.asked) < 8


def test_each_feed_is_shrunk_beside_the_others(tmp_path: Path) -> None:
    write(tmp_path, "d.py", STRATEGY)
    write(
        tmp_path,
        "e.py",
        "from hypothesis import strategies as st\nnumbers = st.fixed_dictionaries({'one': st.integers(0, 99)})\n",
    )
    write(tmp_path, "f.csv", "two\n17\n")
    feeds = (FEED, {"strategy": "e.py:numbers"}, {"file": "f.csv"})

    def is_bad(r: Any) -> bool:
        return bool(r["n"] > 5 and r["one"] > 7 and r["two"] == 17)

    row = next(r for r in rows(tmp_path, VARIABLES, *feeds) if is_bad({**VARIABLES, **r}))
    found, _ = shrunk(tmp_path, is_bad, row, *feeds, tries=1000, within_s=1000)
    assert found == {"n": 6, "one": 8, "two": 17}


def test_a_strategy_that_is_gone_leaves_the_row_without_what_does_not_matter(tmp_path: Path) -> None:
    def is_bad(r: Any) -> bool:
        return bool(r["n"] > 1000)

    row = drawn(tmp_path, is_bad)
    (tmp_path / "scenarios" / "d.py").write_text("raise RuntimeError\n")
    found, _ = shrunk(tmp_path, is_bad, row)
    assert found == {"n": row["n"]}


def test_cancelling_ends_the_thread_too(tmp_path: Path) -> None:
    row = drawn(tmp_path, lambda r: r["n"] > 1000)
    before = threading.active_count()

    async def run() -> None:
        hanging = asyncio.Event()
        asked: list[Row] = []

        async def fails(candidate: Row) -> bool:
            asked.append(candidate)
            if candidate.get("n", 0) not in (row["n"], 0):  # Hypothesis asks, from its thread
                hanging.set()
                await asyncio.Event().wait()
            return candidate.get("n") == row["n"]

        task = asyncio.create_task(shrink(fails, row, located(tmp_path, VARIABLES, FEED), seed=1))
        await hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert threading.active_count() == before


def test_the_shortest_row_is_the_one_to_begin_with() -> None:
    assert shortest([{"a": "xxx"}, {"a": "x"}, {"a": "y"}]) == {"a": "x"}
