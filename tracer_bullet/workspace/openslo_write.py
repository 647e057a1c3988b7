"""Derived objectives as OpenSLO v1 documents (https://github.com/OpenSLO/OpenSLO), for tools that watch metrics. Pure.

A metric can only be asked about the bounds of its histogram, so each threshold is brought down to one of
OpenTelemetry's default bounds; the description says what was derived. Queries are over the span metrics of the
OpenTelemetry Collector's connector, whose labels are services and span names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

from tracer_bullet.model import DerivedObjective

# Default bounds of explicit histograms, in ms: https://opentelemetry.io/docs/specs/otel/metrics/sdk/ and, in seconds,
# the advice of the HTTP conventions.
BOUNDS_MS: Final = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000)
_METRIC: Final = "traces_span_metrics_duration_milliseconds"
_NAME_LENGTH: Final = 63
_MOST: Final = 0.999999999  # OpenSLO knows no target of 1
_DESCRIPTION_LENGTH: Final = 1_050


def bound_of(threshold_ms: float) -> int:
    """The largest bound of a default histogram that is not above the threshold; the smallest where all are."""
    return max((bound for bound in BOUNDS_MS if bound <= threshold_ms * (1 + 1e-9)), default=BOUNDS_MS[0])


def openslo_documents(derived: Iterable[DerivedObjective]) -> str:
    """YAML of one SLO document for each derived objective about whole calls, with `---` between them."""
    names: set[str] = set()
    documents = [_document(d, _unique(f"{d.outer}-{d.service}-{d.operation}", names)) for d in derived if not d.own]
    dumped = (yaml.safe_dump(d, sort_keys=False, allow_unicode=True, width=110) for d in documents)
    return "---\n".join(dumped)


def _document(derived: DerivedObjective, name: str) -> dict[str, Any]:
    bound = bound_of(derived.threshold_ms)
    labels = f'service_name="{_quoted(derived.service)}",span_name="{_quoted(derived.operation)}"'
    counted = f'{labels},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"'
    said = (
        f"Derived from {derived.outer}: {derived.share:.1%} of its time, {derived.calls:.3g} calls a request. "
        f"Derived threshold {derived.threshold_ms:.4g} ms, brought to the histogram bound {bound} ms."
    )
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name, "displayName": f"{derived.service} {derived.operation}".strip() or name},
        "spec": {
            "description": said[:_DESCRIPTION_LENGTH],
            "service": _rfc1123(derived.service),
            "indicator": {
                "metadata": {"name": name},
                "spec": {
                    "ratioMetric": {
                        "counter": True,
                        "good": _source(f'sum(rate({_METRIC}_bucket{{{counted},le="{bound}"}}[5m]))'),
                        "total": _source(f"sum(rate({_METRIC}_count{{{counted}}}[5m]))"),
                    }
                },
            },
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": f"within {bound} ms", "target": min(round(derived.target, 9), _MOST)}],
        },
    }


def _source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rfc1123(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_NAME_LENGTH].strip("-") or "unnamed"


def _unique(text: str, taken: set[str]) -> str:
    name = base = _rfc1123(text)
    number = 1
    while name in taken:
        number += 1
        name = f"{base[: _NAME_LENGTH - len(str(number)) - 1].rstrip('-')}-{number}"
    taken.add(name)
    return name
