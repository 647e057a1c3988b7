"""Where the spans of bullets come from: the `traces:` section of tracer-bullet.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tracer_bullet.workspace.addresses import Listen, Url, split_listen
from tracer_bullet.workspace.fields import Headers
from tracer_bullet.workspace.load import Spec


class _TracesSpec(Spec):
    settle_s: float = Field(default=10.0, ge=0, le=3_600)
    """Seconds to wait for a bullet's trace to be complete, at most."""
    quiet_s: float = Field(default=1.0, ge=0, le=600)
    """Seconds without a new span before a complete trace is judged: work behind an answer shows late."""


class EmbeddedTracesSpec(_TracesSpec):
    """Spans are sent to a receiver in the harness, by OTLP over HTTP."""

    source: Literal["embedded"]
    listen: Listen = "127.0.0.1:4318"
    """`host:port` of the receiver for OTLP over HTTP; services export to it."""
    grpc: Listen | None = None
    """`host:port` for OTLP over gRPC, as 127.0.0.1:4317; without it only HTTP is listened on."""

    @property
    def address(self) -> tuple[str, int]:
        """Host, without the brackets of IPv6, and port."""
        return split_listen(self.listen)

    @property
    def grpc_address(self) -> tuple[str, int] | None:
        """The same of gRPC."""
        return None if self.grpc is None else split_listen(self.grpc)


class QueriedTracesSpec(_TracesSpec):
    """Spans are fetched, trace by trace, from the HTTP API of Zipkin (v2), Jaeger's query service, or Tempo."""

    source: Literal["zipkin", "jaeger", "tempo"]
    url: Url
    """The server's address, without the API's own path (`/api/…`)."""
    headers: Headers = Field(default={})
    """Sent along with every request, as `X-Scope-OrgID` or `Authorization`; secrets by `${NAME}`."""


class ClickHouseTracesSpec(_TracesSpec):
    """Spans are fetched from the `otel_traces` table that OpenTelemetry's ClickHouse exporter fills."""

    source: Literal["clickhouse"]
    url: Url
    """The address of ClickHouse's HTTP interface, as http://clickhouse:8123."""
    table: str = Field(default="otel_traces", pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    """The table, with its database where that is not `default`."""
    headers: Headers = Field(default={})
    """Sent along with every request, as `X-ClickHouse-User` and `X-ClickHouse-Key`; secrets by `${NAME}`."""


TracesSpec = Annotated[EmbeddedTracesSpec | QueriedTracesSpec | ClickHouseTracesSpec, Field(discriminator="source")]
