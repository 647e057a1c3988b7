"""OTLP over gRPC on a real socket, sent by OpenTelemetry's own exporter and by bare calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.servers.otlp import to_protobuf
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span, SpanKind
from tracer_bullet.traces import Limits, Receiver

Call = Callable[..., bytes]
PLACE = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"


def a_span(span_id: str = "1" * 16, trace_id: str = "a" * 32) -> Span:
    return Span(
        trace_id=trace_id, span_id=span_id, parent_id=None, name="n", kind=SpanKind.SERVER, service="shop",
        start_ns=1, end_ns=2, resource={"service.name": "shop"},
    )  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    limits = Limits(max_body_bytes=1 << 20, max_spans=50, retry_after_s=1.5)
    with Receiver(limits=limits, grpc=("127.0.0.1", 0)) as receiver:
        yield receiver


@pytest.fixture
def channel(receiver: Receiver) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel((receiver.grpc_url or "").removeprefix("http://")) as channel:
        yield channel


def call(channel: grpc.Channel, body: bytes, signal: str = "trace", service: str = "Trace", **more: Any) -> bytes:
    answer: bytes = channel.unary_unary(PLACE.format(signal, service))(body, timeout=60, wait_for_ready=True, **more)
    return answer


def test_the_stock_exporter_delivers(receiver: Receiver) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "cart"}))
    exporter = OTLPSpanExporter(endpoint=receiver.grpc_url, insecure=True, compression=grpc.Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("GET /cart", attributes={"n": 3}) as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    (got,) = receiver.spans([trace_id])[trace_id]
    assert (got.service, got.name, got.attributes) == ("cart", "GET /cart", {"n": "3"})
    assert receiver.counters.spans == 1


def test_both_ways_fill_one_buffer(receiver: Receiver, channel: grpc.Channel) -> None:
    call(channel, to_protobuf([a_span()]))
    answer = call(channel, to_protobuf([a_span("2" * 16)]), compression=grpc.Compression.Gzip)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert len(receiver.spans(["a" * 32])["a" * 32]) == 2


def test_impossible_spans_are_counted_and_the_others_kept(receiver: Receiver, channel: grpc.Channel) -> None:
    answer = call(channel, to_protobuf([a_span(), a_span("0" * 16)]))
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert (receiver.counters.spans, receiver.counters.rejected_spans) == (1, {"bad_id": 1})


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"\xff\xff\xff", "malformed"), (to_protobuf([a_span("0" * 16)]), "no_valid_span")],
    ids=["no protobuf", "no valid span"],
)
def test_what_cannot_be_taken_is_not_tried_again(
    receiver: Receiver, channel: grpc.Channel, body: bytes, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as told:
        call(channel, body)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert receiver.counters.rejected_requests == {reason: 1}


def test_a_full_buffer_says_when_to_try_again(receiver: Receiver, channel: grpc.Channel) -> None:
    many = [a_span(f"{n:016x}") for n in range(1, 52)]
    with pytest.raises(grpc.RpcError) as told:
        call(channel, to_protobuf(many))
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(told.value.trailing_metadata())["grpc-status-details-bin"]
    retry = error_details_pb2.RetryInfo()
    assert status_pb2.Status.FromString(details).details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1_500
    assert receiver.counters.spans == 0
    call(channel, to_protobuf(many[:50]))
    assert receiver.counters.spans == 50


def test_a_large_body_is_refused_while_it_comes(receiver: Receiver, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as told:
        call(channel, b"\0" * (2 << 20), compression=grpc.Compression.Gzip)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert receiver.counters.spans == 0


@pytest.mark.parametrize(("signal", "service"), [("metrics", "Metrics"), ("logs", "Logs")])
def test_other_signals_are_answered_and_dropped(
    receiver: Receiver, channel: grpc.Channel, signal: str, service: str
) -> None:
    assert call(channel, b"", signal, service) == b""
    assert receiver.counters.ignored == {signal: 1}


def test_a_port_that_is_taken_is_told_and_http_let_go(receiver: Receiver) -> None:
    port = int((receiver.grpc_url or "").rpartition(":")[2])
    other = Receiver(grpc=("127.0.0.1", port))
    with pytest.raises(UnreachableError, match="cannot listen for spans"):
        other.start()
    Receiver(port=int(other.url.rpartition(":")[2])).start()


def test_without_grpc_there_is_no_address() -> None:
    with Receiver() as receiver:
        assert receiver.grpc_url is None
