"""Bodies of OTLP/HTTP answers, in the encoding of the request (OTLP 1.x specification, "OTLP/HTTP Response")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracer_bullet.traces.otlp import SPAN_REASONS

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


def success(content_type: str, rejected: Mapping[str, int]) -> bytes:
    """An Export…ServiceResponse. Its `partial_success` is set only when spans were rejected."""
    count = sum(rejected.values())
    text = rejection_text(rejected)
    if content_type == JSON:
        partial = {"partialSuccess": {"rejectedSpans": str(count), "errorMessage": text}} if count else {}
        return json.dumps(partial).encode()
    response = ExportTraceServiceResponse()
    if count:
        response.partial_success.rejected_spans = count
        response.partial_success.error_message = text
    return bytes(response.SerializeToString())


def failure(content_type: str, message: str) -> bytes:
    """A google.rpc.Status with `message`; the specification leaves its code unused."""
    if content_type == PROTOBUF:
        return bytes(_status_class()(message=message).SerializeToString())
    return json.dumps({"message": message}).encode()


def rejection_text(rejected: Mapping[str, int]) -> str:
    """Why spans were rejected, for the people who run the sender."""
    return "; ".join(f"{count} spans: {SPAN_REASONS[reason]}" for reason, count in sorted(rejected.items()))


@cache
def _status_class() -> Any:
    # google/rpc/status.proto is in no package that the harness installs; its one field in use is here.
    file = FileDescriptorProto(name="google/rpc/status.proto", package="google.rpc", syntax="proto3")
    file.message_type.add(name="Status").field.add(
        name="message", number=2, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))
