"""Drift: no change raises no alarm, a change is found, and few traces say that they are few."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.unit.graph.drift.samples import calls, edges, side
from tracer_bullet.graph.drift import DriftRules, Side, changes_of, compare
from tracer_bullet.graph.drift.side import Calls
from tracer_bullet.model import Change, Drift
from tracer_bullet.model.codec import decode, encode


def shop(rng: np.random.Generator, operations: int, size: int, *, slower: float = 1.0) -> dict[str, Calls]:
    """Operations of different speeds; those of even number are slower by the factor."""
    return {
        f"op{i:02}": calls(rng.lognormal(2 + i / 20, 0.5, size) * (slower if i % 2 == 0 else 1.0))
        for i in range(operations)
    }


def test_without_a_change_there_are_few_false_alarms() -> None:
    """60 comparisons of 20 operations at three quantiles: in at most 5 % of them one alarm or more; 10 % allowed."""
    rng = np.random.default_rng(1)
    strict = DriftRules(least_share=0.0, least_ms=0.0)
    alarms = significant = 0
    for _ in range(60):
        before, after = side("a", shop(rng, 20, 600)), side("b", shop(rng, 20, 600))
        alarms += bool(compare(before, after).regressed)
        significant += bool(compare(before, after, strict).regressed)
    assert significant <= 6, "the false discovery rate alone holds, without any least effect"
    assert alarms <= significant


def test_calls_of_one_trace_are_alike_and_raise_no_alarm_by_their_number() -> None:
    """A factor a trace, 20 calls each: taken for independent calls, most comparisons would be alarms."""
    rng = np.random.default_rng(2)

    def clustered(*, honest: bool) -> Calls:
        factors = np.repeat(rng.lognormal(0, 0.6, 150), 20)
        return calls(20 * factors * rng.lognormal(0, 0.1, 3_000), traces=150 if honest else 3_000)

    rules = DriftRules(least_share=0.0, least_ms=0.0)
    honest, naive = (
        sum(
            bool(compare(side("a", {"x": clustered(honest=h)}), side("b", {"x": clustered(honest=h)}), rules).regressed)
            for _ in range(60)
        )
        for h in (True, False)
    )
    assert honest <= 6
    assert naive >= 15, "the simulation shows what the correction is for"


def test_a_fifth_slower_is_found_and_only_where_it_is() -> None:
    rng = np.random.default_rng(3)
    drift = compare(side("a", shop(rng, 20, 3_000)), side("b", shop(rng, 20, 3_000, slower=1.2)))
    found = {row.operation for row in drift.latencies if row.change is Change.SLOWER and row.quantile == 0.5}
    assert found == {f"op{i:02}" for i in range(0, 20, 2)}
    even = next(row for row in drift.latencies if row.operation == "op10" and row.quantile == 0.5)
    assert even.low_ms < 0.2 * even.before_ms < even.high_ms
    assert even.effect == pytest.approx(0.2, abs=0.06)
    assert even.magnitude == "small"
    assert len(drift.regressed) == 10
    assert "op18 is slower: p50 " in drift.regressed[0], "what costs most in all comes first"


def test_faster_is_a_change_and_no_regression() -> None:
    rng = np.random.default_rng(4)
    drift = compare(side("a", shop(rng, 2, 3_000)), side("b", shop(rng, 2, 3_000, slower=0.7)))
    assert drift.latencies[0].change is Change.FASTER
    assert drift.regressed == ()
    wanted = compare(
        side("a", shop(rng, 2, 3_000)),
        side("b", shop(rng, 2, 3_000, slower=0.7)),
        DriftRules(fail_on=changes_of(["faster"])),
    )
    assert "op00 is faster" in wanted.regressed[0]


def test_significant_but_small_is_no_change() -> None:
    """3 % of 100,000 calls is certain, and nobody's problem."""
    rng = np.random.default_rng(5)
    old, new = ({"x": calls(rng.lognormal(4, 0.3, 100_000) * f, traces=100_000)} for f in (1.0, 1.03))
    p50 = next(r for r in compare(side("a", old), side("b", new)).latencies if r.quantile == 0.5)
    assert p50.low_ms > 0
    assert p50.change is Change.SAME
    found = compare(side("a", old), side("b", new), DriftRules(least_share=0.02))
    assert found.latencies[0].change is Change.SLOWER


@pytest.mark.parametrize("size", [1, 5, 20, 71])
def test_few_calls_are_told_as_such(size: int) -> None:
    """Neither a change nor "the same" can be said."""
    rng = np.random.default_rng(size)
    drift = compare(
        side("a", {"x": calls(rng.lognormal(3, 0.5, size))}), side("b", {"x": calls(rng.lognormal(3, 0.5, size))})
    )
    assert {r.change for r in drift.latencies if r.quantile > 0.5} == {Change.UNKNOWN}
    assert drift.errors[0].change is Change.UNKNOWN
    assert drift.unknown == 4
    assert (drift.judged, drift.regressed) == (0, ())


def test_many_equal_calls_are_told_as_the_same() -> None:
    rng = np.random.default_rng(6)
    drift = compare(side("a", shop(rng, 1, 20_000)), side("b", shop(rng, 1, 20_000)))
    assert [r.change for r in drift.latencies] == [Change.SAME] * 3
    assert drift.errors[0].change is Change.SAME
    assert (drift.unknown, drift.judged) == (0, 4)


def test_more_errors_are_found_and_fewer_are_no_regression() -> None:
    rng = np.random.default_rng(7)
    quiet, loud = ({"x": calls(rng.lognormal(3, 0.5, 2_000), errors=n)} for n in (10, 60))
    drift = compare(side("a", quiet), side("b", loud))
    assert (drift.errors[0].change, drift.errors[0].before, drift.errors[0].after) == (Change.MORE_ERRORS, 0.005, 0.03)
    assert drift.errors[0].low < 0.025 < drift.errors[0].high
    assert "shop x has more errors: 0.50% → 3.00%" in drift.regressed[0]
    back = compare(side("a", loud), side("b", quiet))
    assert (back.errors[0].change, back.regressed) == (Change.FEWER_ERRORS, ())


def test_an_edge_that_would_hardly_be_missed_went_and_a_rare_one_may_be_chance() -> None:
    """An edge in 200 of 1,000 traces cannot hide from 500; one in 2 of 1,000 can."""
    used = {
        ("service:a", "service:b"): (600, 200),
        ("service:a", "service:c"): (2, 2),
        ("service:a", "store:d"): (900, 900),
    }
    before = edges("before", used, traces=1_000, **{"service:a": 5_000})
    after = edges("after", {("service:a", "store:d"): (450, 450)}, traces=500, **{"service:a": 2_500})
    drift = compare(before, after, DriftRules(fail_on=changes_of(["went"])))
    went, unsure = drift.edges
    assert (went.target, went.change, went.expected) == ("service:b", Change.WENT, 300.0)
    assert went.p_value < 1e-30
    assert (unsure.target, unsure.change, unsure.expected) == ("service:c", Change.UNKNOWN, 1.0)
    assert unsure.p_value > 0.4
    assert len(drift.regressed) == 1
    came = compare(after, before)
    assert [e.change for e in came.edges] == [Change.CAME, Change.UNKNOWN]
    assert came.regressed == ()


def test_the_more_edges_are_looked_at_the_more_a_missing_one_must_prove() -> None:
    """Five of 1,000 traces: 3 % by chance if it is the only edge, and nothing strange among ten."""
    for others, change in ((0, Change.WENT), (9, Change.UNKNOWN)):
        kept = {("service:a", f"service:{i}"): (900, 900) for i in range(others)}
        before = edges("before", {("service:a", "service:gone"): (5, 5), **kept}, traces=1_000)
        (edge,) = compare(before, edges("after", kept, traces=1_000)).edges
        assert edge.change is change
        assert edge.p_value == pytest.approx(0.5**5 * (others + 1), rel=0.02)


def test_many_calls_in_one_trace_are_one_witness() -> None:
    """600 calls in a single trace of 1,000 prove nothing when they are gone."""
    before = edges("before", {("service:a", "service:b"): (600, 1)}, traces=1_000)
    (edge,) = compare(before, edges("after", {}, traces=1_000)).edges
    assert (edge.change, edge.p_value) == (Change.UNKNOWN, pytest.approx(0.5))


def test_a_caller_that_was_hardly_called_is_no_witness_either() -> None:
    """The edge is missing because its caller got 2 calls, not because it went."""
    before = edges("before", {("service:a", "service:b"): (50, 50)}, traces=1_000, **{"service:a": 100})
    after = edges("after", {}, traces=1_000, **{"service:a": 2})
    (edge,) = compare(before, after).edges
    assert (edge.change, edge.expected) == (Change.UNKNOWN, 1.0)
    gone = edges("after", {}, traces=1_000, **{"service:x": 2})
    (edge,) = compare(before, gone).edges
    assert edge.change is Change.WENT
    assert "service:a is not in after at all" in edge.message


def test_the_same_input_gives_the_same_bytes_and_reads_back() -> None:
    rng = np.random.default_rng(8)
    before, after = side("a", shop(rng, 5, 500)), side("b", shop(rng, 5, 500, slower=1.5))
    backwards = Side(name="b", traces=1_000, operations=dict(reversed(after.operations.items())))
    drift = compare(before, after)
    assert json.dumps(encode(drift)) == json.dumps(encode(compare(before, backwards)))
    assert decode(Drift, json.loads(json.dumps(encode(drift), allow_nan=False))) == drift


def test_nothing_against_nothing() -> None:
    drift = compare(Side(name="a"), Side(name="b"))
    assert (drift.judged, drift.unknown, drift.regressed) == (0, 0, ())


def test_changes_by_name() -> None:
    assert changes_of(["slower", "went"]) == {Change.SLOWER, Change.WENT}
    with pytest.raises(ValueError, match="slwer"):
        changes_of(["slwer"])
