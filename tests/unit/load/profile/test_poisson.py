"""Arrivals by chance: is it a Poisson process? With fixed seeds and wide bounds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.unit.load.profile.stages import integral, stage
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.profile.arrivals import Poisson

_NS = 1_000_000_000


def due_s(profile: Profile) -> np.ndarray:
    return np.concatenate(list(profile.due_ns())) / _NS


@pytest.mark.parametrize("seed", [1, 2, -7, 2**70])
def test_counts_in_windows_vary_as_much_as_they_should(seed: int) -> None:
    stages = [stage("100s", ramp_to="400/s"), stage("100s", sine="300/s", swing="300/s", period="40s")]
    profile, until = Profile(stages, arrivals="poisson", seed=seed), integral(stages)
    mean = until(200)
    assert abs(profile.total - mean) < 5 * math.sqrt(mean)
    edges = np.linspace(0, 200, 401)
    counts = np.histogram(due_s(profile), edges)[0]
    means = np.array([until(b) - until(a) for a, b in pairwise(edges)])
    normal = ((counts - means) / np.sqrt(means))[means > 20]
    assert abs(normal.mean()) < 5 / math.sqrt(len(normal))
    # Of a Poisson number the variance is the mean; evenly spread ones would have none.
    assert normal.var() == pytest.approx(1, abs=5 * math.sqrt(2 / len(normal)))
    # One window knows nothing of the next, also across the borders of blocks.
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 5 / math.sqrt(len(normal))


def test_gaps_are_exponential_in_rescaled_time() -> None:
    stages = [stage("60s", ramp_to="1000/s"), stage("60s", steps=["50/s", "900/s"])]
    until = integral(stages)
    places = np.array([until(t) for t in due_s(Profile(stages, arrivals="poisson", seed=5))])
    gaps = np.sort(np.diff(places))
    # Kolmogorov-Smirnov against 1 − e^−x; 1.95 ÷ √n is passed once in a thousand times.
    model = 1 - np.exp(-gaps)
    ranks = np.arange(1, len(gaps) + 1) / len(gaps)
    assert len(gaps) > 50_000
    assert np.max(np.abs(model - ranks)) < 1.95 / math.sqrt(len(gaps))


def test_every_seed_has_its_own_schedule_and_always_the_same() -> None:
    stages = [stage("20s", rate="100/s")]
    ours, again, other = (Profile(stages, arrivals="poisson", seed=s) for s in (1, 1, 2))
    assert np.array_equal(due_s(ours), due_s(again))
    assert len(np.intersect1d(due_s(ours), due_s(other))) < 5
    # Written down, so that senders of two versions agree.
    assert ours.total == 1936
    assert np.concatenate(list(ours.due_ns()))[:3].tolist() == [23_864_305, 55_214_627, 58_348_343]


def test_few_are_a_poisson_number_too() -> None:
    counts = [Profile([stage("1s", rate="3/s")], arrivals="poisson", seed=seed).total for seed in range(600)]
    assert np.mean(counts) == pytest.approx(3, abs=0.35)
    assert np.var(counts) == pytest.approx(3, abs=0.9)
    assert np.mean(np.array(counts) == 0) == pytest.approx(math.exp(-3), abs=0.04)


def test_every_block_is_drawn_anew() -> None:
    spread = Poisson(3 * 8192.0, 1)
    one, two, three = (np.mod(spread.places(block), 8192) for block in range(3))
    for first, second in ((one, two), (two, three), (one, three)):
        assert len(first) > 7500
        assert len(np.intersect1d(first, second)) < 10
