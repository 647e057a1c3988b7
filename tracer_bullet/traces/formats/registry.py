"""All formats, by the key that `--format` takes; in the order in which they are asked whether they know a value."""

from __future__ import annotations

from typing import Final

from tracer_bullet.traces.formats.base import Format
from tracer_bullet.traces.formats.clickhouse import ClickHouse
from tracer_bullet.traces.formats.cloudtrace import CloudTraceV1, CloudTraceV2
from tracer_bullet.traces.formats.console import Console
from tracer_bullet.traces.formats.jaeger import Jaeger
from tracer_bullet.traces.formats.logs import JsonLogs
from tracer_bullet.traces.formats.otlp import JaegerV3, OtlpJson
from tracer_bullet.traces.formats.protobuf import OtlpProtobuf
from tracer_bullet.traces.formats.tempo import Tempo
from tracer_bullet.traces.formats.xray import XRay
from tracer_bullet.traces.formats.zipkin import Zipkin

FORMATS: Final[dict[str, Format]] = {
    "otlp-protobuf": OtlpProtobuf(),
    "otlp-json": OtlpJson(),
    "jaeger-v3": JaegerV3(),
    "jaeger": Jaeger(),
    "tempo": Tempo(),
    "console": Console(),
    "zipkin": Zipkin(),
    "xray": XRay(),
    "cloudtrace-v1": CloudTraceV1(),
    "cloudtrace-v2": CloudTraceV2(),
    "clickhouse": ClickHouse(),
    "logs": JsonLogs(),
}
