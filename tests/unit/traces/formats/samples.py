"""Values of every format: golden files by other tools, and where no tool can be had, what its documentation shows."""

from __future__ import annotations

import io
import json
from typing import Any

from tests.unit.traces.formats.reading import GOLDEN
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.json_values import json_values
from tracer_bullet.traces.formats.protobuf import binary_values

FILES: dict[str, tuple[str, ...]] = {
    "otlp-protobuf": ("otel/request.binpb", "collector/collector.binpb"),
    "otlp-json": ("otel/request.json", "collector/collector.jsonl"),
    "jaeger-v3": ("jaeger/v3-trace.json", "jaeger/v3-search.json"),
    "jaeger": ("jaeger/trace.json", "jaeger/search.json", "jaeger/raw.json"),
    "tempo": ("tempo/v1.json", "tempo/v2.json"),
    "console": ("otel/console.txt",),
    "zipkin": ("zipkin/v1.json", "zipkin/v2.json", "zipkin/v2-trace.json", "zipkin/v2-traces.json"),
    "xray": ("xray/batch-get-traces.json", "xray/daemon.txt", "xray/daemon-apart.txt"),
    "cloudtrace-v1": ("cloudtrace/v1.json", "cloudtrace/v1-client.json"),
    "cloudtrace-v2": ("cloudtrace/v2.json", "cloudtrace/v2-client.json"),
    "clickhouse": (
        "clickhouse/map.jsonl",
        "clickhouse/map.json",
        "clickhouse/map.compact.json",
        "clickhouse/json.jsonl",
    ),
    "logs": ("logs/structlog.jsonl", "logs/logging.jsonl"),
}
ALL = [(key, name) for key, names in FILES.items() for name in names]


def content(name: str) -> bytes:
    """A golden file."""
    return (GOLDEN / name).read_bytes()


def values(name: str) -> list[Any]:
    """The values in a golden file, as a reader is fed them."""
    data = io.BytesIO(content(name))
    chunks = iter(lambda: data.read(1 << 16), b"")
    return list((binary_values if name.endswith(".binpb") else json_values)(chunks, Losses()))


def trees(name: str) -> list[Any]:
    """The JSON values in a golden file, fresh, so that they may be changed."""
    return json.loads(json.dumps([v for v in values(name) if not isinstance(v, bytes)]))
