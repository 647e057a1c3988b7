"""Which steps a threshold is about, and when a run is ended for one."""

from __future__ import annotations

import numpy as np
import pytest

from tracer_bullet.errors import UsageError
from tracer_bullet.load.confidence import Counts
from tracer_bullet.load.thresholds import AbortWatch, Figures, Threshold, numbers_of, parse, parse_all
from tracer_bullet.model.load import StepKey
from tracer_bullet.workspace.thresholds import ThresholdSpec


def step(scenario: str, name: str) -> StepKey:
    return StepKey(scenario=scenario, step=name, method="GET", path="/", index=0, of=2)


STEPS = (step("buy", "login"), step("buy", "pay"), step("look", "login"), step("look", "search"))


@pytest.mark.parametrize(
    ("where", "numbers", "scope"),
    [
        ({}, (0, 1, 2, 3), "all"),
        ({"scenario": "buy"}, (0, 1), "scenario buy"),
        ({"step": "search"}, (3,), "step search"),
        ({"scenario": "look", "step": "login"}, (2,), "step look / login"),
        ({"service": "cart"}, (), "service cart"),
    ],
)
def test_what_it_is_about(where: dict[str, str], numbers: tuple[int, ...], scope: str) -> None:
    threshold = parse(ThresholdSpec(expect="max < 1s", **where))
    assert numbers_of(threshold, STEPS) == numbers
    assert threshold.scope == scope


@pytest.mark.parametrize(
    ("where", "what", "cure"),
    [
        ({"scenario": "buyy"}, "on a scenario that this run does not have: 'buyy'", "did you mean 'buy'?"),
        ({"step": "serch"}, "on a step that this run does not have: 'serch'", "did you mean 'search'?"),
        ({"scenario": "buy", "step": "search"}, "on a step that this run does not have: 'search'", "name a step"),
        ({"step": "login"}, "on a step that several scenarios have: 'login'", "say of which, as `scenario: buy`"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_sent(where: dict[str, str], what: str, cure: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_all([ThresholdSpec(expect="max < 1s"), ThresholdSpec(expect="p(99) < 1s", **where)], STEPS)
    assert caught.value.code == "TB1030"
    assert "'p(99) < 1s'" in caught.value.what
    assert what in caught.value.what
    assert cure in caught.value.cure


def test_a_mistake_is_told_with_its_place() -> None:
    with pytest.raises(UsageError) as caught:
        numbers_of(parse(ThresholdSpec(expect="p(99) < 1s", step="serch")), STEPS, where="a.yaml:7")
    assert caught.value.where == "a.yaml:7"


# Abort.


def watch(figures: Figures | None, *specs: ThresholdSpec) -> AbortWatch:
    return AbortWatch([parse(s) for s in specs], lambda _: figures)


def aborting(text: str, after: str = "10s") -> ThresholdSpec:
    return ThresholdSpec.model_validate({"expect": text, "abort": True, "after": after})


def slow(n: int, share: float, seconds: float = 20.0) -> Figures:
    """So many requests, of which a share took 900 ms and the others 10."""
    late = round(n * share)
    return Figures(latency=Counts.of_values([10.0] * (n - late) + [900.0] * late), sent=n, failed=late, seconds=seconds)


def test_it_stops_for_what_is_broken_for_certain_after_its_time() -> None:
    it = watch(slow(2_000, 0.1), ThresholdSpec(expect="max < 1us"), aborting("p(99) < 300ms"))
    assert it.look(9.9) is None
    found = it.look(11.0)
    assert found is not None
    assert (found.expect, found.value, found.met, found.aborted) == ("p(99) < 300ms", 900.0, False, True)


def test_what_would_fail_at_the_end_by_its_figure_alone_does_not_stop_it() -> None:
    """1.2 % of 2,000 are slow: the p99 is 900 ms, and yet it may be chance."""
    figures = slow(2_000, 0.012)
    assert watch(figures, aborting("p(99) < 300ms")).look(60) is None
    assert watch(slow(20_000, 0.015), aborting("p(99) < 300ms")).look(60) is not None


def test_few_requests_do_not_stop_it() -> None:
    assert watch(slow(20, 0.1), aborting("p(99) < 300ms")).look(60) is None
    assert watch(slow(20, 0.05), aborting("error_rate < 1%")).look(60) is None
    assert watch(slow(20, 0.5), aborting("error_rate < 1%")).look(60) is not None
    assert watch(None, aborting("error_rate < 1%")).look(60) is None
    assert watch(Figures(), aborting("error_rate < 1%")).look(60) is None


def test_counts_and_rates_stop_it_when_they_are_broken() -> None:
    figures = slow(1_000, 0.1, seconds=20.0)
    for text, stops in (
        ("errors < 100", True),
        ("errors < 101", False),
        ("count > 5000", False),
        ("rate > 60/s", True),
        ("rate > 40/s", False),
        ("max < 800ms", True),
    ):
        assert (watch(figures, aborting(text)).look(60) is not None) is stops, text


def test_it_looks_once_a_second() -> None:
    asked: list[Threshold] = []

    def figures(threshold: Threshold) -> Figures:
        asked.append(threshold)
        return slow(100, 0.0)

    it = AbortWatch([parse(aborting("p(99) < 300ms", after="0s"))], figures)
    for n in range(101):
        it.look(n / 10)
    assert len(asked) == 11


def test_steady_traffic_at_its_limit_is_seldom_stopped_by_chance() -> None:
    """One request in a hundred is slow, and p99 is what is asked for: sixty looks at each of 150 runs."""
    rng = np.random.default_rng(4)
    stopped = 0
    for _ in range(150):
        late = rng.random(6_000) < 0.01
        for second in range(1, 61):
            n = 100 * second
            bad = int(late[:n].sum())
            latency = Counts.of(np.asarray([n - bad, bad]), np.asarray([10.0, 900.0]))
            found = watch(Figures(latency=latency, sent=n, seconds=second), aborting("p(99) < 300ms", after="0s"))
            if found.look(float(second)) is not None:
                stopped += 1
                break
    assert stopped <= 6
