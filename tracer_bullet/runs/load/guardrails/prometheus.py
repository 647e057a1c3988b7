"""What the target's metrics say, by instant queries (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import httpx

from tracer_bullet.runs.load.guardrails.guardrail import Guardrail, NoAnswerError, ask, headers_from
from tracer_bullet.runs.load.guardrails.patience import Look, Patience, Sight
from tracer_bullet.workspace.safety import PrometheusSpec

Sample = tuple[str, float]
"""The series, as Prometheus writes it, and its value."""


class NoValueError(ValueError):
    """That an answer holds no values, and why."""


def prometheus_guardrail(spec: PrometheusSpec, client: httpx.AsyncClient, environ: Mapping[str, str]) -> Guardrail:
    """The guardrail of one query. Raises UsageError TB1062."""
    headers = {"accept": "application/json", **headers_from(spec.headers_from, environ)}
    params = {"query": spec.query, "timeout": f"{math.ceil(spec.timeout_s * 1000)}ms"}

    async def look() -> Look:
        try:
            url = f"{spec.url}/api/v1/query"
            answer = await ask(client, url, timeout_s=spec.timeout_s, headers=headers, params=params)
            return judge_samples(spec, read_samples(answer.status, answer.body))
        except (NoAnswerError, NoValueError) as error:
            return Look(sight=Sight.UNKNOWN, text=str(error))

    return Guardrail(
        name=f"prometheus {spec.why or spec.query}",
        limit=" and ".join(_bounds(spec)),
        every_s=spec.every_s,
        timeout_s=spec.timeout_s,
        patience=Patience(for_s=spec.for_s, unknown_for_s=spec.unknown_for_s),
        look=look,
    )


def read_samples(status: int, body: bytes) -> list[Sample]:
    """The samples of an answer to an instant query. Raises NoValueError: an error, no series, histograms."""
    try:
        document = json.loads(body)
        if document["status"] != "success":
            raise NoValueError(f"{document['errorType']}: {document['error']}")
        if document.get("warnings"):  # of what answers for several servers: one of them is away
            raise NoValueError(f"it warns that values may be missing: {document['warnings'][0]}")
        kind, result = document["data"]["resultType"], document["data"]["result"]
        if kind == "scalar":
            return [("scalar", _number(result))]
        if kind != "vector":
            raise NoValueError(f"the query gives a {kind}: an instant vector or a scalar is needed")
        samples = [(_series(entry["metric"]), _number(entry.get("value"))) for entry in result]
    except NoValueError:
        raise
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise NoValueError(f"it answered {status}, and not as Prometheus does") from None
    if not samples:
        raise NoValueError("the query finds no series")
    return samples


def judge_samples(spec: PrometheusSpec, samples: list[Sample]) -> Look:
    """One series out of bounds is enough; NaN is in none and out of none. Pure."""
    out = [(series, value) for series, value in samples if not math.isnan(value) and not _within(spec, value)]
    shown = max(out or samples, key=lambda sample: _badness(spec, sample[1]))
    text = f"{shown[1]:.6g}" if shown[0] in ("scalar", "{}") else f"{shown[1]:.6g} at {shown[0]}"
    badness = _badness(spec, shown[1])
    if out:
        return Look(sight=Sight.BAD, text=text, badness=badness)
    nothing = [series for series, value in samples if math.isnan(value)]
    if nothing:
        return Look(sight=Sight.UNKNOWN, text=f"NaN at {nothing[0]}")
    return Look(sight=Sight.WELL, text=text, badness=badness)


def _within(spec: PrometheusSpec, value: float) -> bool:
    return (spec.below is None or value < spec.below) and (spec.above is None or value > spec.above)


def _badness(spec: PrometheusSpec, value: float) -> float:
    """How far towards a bound and past it; NaN is least."""
    if math.isnan(value):
        return -math.inf
    past = [value - spec.below] if spec.below is not None else []
    if spec.above is not None:
        past.append(spec.above - value)
    return max(past)


def _bounds(spec: PrometheusSpec) -> list[str]:
    below = [f"below {spec.below:g}"] if spec.below is not None else []
    return below + ([f"above {spec.above:g}"] if spec.above is not None else [])


def _number(value: Any) -> float:
    """Of [time, text]; `NaN`, `+Inf` and `-Inf` are numbers."""
    if value is None:
        raise NoValueError("the query gives native histograms: take a quantile of them")
    return float(value[1])


def _series(metric: Mapping[str, str]) -> str:
    labels = ", ".join(f'{key}="{value}"' for key, value in sorted(metric.items()) if key != "__name__")
    return f"{metric.get('__name__', '')}{{{labels}}}"
