"""Claim: a query's values are held to their bounds, series by series, and no value is never a good one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.prometheus import PrometheusServer, PrometheusUnavailableError
from tests.unit.runs.load.guardrails.targets import Target
from tracer_bullet.runs.load.guardrails.patience import Look, Sight
from tracer_bullet.runs.load.guardrails.prometheus import (
    NoValueError,
    judge_samples,
    prometheus_guardrail,
    read_samples,
)
from tracer_bullet.workspace.safety import PrometheusSpec

VALUES = st.floats(allow_nan=True, allow_infinity=True)


def spec(**more: Any) -> PrometheusSpec:
    return PrometheusSpec.model_validate({"url": "http://p:9090", "query": "q", "below": 1, **more})


@given(st.lists(VALUES, min_size=1, max_size=6), st.floats(-5, 5), st.floats(0.1, 5))
def test_one_series_out_of_bounds_is_enough(values: list[float], above: float, width: float) -> None:
    found = judge_samples(spec(above=above, below=above + width), [(f"s{n}", v) for n, v in enumerate(values)])
    out = [v for v in values if not math.isnan(v) and not above < v < above + width]
    if out:
        assert found.sight is Sight.BAD
    else:
        assert found.sight is (Sight.UNKNOWN if any(map(math.isnan, values)) else Sight.WELL)


@pytest.mark.parametrize(("value", "sight"), [("1", Sight.BAD), ("0.999", Sight.WELL), ("+Inf", Sight.BAD)])
def test_the_bound_itself_is_out(value: str, sight: Sight) -> None:
    body = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, value]}}
    assert judge_samples(spec(), read_samples(200, json.dumps(body).encode())).sight is sight


def test_the_worst_series_is_named() -> None:
    samples = [('{service="a"}', 1.5), ('{service="b"}', 4.0), ('{service="c"}', math.nan)]
    assert judge_samples(spec(), samples).text == '4 at {service="b"}'
    assert judge_samples(spec(), [samples[2], ("x", 0.5)]).text == 'NaN at {service="c"}'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, "bad_data: parse error"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "the query finds no series"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "the query gives a matrix"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}, "the query gives a string"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}},
         "the query gives native histograms"),
        ({"status": "success", "warnings": ["store is away"],
          "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0"]}]}}, "store is away"),
        ({"hello": "world"}, "it answered 200, and not as Prometheus does"),
    ],
)  # fmt: skip
def test_no_value(body: object, text: str) -> None:
    with pytest.raises(NoValueError, match=text):
        read_samples(200, json.dumps(body).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "data", "resultType", "result", "metric", "value"]), inner)
    ),
    max_leaves=12,
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30))
def test_whatever_comes_is_samples_or_no_value(body: bytes) -> None:
    with contextlib.suppress(NoValueError):
        assert read_samples(200, body)


@pytest.fixture(scope="module")
def shop() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture(scope="module")
def prometheus(shop: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    shop.says.body = b'p99{service="a"} 0.2\np99{service="b"} 0.3\nidle NaN\n'
    try:
        server = PrometheusServer(folder, scrapes=shop.url.removeprefix("http://"))
    except PrometheusUnavailableError as error:
        pytest.skip(str(error))
    with server:
        server.wait_for('p99{service="b"}', "0.3")
        yield server


def ask(url: str, **more: Any) -> Look:
    async def main() -> Look:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await prometheus_guardrail(spec(url=url, **more), client, {}).look()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "sight", "text"),
    [
        ({"query": "p99", "below": 0.31}, Sight.WELL, "0.3 at p99{"),
        ({"query": "p99", "below": 0.25}, Sight.BAD, 'service="b"'),
        ({"query": "p99", "below": None, "above": 0.25}, Sight.BAD, 'service="a"'),
        ({"query": "sum(p99)", "below": 0.6}, Sight.WELL, "0.5"),
        ({"query": "scalar(sum(p99))", "below": 0.4}, Sight.BAD, "0.5"),
        ({"query": "idle"}, Sight.UNKNOWN, "NaN at idle{"),
        ({"query": "idle >= 0"}, Sight.UNKNOWN, "the query finds no series"),
        ({"query": "p99[1m]"}, Sight.UNKNOWN, "the query gives a matrix"),
        ({"query": "p99{"}, Sight.UNKNOWN, "bad_data: "),
        ({"query": "vector(1) / 0"}, Sight.BAD, "inf"),
    ],
)
def test_a_real_prometheus(prometheus: PrometheusServer, more: dict[str, Any], sight: Sight, text: str) -> None:
    look = ask(prometheus.url, **more)
    assert look.sight is sight, look
    assert text in look.text


def test_what_is_no_prometheus(target: Target) -> None:
    assert ask(target.url).text == "it answered 200, and not as Prometheus does"
    target.says.held.set()
    assert ask(target.url, timeout="100ms").text == "no answer within 100 ms"
    assert ask("http://127.0.0.1:1").sight is Sight.UNKNOWN
