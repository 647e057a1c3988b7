"""Bodies of OTLP/HTTP answers, in the encoding of the request (OTLP 1.x specification, "OTLP/HTTP Response")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracer_bullet.traces.otlp import SPAN_REASONS

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_RPC_NAMES: Final = ("Status", "RetryInfo")


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
        return bytes(_rpc_classes()[0](message=message).SerializeToString())
    return json.dumps({"message": message}).encode()


def rejection_text(rejected: Mapping[str, int]) -> str:
    """Why spans were rejected, for the people who run the sender."""
    return "; ".join(f"{count} spans: {SPAN_REASONS[reason]}" for reason, count in sorted(rejected.items()))


def retry_later(code: int, message: str, after_s: float) -> bytes:
    """A google.rpc.Status that tells a gRPC sender to try again after a while (its detail is a RetryInfo)."""
    status_class, retry_class = _rpc_classes()
    retry = retry_class()
    retry.retry_delay.FromNanoseconds(round(after_s * 1e9))
    status = status_class(code=code, message=message)
    status.details.add().Pack(retry)
    return bytes(status.SerializeToString())


@cache
def _rpc_classes() -> tuple[Any, Any]:
    # Status and RetryInfo of google/rpc are in no package that the harness installs; their fields in use are here.
    file = FileDescriptorProto(name="google/rpc/status.proto", package="google.rpc", syntax="proto3")
    file.dependency.extend(("google/protobuf/any.proto", "google/protobuf/duration.proto"))
    kinds, labels = FieldDescriptorProto.Type, FieldDescriptorProto.Label
    status = file.message_type.add(name="Status").field
    status.add(name="code", number=1, type=kinds.Value("TYPE_INT32"), label=labels.Value("LABEL_OPTIONAL"))
    status.add(name="message", number=2, type=kinds.Value("TYPE_STRING"), label=labels.Value("LABEL_OPTIONAL"))
    status.add(
        name="details",
        number=3,
        type=kinds.Value("TYPE_MESSAGE"),
        label=labels.Value("LABEL_REPEATED"),
        type_name=".google.protobuf.Any",
    )
    file.message_type.add(name="RetryInfo").field.add(
        name="retry_delay",
        number=1,
        type=kinds.Value("TYPE_MESSAGE"),
        label=labels.Value("LABEL_OPTIONAL"),
        type_name=".google.protobuf.Duration",
    )
    pool = DescriptorPool()
    for module in (any_pb2, duration_pb2):
        pool.Add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    pool.Add(file)
    status_class, retry_class = (GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{n}")) for n in _RPC_NAMES)
    return status_class, retry_class
