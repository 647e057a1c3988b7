"""What keeps load from doing harm: guardrails on the target's own health. docs/load-safety.md is its reference."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tracer_bullet.workspace.addresses import Url
from tracer_bullet.workspace.fields import Statuses, Why
from tracer_bullet.workspace.json_path import parse_json_path
from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.quantities import Duration, Share
from tracer_bullet.workspace.sending import GuardrailsSpec

_UNFIT = re.compile(r"[\s#\x00-\x20\x7f]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# What would make a probe a bullet.
_CARRIERS = frozenset({"traceparent", "tracestate", "baggage", "x-tracer-bullet", "content-length", "host"})


def _probe_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.port != 0 and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError as error:
        raise ValueError(f"no valid address: {error}") from None
    if not whole or _UNFIT.search(value):
        raise ValueError("must be an address as http://host:port/health")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; use headers_from")
    return value


def _probe_path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//") or _UNFIT.search(value):
        raise ValueError("must be a path of the target, as /health")
    return value


def _headers_from(value: dict[str, str]) -> dict[str, str]:
    for name, variable in value.items():
        if name.lower() in _CARRIERS or not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no header that can be set here")
        if not _VARIABLE.fullmatch(variable):
            raise ValueError(f"{name}: {variable!r} is no environment variable's name; secrets do not stand in files")
    return value


def _json_paths(value: dict[str, Matcher]) -> dict[str, Matcher]:
    for path in value:
        if not parse_json_path(path):
            raise ValueError("`$` alone names the whole answer; name a member, as $.status")
    return value


HeadersFrom = Annotated[dict[str, str], AfterValidator(_headers_from)]
"""Header → the environment variable that holds its value."""


class HealthSpec(Spec):
    """A health endpoint, asked as a load balancer would: a plain GET without the flag, on a connection of its own."""

    path: Annotated[str, AfterValidator(_probe_path)] | None = None
    """Below the target's address."""
    url: Annotated[str, AfterValidator(_probe_url)] | None = None
    """Or anywhere else."""
    every_s: Duration = Field(default=2.0, alias="every", gt=0)
    timeout_s: Duration = Field(default=1.0, alias="timeout", gt=0)
    failures: int = Field(default=3, ge=1, le=1000)
    """So many in a row, and sending stops."""
    status: Statuses = ("2xx",)
    json_: Annotated[dict[str, Matcher], AfterValidator(_json_paths)] = Field(default={}, alias="json")
    """JSONPath → matcher; each value that the path finds must match."""
    latency_s: Duration | None = Field(default=None, alias="latency", gt=0)
    """A slower answer is a failure too."""
    headers_from: HeadersFrom = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`/health` for `{path: /health}`, and an address for `{url: …}`."""
        return {"path" if value.startswith("/") else "url": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, dict(handler.resolve_ref_schema(handler(schema)))]}

    @model_validator(mode="after")
    def _one_place(self) -> HealthSpec:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either `path` (of the target) or `url`")
        if self.latency_s is not None and self.latency_s >= self.timeout_s:
            raise ValueError("`latency` must be below `timeout`, or it never decides anything")
        return self


class PrometheusSpec(Spec):
    """An instant query whose every value must keep within bounds."""

    url: Url
    """Prometheus, Thanos, Mimir, VictoriaMetrics: what `/api/v1/query` is below."""
    query: str = Field(min_length=1, max_length=8192)
    """PromQL, an instant vector or a scalar. It should leave bullets out."""
    below: float | None = None
    """Every value must be below it."""
    above: float | None = None
    """Every value must be above it."""
    for_s: Duration = Field(default=0.0, alias="for")
    """How long a value may be out of bounds before sending stops."""
    every_s: Duration = Field(default=5.0, alias="every", gt=0)
    timeout_s: Duration = Field(default=5.0, alias="timeout", gt=0)
    unknown_for_s: Duration = Field(default=30.0, alias="unknown_for", gt=0)
    """How long there may be no value (none, NaN, no answer) before sending stops."""
    why: Why | None = None
    """What it watches, as reports call it."""
    headers_from: HeadersFrom = Field(default={})

    @model_validator(mode="after")
    def _bounded(self) -> PrometheusSpec:
        if self.below is None and self.above is None:
            raise ValueError("give `below`, `above` or both")
        if self.below is not None and self.above is not None and self.above >= self.below:
            raise ValueError("`above` must be less than `below`, or no value is right")
        return self


class _TrafficSpec(Spec):
    window_s: Duration = Field(default=30.0, alias="window", ge=1, le=3600)
    """The last so many seconds are judged."""
    at_least: int = Field(default=20, ge=1)
    """Fewer calls in the window say nothing."""
    every_s: Duration = Field(default=1.0, alias="every", gt=0)
    for_s: Duration = Field(default=0.0, alias="for")
    """How long it may be out of bounds before sending stops."""
    unknown_for_s: Duration = Field(default=60.0, alias="unknown_for", gt=0)
    """How long there may be too few calls before sending stops."""


class StandardSpec(_TrafficSpec):
    """How customers fare at a service meanwhile: its server and consumer spans that belong to no bullet."""

    service: str = Field(min_length=1)
    operation: str = ""
    """One operation (span name); empty: all of them."""
    p50_s: Duration | None = Field(default=None, alias="p50", gt=0)
    p95_s: Duration | None = Field(default=None, alias="p95", gt=0)
    p99_s: Duration | None = Field(default=None, alias="p99", gt=0)
    errors: Share | None = None
    """The share of them that may fail."""

    @model_validator(mode="after")
    def _bounded(self) -> StandardSpec:
        if not self.percentiles and self.errors is None:
            raise ValueError("give one of `p50`, `p95`, `p99` and `errors`, or several")
        return self

    @property
    def percentiles(self) -> tuple[tuple[float, float], ...]:
        """(share, seconds) of each that is given."""
        given = ((0.5, self.p50_s), (0.95, self.p95_s), (0.99, self.p99_s))
        return tuple((share, limit) for share, limit in given if limit is not None)


class ErrorBudgetSpec(_TrafficSpec):
    """How fast customers use up the error budget of an objective meanwhile."""

    slo: str = Field(min_length=1)
    """Name of an objective of the workspace (docs/slos.md)."""
    burn: float = Field(default=2.0, gt=0)
    """At 1 the budget would last exactly its period; above this rate sending stops."""
    window_s: Duration = Field(default=300.0, alias="window", ge=1, le=3600)
    """The last so many seconds are judged."""


class LoadGuardrailsSpec(GuardrailsSpec):
    """When sending stops, exit code 4."""

    health: tuple[HealthSpec, ...] = ()
    """The target's health endpoints: `health: [/health]`."""
    prometheus: tuple[PrometheusSpec, ...] = ()
    """What the target's metrics must keep to."""
    standard: tuple[StandardSpec, ...] = ()
    """How customers fare, taken from the traces; needs `traces: {source: embedded}`."""
    error_budget: tuple[ErrorBudgetSpec, ...] = ()
    """How fast customers use up an objective's error budget, taken from the traces."""
