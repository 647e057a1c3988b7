"""What an iteration's number decides: the same for whoever asks, and spread as it should be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.load.choice import Feed, Mix, Pause, chance, word
from tracer_bullet.workspace.data import DataSpec

_weights = st.lists(st.floats(0.001, 1000), min_size=1, max_size=5)


@given(_weights, st.integers(), st.integers(0, 10**9))
@settings(deadline=None, max_examples=25)
def test_a_number_has_one_scenario_and_its_rank_leads_back(weights: list[float], seed: int, number: int) -> None:
    mix, other = Mix(weights, seed), Mix(weights, seed)
    scenario, rank = mix.of(number)
    assert other.of(number) == (scenario, rank)
    assert mix.number_of(scenario, rank) == number
    assert mix.scenarios(np.array([number])).tolist() == [scenario]


@given(_weights, st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_any_length_has_the_scenarios_by_weight_and_ranks_without_holes(weights: list[float], seed: int) -> None:
    mix = Mix(weights, seed)
    numbers = np.arange(5000)
    scenarios = mix.scenarios(numbers).tolist()
    ranks: dict[int, list[int]] = {}
    for number, scenario in enumerate(scenarios):
        found, rank = mix.of(number)
        assert found == scenario
        ranks.setdefault(scenario, []).append(rank)
    for some in ranks.values():
        assert some == list(range(len(some)))
    total = 20 * mix.block
    for scenario, weight in enumerate(weights):
        assert mix.counts[scenario] * 20 == pytest.approx(total * weight / sum(weights), rel=1e-3, abs=21)


def test_simple_weights_are_exact_in_small_blocks() -> None:
    assert Mix([70, 20, 10], 1).counts == (721, 206, 103)
    assert Mix([1, 1, 1], 1).counts == (342, 342, 342)
    assert Mix([0.5, 0.25], 1).counts == (684, 342)
    rare = Mix([1, 10_000_000], 1)
    assert rare.counts == (1, 65_536)


def test_the_order_differs_from_block_to_block_and_by_seed() -> None:
    mix, other = Mix([1, 1], 1), Mix([1, 1], 2)
    one, two = mix.scenarios(np.arange(1024)), mix.scenarios(np.arange(1024, 2048))
    assert 400 < np.sum(one != two) < 624
    assert 400 < np.sum(one != other.scenarios(np.arange(1024))) < 624


def test_chances_are_spread_and_streams_have_nothing_in_common() -> None:
    chances = np.array([[chance(7, stream, n) for n in range(20_000)] for stream in (1, 2)])
    assert 0 <= chances.min() < chances.max() < 1
    for row in chances:
        counts = np.histogram(row, 20, (0, 1))[0]
        assert np.sum((counts - 1000) ** 2 / 1000) < 50  # chi-squared, 19 degrees: once in 7,000 times
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(chances)[0, 1]) < 0.04
    assert word(1, 2, 3) == word(1 + 2**64, 2, 3) != word(1, 3, 2)


def test_pauses() -> None:
    drawn = [Pause((0.5, 2.0)).draw(1, 1, n) / 1e9 for n in range(2000)]
    assert min(drawn) >= 0.5
    assert max(drawn) < 2
    assert np.mean(drawn) == pytest.approx(1.25, abs=0.05)
    assert Pause((3.0, 3.0)).draw(1, 1, 5) == 3_000_000_000
    assert (Pause((3.0, 3.0)).is_fixed, Pause((0.5, 2.0)).is_fixed) == (True, False)


@pytest.mark.parametrize(
    ("orders", "most", "rows"),
    [
        (["sequential"], None, [0, 1, 2, 0]),
        (["unique"], 3, [0, 1, 2]),
        (["random", "unique"], 3, [0, 1, 2]),
        (["random", "sequential"], None, [0, 1, 2, 0]),
    ],
)
def test_the_order_of_rows(orders: list[str], most: int | None, rows: list[int]) -> None:
    specs = [DataSpec.model_validate({"file": f"{n}.csv", "order": order}) for n, order in enumerate(orders)]
    feed = Feed([{"n": n} for n in range(3)], specs, 1)
    assert feed.most == most
    assert [feed.row(rank)["n"] for rank in range(len(rows))] == rows


def test_random_rows_and_none() -> None:
    spec = DataSpec.model_validate({"file": "a.csv", "order": "random"})
    feed = Feed([{"n": n} for n in range(3)], [spec], 1)
    counts = Counter(feed.row(rank)["n"] for rank in range(3000))
    assert all(900 < n < 1100 for n in counts.values())
    assert Feed([], [], 1).row(17) == {}
