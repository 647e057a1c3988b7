"""The grammar of thresholds: what it reads, and how precisely it says what is wrong."""

from __future__ import annotations

from contextlib import suppress

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.workspace.demands import EXAMPLES, Comparison, Demand, parse_demand
from tracer_bullet.workspace.thresholds import BaselineSpec, CapacitySpec, ThresholdSpec


@pytest.mark.parametrize(
    ("text", "metric", "percentile", "comparison", "limit", "unit"),
    [
        ("p(99) < 300ms", "percentile", 99, "<", 300, "ms"),
        ("p(99.9)<=1.5s", "percentile", 99.9, "<=", 1_500, "ms"),
        ("p99 < 300 ms", "percentile", 99, "<", 300, "ms"),
        ("p99.99 ≤ 2 s", "percentile", 99.99, "<=", 2_000, "ms"),
        ("p( 50 ) > 1 ms", "percentile", 50, ">", 1, "ms"),
        ("med < 250us", "percentile", 50, "<", 0.25, "ms"),
        ("avg <= 0.2s", "avg", None, "<=", 200, "ms"),
        ("mean < 1 min", "avg", None, "<", 60_000, "ms"),
        ("Max < 2s", "max", None, "<", 2_000, "ms"),
        ("min>=1ms", "min", None, ">=", 1, "ms"),
        ("error_rate < 0.1%", "error_rate", None, "<", 0.001, "share"),
        ("error_rate < 0.001", "error_rate", None, "<", 0.001, "share"),
        ("error_rate <= 0", "error_rate", None, "<=", 0, "share"),
        ("rate > 100/s", "rate", None, ">", 100, "/s"),
        ("rate ≥ 90/min", "rate", None, ">=", 1.5, "/s"),
        ("iteration_rate > 10/s", "iteration_rate", None, ">", 10, "/s"),
        ("iterations/s > 10/s", "iteration_rate", None, ">", 10, "/s"),
        ("iterations > 500", "iterations", None, ">", 500, ""),
        ("count > 1000", "count", None, ">", 1_000, ""),
        ("errors == 0", "errors", None, "==", 0, ""),
    ],
)
def test_what_it_reads(
    text: str, metric: str, percentile: float | None, comparison: Comparison, limit: float, unit: str
) -> None:
    demand = parse_demand(text)
    assert (demand.text, demand.metric, demand.percentile, demand.comparison) == (text, metric, percentile, comparison)
    assert demand.limit == pytest.approx(limit)
    assert demand.unit == unit


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the demand is empty; write one as 'p(99) < 300ms'"),
        ("p(99) < 300", "a unit of time (us, ms, s, min, h, d or w) is needed at the end"),
        ("p(99) < 300 sm", "a unit of time (us, ms, s, min, h, d or w) is needed at character 13, not 'sm'"),
        ("p(99) < 300 MS", "a unit of time is needed at character 13, not 'MS'; did you mean 'ms'?"),
        ("p(99 < 300ms", "`)` is needed at character 6, not '<'"),
        ("p(x) < 300ms", "a percentile as `99` or `99.9` is needed at character 3, not 'x'"),
        ("p(999) < 3s", "a percentile lies between p0 and p100; did you mean 'p99.9'?"),
        ("p(100) < 3s", "a percentile lies between p0 and p100"),
        ("p0 < 3s", "0 % asks for nothing"),
        ("p(99) = 300ms", "`<`, `<=`, `>` or `>=` is needed at character 7, not '='"),
        ("p(99) == 300ms", "since nothing measured is ever exactly equal"),
        ("p(99) < 300ms and p(50) < 1s", "the end (each demand is an entry of its own) is needed at character 15"),
        ("eror_rate < 1%", "'eror_rate' begins no demand; did you mean 'error_rate'? Known are p(99), p99, med, avg"),
        ("http_req_duration < 1s", "did you mean 'p(99)'?"),
        ("http_req_failed < 1%", "did you mean 'error_rate'?"),
        ("checks > 99%", "An answer that is not what its step expects is an error"),
        ("error_rate < 5", "a share is at most 1, or 100%; did you mean '5%'?"),
        ("error_rate < 0%", "nothing is below 0; did you mean '<= 0'?"),
        ("error_rate > 100%", "no share is that"),
        ("error_rate <= 1", "every share is that"),
        ("rate > 100", "`/` is needed at the end"),
        ("rate > 100/fortnight", "s, min or h is needed at character 12"),
        ("count > many", "a number is needed at character 9, not 'many'"),
        ("count < -1", "a number is needed at character 9, not '-'"),
        ("iterations/min > 3", "`s` is needed at character 12, not 'min'"),
        ("max < 0 ms", "a duration must be longer than 0"),
    ],
)
def test_what_is_wrong_and_where(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_demand(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_right(example: str) -> None:
    assert parse_demand(example).text == example


@given(st.text(alphabet="p(9)0.<>=≤ msratecounti%/_x", max_size=24))
def test_nothing_but_a_value_error_comes_of_any_text(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_demand(text), Demand)


@given(st.floats(0.001, 99.999), st.sampled_from(["<", "<=", ">", ">="]), st.integers(1, 10**6))
def test_both_spellings_are_one(percentile: float, sign: str, limit_ms: int) -> None:
    short, long = (parse_demand(f"{p} {sign} {limit_ms}ms") for p in (f"p{percentile:f}", f"p({percentile:f})"))
    assert (short.percentile, short.limit, short.comparison) == (long.percentile, long.limit, long.comparison)
    assert short.percentile == pytest.approx(percentile, abs=1e-6)
    assert short.limit == limit_ms


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [("<", True, False, False), ("<=", True, True, False), (">", False, False, True), (">=", False, True, True),
     ("==", False, True, False)],
)  # fmt: skip
def test_what_holds(comparison: str, *, below: bool, at: bool, above: bool) -> None:
    demand = parse_demand(f"count {comparison} 10")
    assert [demand.holds(v) for v in (9, 10, 11)] == [below, at, above]


# In a scenario file.


def test_a_threshold_may_be_a_text_alone() -> None:
    assert ThresholdSpec.model_validate("p(99) < 300ms") == ThresholdSpec(expect="p(99) < 300ms")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("p(99) < 300", "a unit of time"),
        ({"expect": "max < 1s", "service": "cart", "scenario": "shop"}, "a service's spans are those of all scenarios"),
        ({"expect": "max < 1s", "service": "cart", "step": "pay"}, "a service's spans are those of all scenarios"),
        ({"expect": "max < 1s", "service": "cart", "abort": True}, "is read from the traces when the run has ended"),
        ({"expect": "iterations > 5", "step": "pay"}, "an iteration is of a scenario"),
        ({"expect": "iteration_rate > 5/s", "service": "cart"}, "an iteration is of a scenario"),
        ({"expect": "max < 1s", "after": "5s"}, "belongs to `abort: true`"),
    ],
)
def test_what_a_scenario_file_may_not_say(value: object, says: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ThresholdSpec.model_validate(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("model", "value", "says"),
    [
        (CapacitySpec, {"start": "100/s", "max": "50/s"}, "is above `max` (50/s)"),
        (CapacitySpec, {"precision": "0 %"}, "greater than or equal to 0.01"),
        (CapacitySpec, {"hold": "0s"}, "greater than 0"),
        (CapacitySpec, {"objective": ["p(99) < 300"]}, "a unit of time"),
        (BaselineSpec, {"confidence": 1}, "less than or equal to 0.9999"),
        (BaselineSpec, {"metrics": ["p98"]}, "Input should be 'p50', 'p90', 'p95', 'p99' or 'error_rate'"),
    ],
)
def test_what_else_it_may_not_say(model: type[pydantic.BaseModel], value: object, says: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        model.model_validate(value)
    assert says in str(caught.value)


def test_abort_has_its_time() -> None:
    spec = ThresholdSpec.model_validate({"expect": "max < 1s", "abort": True, "after": "5s", "step": "pay"})
    assert (spec.abort, spec.after_s) == (True, 5.0)
