"""What a run keeps goes through JSON and comes back the same; what is broken is refused in words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.baseline.runs import run, waves
from tracer_bullet.load.baseline import SavedRun, SavedStep, compare
from tracer_bullet.load.confidence import Counts

RUN = run(*waves(np.random.default_rng(1), 2_000, alike=0.3, rate=100))


def through_json(saved: SavedRun) -> SavedRun:
    return SavedRun.from_json(json.loads(json.dumps(saved.to_json())))


def test_it_comes_back_the_same() -> None:
    back = through_json(RUN)
    assert back.to_json() == RUN.to_json()
    assert [s.step for s in back.steps] == [s.step for s in RUN.steps]
    for mine, theirs in zip(RUN.steps, back.steps, strict=True):
        assert mine.latency.values_ms.tolist() == theirs.latency.values_ms.tolist()
        assert mine.latency.counts.tolist() == theirs.latency.counts.tolist()
        assert {p: v.tolist() for p, v in mine.blocks.within.items()} == {
            p: v.tolist() for p, v in theirs.blocks.within.items()
        }
    assert compare(RUN, RUN) == compare(back, back)


@given(st.lists(st.integers(0, 3_600_000_000), max_size=50), st.lists(st.text(max_size=9), max_size=3))
def test_any_latencies_come_back(us: list[int], profile: list[str]) -> None:
    counts = Counts.of_values(v / 1e3 for v in us)
    step = SavedStep(step="a / b", sent=len(us), failed=0, latency=counts)
    back = through_json(SavedRun(run="r", seconds=1.5, steps=(step,), profile=tuple(profile)))
    assert (back.run, back.seconds, back.profile) == ("r", 1.5, tuple(profile))
    assert back.steps[0].latency.values_ms.tolist() == counts.values_ms.tolist()
    assert back.steps[0].latency.counts.tolist() == counts.counts.tolist()


def test_latencies_closer_than_a_microsecond_are_put_together() -> None:
    step = SavedStep(step="a", sent=3, failed=0, latency=Counts.of_values([1.0001, 1.0002, 7.0]))
    back = through_json(SavedRun(run="r", seconds=1, steps=(step,)))
    assert back.steps[0].latency.values_ms.tolist() == [1.0, 7.0]
    assert back.steps[0].latency.counts.tolist() == [2, 1]


def test_an_hour_of_traffic_takes_little_room() -> None:
    rng = np.random.default_rng(2)
    due = np.arange(50_000) * 0.072
    # As close as HdrHistogram's slots, or closer.
    ms = np.exp(rng.normal(3, 1, due.size))
    digits = np.floor(np.log10(ms)) - 3
    saved = run(due, np.round(ms / 10**digits) * 10**digits)
    assert len(json.dumps(saved.to_json()["steps"][1])) < 150_000


def broken(change: Callable[[dict[str, Any]], object]) -> Any:
    value = copy.deepcopy(RUN.to_json())
    change(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"version": 2},
        broken(lambda v: v.pop("steps")),
        broken(lambda v: v.update(seconds="long")),
        broken(lambda v: v.update(steps=[1])),
        broken(lambda v: v["steps"][0].pop("blocks")),
        broken(lambda v: v["steps"][0]["us"].pop()),
        broken(lambda v: v["steps"][0]["us"].__setitem__(3, -5)),
        broken(lambda v: v["steps"][0]["us"].__setitem__(3, 1.5)),
        broken(lambda v: v["steps"][0]["counts"].__setitem__(0, 0)),
        broken(lambda v: v["steps"][0]["counts"].__setitem__(0, 10**30)),
        broken(lambda v: v["steps"][0]["blocks"]["sent"].append(1)),
        broken(lambda v: v["steps"][0]["blocks"]["within"].update({"many": []})),
    ],
)
def test_what_is_no_saved_run_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a run's histograms"):
        SavedRun.from_json(value)
