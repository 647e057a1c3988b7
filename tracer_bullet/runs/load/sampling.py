"""What is known of services from a sample of traces, and how that sample was taken. Pure."""

from __future__ import annotations

from tracer_bullet.model import Analysis
from tracer_bullet.model.attributes import HARNESS_SERVICE
from tracer_bullet.model.load import ServiceResult


def service_results(analysis: Analysis, share: float) -> tuple[ServiceResult, ...]:
    """Of each service, from its server spans in the traces that were kept."""
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


def sampling_words(share: float, audited: int) -> str:
    """How the percentiles of services were sampled, in one sentence."""
    if share >= 1:
        return f"Percentiles of services are of all iterations: {audited} traces."
    return f"Percentiles of services are of {share:.3%} of iterations, chosen by trace id before they began: {audited} traces."
