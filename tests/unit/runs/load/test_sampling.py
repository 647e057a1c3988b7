"""Claim: what is said of services says of which traces, and the percentiles are those of the spans that were kept."""

from __future__ import annotations

import random
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model import Analysis, ServiceLatency
from tracer_bullet.model.distribution import Distribution
from tracer_bullet.model.load import ServiceResult
from tracer_bullet.runs.load.sampling import sampling_words, service_results
from tracer_bullet.traces.ids import in_share, trace_halves

ROOT = Path(__file__).parents[4]
MS = 1_000_000


def latency(service: str, durations_ms: list[int], errors: int = 0) -> ServiceLatency:
    spans = Distribution.of(ms * MS for ms in durations_ms)
    return ServiceLatency(
        service=service, calls=len(durations_ms), errors=errors, rate_per_s=1.0, durations=spans, own=Distribution()
    )


def test_percentiles_are_those_of_the_spans() -> None:
    durations = list(range(1, 1001))
    random.Random(1).shuffle(durations)
    services = (latency("shop", durations, 7), latency("tracer-bullet", [1]), latency("idle", []))
    (result,) = service_results(Analysis(start_ns=0, end_ns=1, traces=1, spans=1, services=services), 0.1)
    assert (result.service, result.spans, result.errors, result.share) == ("shop", 1000, 7, 0.1)
    for found, exact in ((result.p50_ms, 500), (result.p95_ms, 950), (result.p99_ms, 990)):
        assert abs(found / exact - 1) < 0.02


def test_the_sentence() -> None:
    assert sampling_words(1.0, 12) == (
        "Percentiles of services are of all iterations: 12 traces, within 2 % of their exact values."
    )
    few = ServiceResult(service="stock", spans=99, errors=0, p50_ms=1, p95_ms=1, p99_ms=1)
    many = ServiceResult(service="shop", spans=100, errors=0, p50_ms=1, p95_ms=1, p99_ms=1)
    assert sampling_words(0.0125, 1, trace_share=0.1, services=(few, many)) == (
        "Percentiles of services are of 1.25 % of iterations, chosen by trace id beforehand: 1 trace, within 2 % of"
        " their exact values; services recorded 10 % of traces (head sampling). Of stock there are fewer than 100"
        " spans, too few for a p99."
    )


# The collector's configuration in docs.


def policies() -> list[dict[str, object]]:
    document = yaml.safe_load((ROOT / "docs" / "collector" / "tail-sampling.yaml").read_text())
    assert document["service"]["pipelines"]["traces"]["processors"][0] == "tail_sampling"
    for kind in ("receivers", "processors", "exporters"):
        assert set(document["service"]["pipelines"]["traces"][kind]) <= set(document[kind])
    found: list[dict[str, object]] = document["processors"]["tail_sampling"]["policies"]
    return found


# Of each policy type, the keys of its section (config.go of the tail sampling processor, v0.135.0).
KEYS = {
    "and": {"and_sub_policy"},
    "ottl_condition": {"error_mode", "span", "spanevent"},
    "status_code": {"status_codes"},
    "latency": {"threshold_ms", "upper_threshold_ms"},
    "probabilistic": {"sampling_percentage", "hash_salt"},
}


def test_every_policy_is_one_of_the_processors() -> None:
    found = policies()
    inner = [sub for p in found if p["type"] == "and" for sub in p["and"]["and_sub_policy"]]  # type: ignore[index]
    assert len({p["name"] for p in found}) == len(found)
    assert inner
    for policy in (*found, *inner):
        kind = str(policy["type"])
        assert set(policy) == {"name", "type", kind}
        assert set(policy[kind]) <= KEYS[kind]  # type: ignore[call-overload]
    assert not any(sub["type"] == "and" for sub in inner), "they do not nest"


@given(st.integers(0, 2**128 - 1), st.floats(0, 1 / 16))
def test_what_is_audited_is_kept(trace_id: int, share: float) -> None:
    import re

    audited = next(p for p in policies() if p["name"] == "bullets-that-are-audited")
    (condition,) = audited["ottl_condition"]["span"]  # type: ignore[index]
    pattern = re.search(r'IsMatch\(trace_id\.string, "([^"]+)"\)', condition)
    assert pattern is not None
    text = f"{trace_id:032x}"
    kept = re.search(pattern[1], text) is not None
    assert kept == in_share(trace_halves(text)[1], 1 / 16)
    assert kept or not in_share(trace_halves(text)[1], share)
