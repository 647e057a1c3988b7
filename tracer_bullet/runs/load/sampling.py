"""What is known of services from a sample of traces, and how that sample was taken. Pure."""

from __future__ import annotations

from tracer_bullet.model import Analysis
from tracer_bullet.model.attributes import HARNESS_SERVICE
from tracer_bullet.model.load import ServiceResult

# Of fewer spans the 99th percentile is next to the longest.
_FEW = 100


def service_results(analysis: Analysis, share: float) -> tuple[ServiceResult, ...]:
    """Of each service, from its entry spans in the traces that were kept: a `share` of all, chosen by id alone."""
    found = []
    for one in analysis.services:
        if one.service == HARNESS_SERVICE or not one.calls:
            continue
        latency = one.durations.latency()
        found.append(
            ServiceResult(
                service=one.service,
                spans=one.calls,
                errors=one.errors,
                p50_ms=latency.p50_ms,
                p95_ms=latency.p95_ms,
                p99_ms=latency.p99_ms,
                share=share,
            )
        )
    return tuple(found)


def sampling_words(
    share: float, audited: int, *, trace_share: float = 1.0, services: tuple[ServiceResult, ...] = ()
) -> str:
    """How the percentiles of services were sampled, in a sentence or two.

    `share`: of iterations, those whose traces were kept; `trace_share`: those whose traces were sampled at all (head
    sampling); `services` are named where there is too little of them for a 99th percentile.
    """
    traces = f"{audited} trace{'s' if audited != 1 else ''}"
    if share >= 1:
        told = f"Percentiles of services are of all iterations: {traces}"
    else:
        told = (
            f"Percentiles of services are of {_percent(share)} of iterations, chosen by trace id beforehand: {traces}"
        )
    head = f"; services recorded {_percent(trace_share)} of traces (head sampling)" if trace_share < 1 else ""
    few = [one.service for one in services if one.spans < _FEW]
    more = f" Of {', '.join(few)} there are fewer than {_FEW} spans, too few for a p99." if few else ""
    return f"{told}, within 2 % of their exact values{head}.{more}"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
