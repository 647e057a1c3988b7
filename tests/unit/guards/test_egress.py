"""Claim: who a call is for decides what becomes of it; telemetry and AWS' own sessions are no calls of a bullet's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.peers import Peer, bullet, serving
from tracer_bullet.context.scope import live_scope
from tracer_bullet.guards import Armed, Stub, WriteRefused
from tracer_bullet.guards.aws.operations import in_shadow, is_write, name_of
from tracer_bullet.guards.below import below
from tracer_bullet.guards.http.canned import answer_bytes
from tracer_bullet.guards.http.egress import Call, guarded, is_plumbing, method_of

Arm = Callable[..., Armed]


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as found:
        yield found


@pytest.mark.parametrize(
    ("scheme", "host", "port", "url"),
    [
        ("https", "payments.example", None, "https://payments.example/x"),
        ("https", "payments.example", 443, "https://payments.example/x"),
        ("http", "payments.example", 443, "http://payments.example:443/x"),
        ("http", "::1", 8080, "http://[::1]:8080/x"),
    ],
)
def test_urls_that_stubs_are_matched_with(scheme: str, host: str, port: int | None, url: str) -> None:
    assert Call("POST", scheme, host, port, "/x").url == url


@pytest.mark.parametrize(
    ("headers", "method"),
    [
        ([], "GET"),
        ([("Connection", "keep-alive")], "GET"),
        ([("Upgrade", "websocket")], "WEBSOCKET"),
        ([("upgrade", " h2c, websocket")], "H2C"),
    ],
)
def test_a_call_that_changes_its_protocol_is_not_judged_by_its_method(
    headers: list[tuple[str, str]], method: str
) -> None:
    assert method_of("get", headers) == method


def test_spans_are_exported_from_inside_a_bullet(peer: Peer, arm_service: Arm, telemetry: Telemetry) -> None:
    """An exporter that runs in the request itself, to a collector that is a third party."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=peer.url + "/v1/traces")))
    with bullet(arm_service()):
        with provider.get_tracer("app").start_as_current_span("work"):
            pass
        with pytest.raises(WriteRefused):
            requests.post(peer.url + "/v1/traces", timeout=60)  # the application's own
    (got,) = peer.requests
    assert (got.path, got.claim) == ("/v1/traces", None)
    assert telemetry.decisions == [("denied", "POST 127.0.0.1/v1/traces")]
    provider.shutdown()


@pytest.mark.parametrize(
    ("method", "host", "path", "expected"),
    [
        ("PUT", "169.254.169.254", "/latest/api/token", True),
        ("PUT", "169.254.169.254", "/latest/other", False),
        ("PUT", "payments.example", "/latest/api/token", False),
        ("POST", "collector", "/v1/traces", False),
    ],
)
def test_what_is_no_call_of_the_applications(method: str, host: str, path: str, expected: bool) -> None:
    assert is_plumbing(Call(method, "http", host, None, path)) is expected


def test_what_a_guard_above_has_judged_passes_without_the_flag(peer: Peer, arm_service: Arm, telemetry: Any) -> None:
    with bullet(arm_service()), below():
        requests.post(peer.url + "/x", timeout=60)
    assert [(r.method, r.claim) for r in peer.requests] == [("POST", None)]
    assert telemetry.decisions == []


def test_what_a_guard_above_has_judged_keeps_the_flag_inside_the_system(peer: Peer, arm_service: Arm) -> None:
    with bullet(arm_service(system_hosts=(peer.host,))), below():
        requests.post(peer.url + "/x", timeout=60)
    assert peer.requests[0].claim is not None


def test_hosts_are_compared_without_letter_case(arm_service: Arm) -> None:
    with bullet(arm_service(system_hosts=("*.Shop.example",))):
        scope = live_scope()
        assert scope is not None
        with guarded(scope, Call("POST", "http", "Cart.shop.EXAMPLE", None, "/")) as verdict:
            assert verdict.action.decision == ""


def test_what_frames_a_stubs_body_is_not_the_stubs() -> None:
    stub = Stub(url="*", body="ab", status=299, headers=(("Content-Length", "9"), ("Content-Type", "text/csv")))
    assert answer_bytes(stub) == b"HTTP/1.1 299 \r\ncontent-length: 2\r\nContent-Type: text/csv\r\n\r\nab"


@pytest.mark.parametrize(
    ("service", "operation", "params", "write"),
    [
        ("s3", "GetObject", {}, False),
        ("s3", "HeadBucket", {}, False),
        ("s3", "ListObjectsV2", {}, False),
        ("s3", "SelectObjectContent", {}, False),
        ("s3", "PutObject", {}, True),
        ("s3", "RestoreObject", {}, True),
        ("sqs", "GetQueueUrl", {}, False),
        ("sqs", "ReceiveMessage", {}, True),
        ("dynamodb", "Query", {}, False),
        ("dynamodb", "BatchGetItem", {}, False),
        ("dynamodb", "TransactGetItems", {}, False),
        ("dynamodb", "ExecuteStatement", {"Statement": " select * from t"}, False),
        ("dynamodb", "ExecuteStatement", {"Statement": "UPDATE t SET a=1"}, True),
        ("dynamodb", "ExecuteStatement", {"Statement": "-- SELECT\nDELETE FROM t"}, True),
        ("dynamodb", "BatchExecuteStatement", {"Statements": [{"Statement": "SELECT 1"}]}, False),
        (
            "dynamodb",
            "ExecuteTransaction",
            {"TransactStatements": [{"Statement": "SELECT 1"}, {"Statement": "INSERT"}]},
            True,
        ),
        ("dynamodb", "ExecuteTransaction", {}, True),
        ("rds-data", "ExecuteStatement", {"sql": "select 1"}, True),
        ("kendra", "Query", {}, True),
        ("sts", "AssumeRole", {}, False),
        ("kms", "Decrypt", {}, False),
        ("kms", "ScheduleKeyDeletion", {}, True),
        ("lambda", "Invoke", {"FunctionName": "f"}, True),
        ("lambda", "Invoke", {"InvocationType": "DryRun"}, False),
        ("ec2", "RunInstances", {"DryRun": True}, False),
        ("ec2", "RunInstances", {"DryRun": "yes"}, True),
        ("stepfunctions", "GetActivityTask", {}, True),
        ("cognito-identity", "GetId", {}, True),
        ("nobody", "Getaway", {}, True),
    ],
)
def test_which_aws_operations_are_writes(service: str, operation: str, params: dict[str, Any], write: bool) -> None:
    assert is_write(service, operation, params) is write


@pytest.mark.parametrize(
    ("service", "params", "name", "shadow"),
    [
        ("s3", {"Bucket": "photos"}, "s3:X photos", {"Bucket": "shadow-photos"}),
        ("sqs", {"QueueUrl": "http://q/1/orders"}, "sqs:X orders", {"QueueUrl": "http://q/1/shadow_orders"}),
        ("sns", {"TopicArn": "arn:aws:sns:eu:1:t"}, "sns:X t", {"TopicArn": "arn:aws:sns:eu:1:shadow_t"}),
        ("sns", {"PhoneNumber": "+1555"}, "sns:X", None),
        (
            "lambda",
            {"FunctionName": "arn:aws:lambda:eu:1:function:price:live"},
            "lambda:X price:live",
            {"FunctionName": "arn:aws:lambda:eu:1:function:shadow_price:live"},
        ),
        (
            "dynamodb",
            {"RequestItems": {"a": [], "arn:aws:dynamodb:eu:1:table/b": []}},
            "dynamodb:X a,b",
            {"RequestItems": {"shadow_a": [], "arn:aws:dynamodb:eu:1:table/shadow_b": []}},
        ),
        ("events", {"Entries": [{"EventBusName": "bus"}, {}]}, "events:X bus", None),
        ("ses", {"Source": "a@a.test"}, "ses:X", None),
    ],
)
def test_names_and_shadows_of_aws_resources(
    service: str, params: dict[str, Any], name: str, shadow: dict[str, Any] | None
) -> None:
    assert name_of(service, "X", params) == name
    assert in_shadow(service, params, "shadow_") == shadow
