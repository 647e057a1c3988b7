"""The search for a capacity, on simulated systems whose capacity is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.baseline.runs import queue
from tracer_bullet.load.capacity import Hold, Search
from tracer_bullet.load.confidence import Counts
from tracer_bullet.load.thresholds import Figures, judge, parse
from tracer_bullet.model.load import Capacity, CapacityStep
from tracer_bullet.workspace.thresholds import CapacitySpec, ThresholdSpec

Answer = Callable[[Hold], bool | None]


def spec(start: float = 10, most: float = 10_000, precision: float = 0.1, hold_s: float = 20) -> CapacitySpec:
    return CapacitySpec.model_validate(
        {"start": f"{start}/s", "max": f"{most}/s", "precision": precision, "hold": f"{hold_s}s"}
    )


def step(rate: float, *, held: bool | None, achieved: float | None = None) -> CapacityStep:
    done = rate if achieved is None else achieved
    return CapacityStep(rate=rate, achieved=done, held=held, p50_ms=1, p99_ms=2, error_rate=0, concurrency=done * 0.01)


def search(asked: CapacitySpec, answer: Answer) -> tuple[Capacity, list[Hold]]:
    it, holds = Search(asked), []
    while (rate := it.next()) is not None:
        assert it.hold is not None
        assert it.hold.rate == rate
        holds.append(it.hold)
        assert len(holds) <= 100
        it.observe(step(rate, held=answer(it.hold)))
    assert it.next() is None
    return it.result(), holds


@given(st.floats(12, 9_000), st.floats(0.02, 0.5), st.floats(1, 2_000))
def test_a_sharp_limit_is_found_within_the_precision(capacity: float, precision: float, start: float) -> None:
    found, holds = search(spec(start=start, precision=precision), lambda hold: hold.rate <= capacity)
    assert found.high is not None
    if found.low > 0:
        assert found.low <= capacity < found.high <= found.low * (1 + precision) * (1 + 1e-6)
    else:
        assert capacity < start / 64
    bound = abs(math.log2(capacity / start)) + 2 + math.log2(math.log(2) / math.log1p(precision)) + 2
    assert len({hold.rate for hold in holds}) <= bound
    assert len(holds) <= 2 * bound + 4


def waiting(rng: np.random.Generator, service_rate: float, limit_ms: float, noise: float) -> Answer:
    """A queue with one server: the p99 of the time in it is ln 100 / (service rate − rate). As measured, give or take
    `noise`; less so when held longer."""

    def answer(hold: Hold) -> bool:
        if hold.rate >= service_rate:
            return False
        p99_ms = 1e3 * math.log(100) / (service_rate - hold.rate)
        return p99_ms * math.exp(rng.normal(0, noise / math.sqrt(hold.hold_s / 20))) < limit_ms

    return answer


@settings(max_examples=60, deadline=None)
@given(st.floats(50, 5_000), st.floats(0, 0.3), st.floats(0.3, 0.95), st.integers(0, 2**32))
def test_the_capacity_of_a_noisy_queue(service_rate: float, noise: float, part: float, seed: int) -> None:
    """`part`: at which utilisation the objective breaks. What is found is as exact as the noise lets it be."""
    limit_ms = 1e3 * math.log(100) / (service_rate * (1 - part))
    capacity = service_rate * part
    rng = np.random.default_rng(seed)
    found, holds = search(spec(start=service_rate / 50), waiting(rng, service_rate, limit_ms, noise))
    assert found.high is not None
    assert found.low > 0
    assert found.high <= found.low * 1.1001

    # Rates at which the noise (five standard deviations of it) could turn the answer around.
    def rate_at(factor: float) -> float:
        return service_rate - (service_rate - capacity) * factor

    assert found.low <= max(rate_at(math.exp(-5 * noise)), capacity)
    assert found.high >= max(rate_at(math.exp(5 * noise)), service_rate / 50 / 64) * (1 - 1e-9)
    assert len(holds) <= 60


def test_it_is_right_on_average() -> None:
    rng = np.random.default_rng(9)
    limit_ms = 1e3 * math.log(100) / 200
    middles = []
    for _ in range(60):
        found, _ = search(spec(start=float(rng.uniform(5, 20))), waiting(rng, 1_000, limit_ms, 0.1))
        assert found.high is not None
        middles.append(math.sqrt(found.low * found.high))
    assert np.mean(middles) == pytest.approx(800, rel=0.03)
    assert 700 < min(middles) < max(middles) < 900


def test_the_capacity_of_a_queue_measured_by_its_requests() -> None:
    """Each hold is a simulated queue, request by request, judged as a run would be: 5 ms a request, p99 < 100 ms. That
    is known to break at 200 − ln 100 / 0.1 = 154 requests/s."""
    rng = np.random.default_rng(12)
    objective = parse(ThresholdSpec(expect="p(99) < 100ms"))
    middles = []

    def answer(hold: Hold) -> bool | None:
        _, ms = queue(rng, round(hold.rate * hold.hold_s), load=hold.rate / 200)
        figures = Figures(latency=Counts.of_values(np.round(ms, 3)), sent=ms.size, seconds=hold.hold_s)
        return judge(objective, figures).met

    for _ in range(12):
        found, holds = search(spec(start=float(rng.uniform(8, 20)), hold_s=60), answer)
        assert found.high is not None
        assert 110 < found.low < 175
        assert len(holds) < 30
        middles.append(math.sqrt(found.low * found.high))
    assert np.mean(middles) == pytest.approx(154, rel=0.07)


@settings(max_examples=300)
@given(st.lists(st.sampled_from([True, False, None]), max_size=150), st.floats(0.01, 1), st.floats(10, 50_000))
def test_it_ends_whatever_it_sees(answers: list[bool | None], precision: float, most: float) -> None:
    rest = iter(answers)
    found, holds = search(spec(most=most, precision=precision), lambda _: next(rest, None))
    assert found.high is None or found.low < found.high
    assert all(0 < hold.rate <= most for hold in holds)
    assert found.steps[0].rate == 10


def test_one_hold_that_breaks_is_not_believed() -> None:
    """A pause of the machine breaks the third hold; its rate holds when it is held again, twice."""
    seen: list[float] = []

    def answer(hold: Hold) -> bool:
        seen.append(hold.rate)
        return len(seen) != 3 and hold.rate <= 100

    found, holds = search(spec(), answer)
    assert [h.rate for h in holds[:6]] == [10, 20, 40, 40, 40, 80]
    assert [h.why for h in holds[2:5]] == ["new", "to confirm", "longer"]
    assert holds[4].hold_s == 3 * holds[3].hold_s
    assert found.high is not None
    assert found.low <= 100 < found.high


def test_what_is_told_as_the_capacity_has_held_twice() -> None:
    """Between 80 and 160 one hold is good by chance; when it is confirmed it breaks, and the search goes on below."""
    lucky = [True]

    def answer(hold: Hold) -> bool:
        if hold.rate > 85:
            return lucky.pop() if lucky and hold.rate < 120 else False
        return True

    found, _ = search(spec(), answer)
    assert found.high is not None
    assert found.low <= 85 < found.high
    held = [s for s in found.steps if s.rate == found.low]
    assert [s.held for s in held] == [True, True]
    assert f"held at {found.low:.4g}/s (2 of 2 holds)" in found.detail
    assert "broke at" in found.detail


def test_a_hold_without_enough_data_is_held_again_longer_once() -> None:
    found, holds = search(spec(), lambda h: None if h.rate * h.hold_s < 1_500 else h.rate <= 300)
    assert [(h.rate, h.hold_s) for h in holds[:5]] == [(10, 20), (10, 60), (20, 20), (20, 60), (40, 20)]
    assert found.high is not None
    assert 270 < found.low <= 300 < found.high


def test_where_it_could_not_be_told_it_says_so() -> None:
    found, _ = search(spec(), lambda hold: None if hold.rate < 100 else False)
    assert found.low == 0
    assert found.high is not None
    assert "not enough data at" in found.detail
    nothing, holds = search(spec(most=40), lambda _: None)
    assert (nothing.low, nothing.high, len(holds)) == (0, None, 6)
    assert "cannot be told" in nothing.detail


def test_a_start_that_breaks_is_followed_downwards() -> None:
    found, _ = search(spec(start=640), lambda hold: hold.rate <= 100)
    assert found.high is not None
    assert found.low <= 100 < found.high <= found.low * 1.1001
    hopeless, holds = search(spec(start=640), lambda _: False)
    assert (hopeless.low, hopeless.high) == (0, 10)
    assert "does not even hold at a small part" in hopeless.detail
    assert len(holds) == 14


def test_the_most_that_was_asked_for() -> None:
    found, holds = search(spec(most=100), lambda _: True)
    assert (found.low, found.high) == (100, None)
    assert [h.rate for h in holds] == [10, 20, 40, 80, 100, 100]
    assert "capacity is at least 100/s" in found.detail
    assert "did not break" in found.detail


@pytest.mark.parametrize("late", [True, False])
def test_the_limit_of_the_generator_ends_it(*, late: bool) -> None:
    it = Search(spec())
    rates = []
    while (rate := it.next()) is not None:
        rates.append(rate)
        beyond = rate > 100
        sent = 130.0 if beyond and not late else rate
        it.observe(step(rate, held=True, achieved=sent), sent_rate=sent, late=beyond and late)
    found = it.result()
    assert rates == [10, 20, 40, 80, 160, 160], "it is seen twice before it is believed"
    assert (found.low, found.high) == (160 if late else 130, None)
    assert f"capacity is at least {found.low:g}/s" in found.detail
    assert "the limit of the generator, not of the target" in found.detail
    assert "the generator" in found.steps[-1].detail


def test_a_generator_that_is_late_proves_no_break() -> None:
    it = Search(spec())
    while (rate := it.next()) is not None:
        it.observe(step(rate, held=rate <= 100), sent_rate=rate, late=rate > 100)
    found = it.result()
    assert (found.low, found.high) == (80, None)


def test_poissons_chance_is_no_limit() -> None:
    """200 arrivals are as well 160 by chance; 20,000 are not 19,000."""
    rng = np.random.default_rng(13)
    for _ in range(40):
        it = Search(spec(most=1_000))
        while (rate := it.next()) is not None:
            assert it.hold is not None
            sent = rng.poisson(rate * it.hold.hold_s) / it.hold.hold_s
            it.observe(step(rate, held=True, achieved=sent), sent_rate=sent)
        assert it.result().low == 1_000
    few = Search(spec(start=1_000, most=1_000))
    while (rate := few.next()) is not None:
        few.observe(step(rate, held=True, achieved=940), sent_rate=940)
    assert few.result().low == 940


def test_a_generator_that_was_late_once_goes_on() -> None:
    it, seen = Search(spec()), 0
    while (rate := it.next()) is not None:
        seen += 1
        it.observe(step(rate, held=rate <= 100), sent_rate=rate, late=seen == 3)
    found = it.result()
    assert found.high is not None
    assert found.low <= 100 < found.high


def test_the_first_part_of_a_hold_is_left_out_and_more_of_it_after_an_overload() -> None:
    _, holds = search(spec(hold_s=20), lambda hold: hold.rate <= 25)
    assert [h.settle_s for h in holds[:4]] == [5, 5, 5, 15]
    assert holds[0].total_s == 25


def test_only_what_was_asked_for_is_observed() -> None:
    it = Search(spec())
    with pytest.raises(ValueError, match="no hold of 10/s was asked for"):
        it.observe(step(10, held=True))
    it.next()
    with pytest.raises(ValueError, match="no hold of 11/s was asked for"):
        it.observe(step(11, held=True))


def test_the_result_has_the_law_and_the_services() -> None:
    it = Search(spec())
    while (rate := it.next()) is not None:
        # One at a time takes 10 ms, and a tenth of it cannot be done side by side.
        n = rate * 0.01 * 0.9 / (1 - rate * 0.01 * 0.1) if rate < 900 else 100.0
        achieved = 100 * n / (1 + 0.1 * (n - 1))
        it.observe(
            CapacityStep(
                rate=rate, achieved=achieved, held=rate <= 500, p50_ms=1, p99_ms=2, error_rate=0, concurrency=n
            )
        )
    found = it.result([("cart", 4.0)])
    assert found.saturated == (("cart", 4.0),)
    assert found.usl is not None
    assert (found.usl.lambda_, found.usl.sigma) == (pytest.approx(100, rel=1e-3), pytest.approx(0.1, rel=1e-3))


def test_a_result_may_be_asked_for_at_any_time() -> None:
    it = Search(spec())
    assert it.result().detail == "the search was not finished"
    it.next()
    it.observe(step(10, held=True))
    assert it.result().low == 10
    assert it.result().detail.endswith("the search was not finished")
