"""How much requests that are alike are worth, and the blocks that tell it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.baseline.runs import queue, run, waves
from tracer_bullet.load.baseline import ALL, PERCENTILES, Blocks, save, worth_at, worth_of_failures
from tracer_bullet.load.baseline.variance import worth
from tracer_bullet.load.confidence import Counts, Ints


def of_blocks(*numbers: int) -> Ints:
    return np.asarray(numbers, np.int64)


def test_independent_requests_are_worth_themselves() -> None:
    rng = np.random.default_rng(1)
    factors = []
    for _ in range(60):
        found = worth_at(run(*waves(rng, 3_000, alike=0.0, rate=100)).steps[0].blocks, 50.0)
        assert found is not None
        factors.append(found.factor)
    assert 1.0 <= float(np.mean(factors)) < 1.35, "a little more, since what looks like order is not believed"


def test_requests_that_are_alike_are_worth_as_many_as_theory_says() -> None:
    """At the median, of a Gaussian series whose values each keep 0.9 of the last: the sum of the correlations of their
    signs, 1 + 2·Σ (2/π)·arcsin(0.9^k) = 13.0."""
    theory = 1 + 2 * float(np.sum(2 / np.pi * np.arcsin(0.9 ** np.arange(1, 500))))
    rng = np.random.default_rng(2)
    factors = []
    for _ in range(30):
        found = worth_at(run(*waves(rng, 12_000, alike=0.9, rate=200)).steps[0].blocks, 50.0)
        assert found is not None
        factors.append(found.factor)
    assert 0.9 < float(np.mean(factors)) / theory < 1.4


def test_copies_are_worth_one() -> None:
    """All requests of a second are copies: forty seconds are worth some forty requests."""
    hits = np.tile(of_blocks(100, 0), 20)
    rng = np.random.default_rng(3)
    rng.shuffle(hits)
    found = worth(hits, np.full(40, 100, np.int64))
    assert found is not None
    assert 15 < found.independent < 100
    assert found.n == 4_000


def test_a_burst_of_failures_is_worth_little() -> None:
    sent = np.full(30, 1_000, np.int64)
    burst, spread = np.zeros(30, np.int64), np.full(30, 10, np.int64)
    burst[7] = 300
    in_one, all_over = worth(burst, sent), worth(spread, sent)
    assert in_one is not None
    assert all_over is not None
    assert all_over.independent == 30_000
    assert in_one.independent < 150


def test_batches_that_are_still_alike_are_worth_less() -> None:
    """The same batches in a slow wave, and one up, one down."""
    sent = np.full(24, 1_000, np.int64)
    slow = worth(np.repeat(of_blocks(450, 550, 450, 550), 6), sent)
    quick = worth(np.tile(of_blocks(450, 550), 12), sent)
    assert slow is not None
    assert quick is not None
    assert 2 < quick.independent / slow.independent < 3


@pytest.mark.parametrize("blocks", [0, 1, 9])
def test_a_short_run_cannot_tell(blocks: int) -> None:
    assert worth(np.full(blocks, 5, np.int64), np.full(blocks, 10, np.int64)) is None


def test_seconds_without_requests_do_not_count() -> None:
    sent = np.tile(of_blocks(10, 0), 9)
    assert worth(sent // 2, sent) is None
    assert worth(np.append(sent // 2, 5), np.append(sent, 10)) is not None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=100))
def test_never_more_than_there_are(blocks: list[tuple[int, int]]) -> None:
    hits = np.asarray([min(h, n) for h, n in blocks], np.int64)
    of = np.asarray([n for _, n in blocks], np.int64)
    found = worth(hits, of)
    if found is None:
        assert np.count_nonzero(of) < 10 or len(blocks) > 31
    else:
        assert 0 < found.independent <= found.n == of.sum()
        assert 9 <= found.freedom <= 30


# Blocks.


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3_000), st.floats(1, 500), st.integers(1, 4), st.integers(0, 2**32))
def test_blocks_lose_nothing_however_long_the_run(n: int, seconds: float, batches: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    due = np.sort(rng.uniform(0, seconds, n))
    us = rng.integers(1, 10**6, n)
    steps, failed, measured = rng.integers(0, 3, n), rng.random(n) < 0.1, rng.random(n) < 0.9
    blocks = Blocks(3)
    for part in np.array_split(np.arange(n), batches):
        blocks.record(steps[part], due[part], us[part] * 1000, measured=measured[part], failed=failed[part])
    counts = [Counts.of_values(us[measured & (steps == s)] / 1e3) for s in range(3)]
    saved = save("r", seconds, ["a", "b", "c"], counts, blocks, everything=Counts.of_values(us[measured] / 1e3))
    assert [s.step for s in saved.steps] == [ALL, "a", "b", "c"]
    for step, mine in zip(saved.steps, [np.ones(n, bool), *(steps == s for s in range(3))], strict=True):
        assert (step.sent, step.failed) == (mine.sum(), (failed & mine).sum())
        assert step.blocks.sent.sum() == step.sent
        assert step.blocks.measured.sum() == step.latency.total == (mine & measured).sum()
        assert step.blocks.sent.size <= 64
        assert step.blocks.width_s * 64 > due[-1]
        wanted = np.bincount((due[mine] / step.blocks.width_s).astype(int), minlength=step.blocks.sent.size)
        assert step.blocks.sent.tolist() == wanted.tolist()


def test_blocks_are_cut_at_the_percentiles_of_the_run() -> None:
    rng = np.random.default_rng(5)
    saved = run(*queue(rng, 20_000, load=0.5))
    step = saved.steps[0]
    for percentile in PERCENTILES:
        share = step.blocks.within[percentile].sum() / step.blocks.measured.sum()
        assert share == pytest.approx(percentile / 100, abs=0.01)


def test_latencies_of_two_kinds_are_cut_between_them() -> None:
    ms = np.tile([10.0, 20.0], 1_000)
    step = run(np.arange(2_000) / 100, ms).steps[0]
    assert step.blocks.within[50.0].sum() == 1_000
    assert step.blocks.within[90.0].sum() == 2_000


def test_blocks_tell_what_any_percentile_is_worth_while_it_runs() -> None:
    rng = np.random.default_rng(6)
    due, ms = queue(rng, 20_000, load=0.8)
    blocks, ones = Blocks(2), np.ones(due.size, np.bool_)
    none = blocks.worth(50.0, Counts.of_values([]))
    assert none is None
    blocks.record(rng.integers(0, 2, due.size), due, (ms * 1e6).astype(np.int64), measured=ones, failed=~ones)
    latency = Counts.of_values(ms)
    middle, tail = blocks.worth(50.0, latency), blocks.worth(99.5, latency)
    assert middle is not None
    assert tail is not None
    assert 3 < middle.factor < 200
    assert 3 < tail.factor < 400


def test_failures_are_counted_in_their_blocks() -> None:
    rng = np.random.default_rng(8)
    due, ms = waves(rng, 3_000, alike=0.0, rate=100)
    found = worth_of_failures(run(due, ms, rng.random(due.size) < 0.05).steps[1].blocks)
    assert found is not None
    assert 1_200 < found.independent <= 3_000
