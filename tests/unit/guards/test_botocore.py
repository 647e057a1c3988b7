"""Claim: a bullet's AWS calls read what there is and write nothing, and code that reads the answers goes on working."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import boto3.dynamodb.conditions
import boto3.s3.transfer
import pytest
import requests
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ParamValidationError
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from tests.servers.aws import AwsServer, lambda_archive
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.peers import bullet, serving
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused

Arm = Callable[..., Armed]
_PATCHED = ((BaseClient, "_emit_api_params"), (BaseClient, "_make_request"))


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with AwsServer() as found:
        yield found


@pytest.fixture(autouse=True)
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    return server


class S3Subject:
    """Objects of a bucket; the client is older than the guard."""

    name = "botocore"
    sink = Sink.AWS
    operation = "s3:PutObject photos"
    policies = (Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    patched = _PATCHED
    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, server: AwsServer) -> None:
        self.instrumentor = BotocoreInstrumentor()
        self._client = server.client("s3")
        for name in ("photos", "shadow-photos"):
            self._client.create_bucket(Bucket=name)

    def write(self, value: str) -> Any:
        return self._client.put_object(Bucket="photos", Key=value, Body=value.encode())

    def read(self) -> Any:
        return [o["Key"] for o in self._client.list_objects_v2(Bucket="photos").get("Contents", [])]

    def check(self, answer: Any) -> None:
        assert len(answer["ETag"]) == 34
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200

    def stored(self) -> list[str]:
        return self._keys("photos")

    def shadowed(self) -> list[str]:
        return self._keys("shadow-photos")

    def _keys(self, bucket: str) -> list[str]:
        return sorted(o["Key"] for o in self._client.list_objects_v2(Bucket=bucket).get("Contents", []))


class SqsSubject:
    """Messages of a queue."""

    name = "botocore"
    sink = Sink.AWS
    operation = "sqs:SendMessage orders"
    policies = S3Subject.policies
    patched = _PATCHED
    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, server: AwsServer) -> None:
        self.instrumentor = BotocoreInstrumentor()
        self._client = server.client("sqs")
        self._urls = {
            name: self._client.create_queue(QueueName=name)["QueueUrl"] for name in ("orders", "shadow_orders")
        }

    def write(self, value: str) -> Any:
        return self._client.send_message(QueueUrl=self._urls["orders"], MessageBody=value)

    def read(self) -> Any:
        return self._client.get_queue_url(QueueName="orders")["QueueUrl"]

    def check(self, answer: Any) -> None:
        assert len(answer["MessageId"]) == 36
        assert len(answer["MD5OfMessageBody"]) == 32

    def stored(self) -> list[str]:
        return self._messages("orders")

    def shadowed(self) -> list[str]:
        return self._messages("shadow_orders")

    def _messages(self, queue: str) -> list[str]:
        found: list[str] = []
        while got := self._client.receive_message(
            QueueUrl=self._urls[queue], MaxNumberOfMessages=10, VisibilityTimeout=600
        ).get("Messages"):
            found += [message["Body"] for message in got]
        return sorted(found)


class TestS3(GuardContract):
    @pytest.fixture
    def subject(self, server: AwsServer, aws: AwsServer) -> S3Subject:
        return S3Subject(server)


class TestSqs(GuardContract):
    @pytest.fixture
    def subject(self, server: AwsServer, aws: AwsServer) -> SqsSubject:
        return SqsSubject(server)


class TestDynamoDb:
    @pytest.fixture
    def table(self, aws: AwsServer) -> Any:
        made = aws.resource("dynamodb").create_table(
            TableName="carts",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        made.put_item(Item={"id": "c1", "items": 1})
        return made

    def test_writes_leave_the_table_as_it_is(self, table: Any, arm_service: Arm, telemetry: Telemetry) -> None:
        with bullet(arm_service()):
            table.put_item(Item={"id": "c2"})
            table.update_item(Key={"id": "c1"}, UpdateExpression="SET #i = :n", **_names({"#i": "items"}, {":n": 9}))
            table.delete_item(Key={"id": "c1"})
            with table.batch_writer() as batch:
                batch.put_item(Item={"id": "c3"})
                batch.delete_item(Key={"id": "c1"})
            assert table.get_item(Key={"id": "c1"})["Item"] == {"id": "c1", "items": 1}
            found = table.query(KeyConditionExpression=boto3.dynamodb.conditions.Key("id").eq("c1"))
            assert found["Count"] == 1
        assert table.scan()["Items"] == [{"id": "c1", "items": 1}]
        names = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")
        assert telemetry.decisions == [("suppressed", f"dynamodb:{name} carts") for name in names]

    def test_old_values_are_those_of_the_item_that_is_there(self, table: Any, arm_service: Arm) -> None:
        old = {"id": "c1", "items": 1}
        with bullet(arm_service()):
            assert table.delete_item(Key={"id": "c1"}, ReturnValues="ALL_OLD")["Attributes"] == old
            assert table.put_item(Item={"id": "c1"}, ReturnValues="ALL_OLD")["Attributes"] == old
            assert "Attributes" not in table.put_item(Item={"id": "c9"}, ReturnValues="ALL_OLD")
        assert table.item_count in (0, 1)

    def test_values_that_would_have_to_be_computed_are_refused(self, table: Any, arm_service: Arm) -> None:
        with bullet(arm_service()), pytest.raises(WriteRefused, match="once it is done"):
            table.update_item(
                Key={"id": "c1"},
                UpdateExpression="ADD #i :n",
                ReturnValues="UPDATED_NEW",
                **_names({"#i": "items"}, {":n": 1}),
            )
        assert table.scan()["Items"] == [{"id": "c1", "items": 1}]

    def test_partiql_and_transactions(self, table: Any, aws: AwsServer, arm_service: Arm, telemetry: Telemetry) -> None:
        client = aws.client("dynamodb")
        with bullet(arm_service()):
            found = client.execute_statement(Statement="SELECT * FROM carts WHERE id = 'c1'")
            assert len(found["Items"]) == 1
            client.execute_statement(Statement="INSERT INTO carts VALUE {'id': 'c2'}")
            client.transact_write_items(TransactItems=[{"Put": {"TableName": "carts", "Item": {"id": {"S": "c3"}}}}])
        assert [item["id"] for item in table.scan()["Items"]] == ["c1"]
        assert telemetry.decisions == [
            ("suppressed", "dynamodb:ExecuteStatement"),
            ("suppressed", "dynamodb:TransactWriteItems carts"),
        ]

    def test_the_shadow_table_is_written(self, table: Any, aws: AwsServer, arm_service: Arm) -> None:
        client = aws.client("dynamodb")
        client.create_table(
            TableName="shadow_carts",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        items = [{"Put": {"TableName": "carts", "Item": {"id": {"S": "t"}}}}]
        with bullet(arm_service(aws="shadow")):
            client.put_item(TableName="carts", Item={"id": {"S": "p"}})
            client.batch_write_item(RequestItems={"carts": [{"PutRequest": {"Item": {"id": {"S": "b"}}}}]})
            client.transact_write_items(TransactItems=items)
            with pytest.raises(WriteRefused, match="no resource"):
                client.execute_statement(Statement="INSERT INTO carts VALUE {'id': 'c2'}")
        assert items[0]["Put"]["TableName"] == "carts", "the caller's own objects are left alone"
        assert [item["id"] for item in table.scan()["Items"]] == ["c1"]
        stored = client.scan(TableName="shadow_carts")["Items"]
        assert sorted(item["id"]["S"] for item in stored) == ["b", "p", "t"]


def _names(names: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    return {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}


class TestS3Transfers:
    @pytest.fixture
    def s3(self, aws: AwsServer) -> Any:
        client = aws.client("s3")
        client.create_bucket(Bucket="photos")
        client.put_object(Bucket="photos", Key="old", Body=b"old")
        return client

    def test_large_files_go_up_in_parts_and_nowhere(
        self, s3: Any, tmp_path: Path, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        (tmp_path / "large").write_bytes(b"x" * 11_000_000)
        parts = boto3.s3.transfer.TransferConfig(multipart_threshold=5_000_000, multipart_chunksize=5_000_000)
        with bullet(arm_service()):
            s3.upload_file(str(tmp_path / "large"), "photos", "large", Config=parts)
            s3.upload_fileobj(io.BytesIO(b"small"), "photos", "small")
            s3.copy({"Bucket": "photos", "Key": "old"}, "photos", "new")
            buffer = io.BytesIO()
            s3.download_fileobj("photos", "old", buffer)
        assert buffer.getvalue() == b"old"
        assert [o["Key"] for o in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["old"]
        assert s3.list_multipart_uploads(Bucket="photos").get("Uploads", []) == []
        done = [operation.removeprefix("s3:").removesuffix(" photos") for _, operation in telemetry.decisions]
        assert sorted(done) == sorted(
            ["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload", "PutObject", "CopyObject"]
        )

    def test_what_was_to_be_sent_is_left_as_it_was(self, s3: Any, arm_service: Arm) -> None:
        body = io.BytesIO(b"picture")
        with bullet(arm_service()):
            s3.put_object(Bucket="photos", Key="new", Body=body)
            etag = s3.put_object(Bucket="photos", Key="new", Body=b"picture")["ETag"]
        assert body.tell() == 0
        assert etag == f'"{hashlib.md5(b"picture").hexdigest()}"'

    def test_deleting(self, s3: Any, arm_service: Arm) -> None:
        with bullet(arm_service()):
            s3.delete_object(Bucket="photos", Key="old")
            answer = s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "old"}]})
            s3.delete_bucket(Bucket="photos")
        assert answer["Deleted"] == [{"Key": "old"}]
        assert s3.get_object(Bucket="photos", Key="old")["Body"].read() == b"old"

    def test_parameters_are_checked_as_ever(self, s3: Any, arm_service: Arm, telemetry: Telemetry) -> None:
        with bullet(arm_service()), pytest.raises(ParamValidationError):
            s3.put_object(Bucket="photos")
        assert telemetry.decisions == []

    def test_errors_of_reads_are_aws_own(self, s3: Any, arm_service: Arm) -> None:
        with bullet(arm_service()), pytest.raises(ClientError, match="NoSuchKey"):
            s3.get_object(Bucket="photos", Key="never")

    def test_presigned_urls_are_judged_where_they_are_used(self, s3: Any, arm_service: Arm) -> None:
        with bullet(arm_service(aws="shadow")):
            url = s3.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "signed"})
            assert "/photos/signed?" in url
            with pytest.raises(WriteRefused):
                requests.put(url, data=b"x", timeout=60)
        assert [o["Key"] for o in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["old"]

    def test_nothing_of_ours_is_sent_to_aws(self, arm_service: Arm, telemetry: Telemetry) -> None:
        with serving() as peer:
            peer.answer = b""
            instrumentor = URLLib3Instrumentor()
            instrumentor.instrument(tracer_provider=telemetry.provider)
            try:
                server = AwsServer()
                server.url = peer.url
                with bullet(arm_service(aws="allow")):
                    server.client("s3").put_object(Bucket="photos", Key="k", Body=b"x")
                    server.client("s3").head_object(Bucket="photos", Key="k")
            finally:
                server.close_clients()
                instrumentor.uninstrument()
        assert [(r.method, r.claim) for r in peer.requests] == [("PUT", None), ("HEAD", None)]


def test_queues(aws: AwsServer, arm_service: Arm, telemetry: Telemetry) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="customer")
    with bullet(arm_service()):
        entries = [{"Id": str(i), "MessageBody": f"b{i}"} for i in range(3)]
        answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert [one["Id"] for one in answer["Successful"]] == ["0", "1", "2"]
        assert "Messages" not in sqs.receive_message(QueueUrl=url), "to receive is to hide from others"
        sqs.purge_queue(QueueUrl=url)
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "1"
        assert sqs.create_queue(QueueName="new").keys() == {"ResponseMetadata"}
    assert sqs.list_queues()["QueueUrls"] == [url]
    names = ("SendMessageBatch orders", "ReceiveMessage orders", "PurgeQueue orders", "CreateQueue new")
    assert telemetry.decisions == [("suppressed", f"sqs:{name}") for name in names]


def test_topics_mail_and_functions(aws: AwsServer, arm_service: Arm, telemetry: Telemetry) -> None:
    sns, ses, sesv2, function = (aws.client(name) for name in ("sns", "ses", "sesv2", "lambda"))
    topic = sns.create_topic(Name="events")["TopicArn"]
    ses.verify_email_identity(EmailAddress="shop@shop.test")
    role = aws.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    code = {"ZipFile": lambda_archive()}
    function.create_function(FunctionName="price", Runtime="python3.12", Role=role, Handler="code.handle", Code=code)
    mail = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
    to = {"ToAddresses": ["ann@example.com"]}
    with bullet(arm_service()):
        assert len(sns.publish(TopicArn=topic, Message="m")["MessageId"]) == 36
        sns.publish(PhoneNumber="+15550100", Message="m")
        batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "1", "Message": "m"}])
        assert batch["Successful"][0]["Id"] == "1"
        assert ses.send_email(Source="shop@shop.test", Destination=to, Message=mail)["MessageId"]
        assert sesv2.send_email(FromEmailAddress="shop@shop.test", Destination=to, Content={"Simple": mail})[
            "MessageId"
        ]
        answer = function.invoke(FunctionName="price", Payload=b"{}")
        assert (answer["StatusCode"], json.loads(answer["Payload"].read())) == (200, None)
        assert function.invoke(FunctionName="price", InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
        assert function.get_function(FunctionName="price")["Configuration"]["FunctionName"] == "price"
        function.delete_function(FunctionName="price")
    assert ses.get_send_quota()["SentLast24Hours"] == 0
    assert len(function.list_functions()["Functions"]) == 1
    names = ["sns:Publish events", "sns:Publish", "sns:PublishBatch events", "ses:SendEmail", "sesv2:SendEmail"]
    names += ["lambda:Invoke price", "lambda:Invoke price", "lambda:DeleteFunction price"]
    assert telemetry.decisions == [("suppressed", name) for name in names]


def test_what_has_no_shadow_is_refused(aws: AwsServer, arm_service: Arm) -> None:
    ses = aws.client("ses")
    with bullet(arm_service(aws="shadow")), pytest.raises(WriteRefused, match="no resource"):
        ses.verify_email_identity(EmailAddress="shop@shop.test")
    assert ses.list_identities()["Identities"] == []


def test_operations_that_nobody_wrote_an_answer_for(aws: AwsServer, arm_service: Arm) -> None:
    with bullet(arm_service()):
        secret = aws.client("secretsmanager").create_secret(Name="s", SecretString="x")
        started = aws.client("stepfunctions").start_execution(
            stateMachineArn="arn:aws:states:us-east-1:123456789012:stateMachine:pay"
        )
        speech = aws.client("polly").synthesize_speech(Text="x", OutputFormat="mp3", VoiceId="Joanna")
        with pytest.raises(WriteRefused, match="stream of events"):
            aws.client("bedrock-runtime").invoke_model_with_response_stream(modelId="anthropic.claude-v2", body=b"{}")
    assert secret["ARN"]
    assert started["executionArn"]
    assert started["startDate"].tzinfo is not None
    assert speech["AudioStream"].read() == b""


def test_rules_per_operation(aws: AwsServer, arm_service: Arm, telemetry: Telemetry) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="photos")
    rules = (
        Rule(sink="aws", operation="s3:Put* photos", policy="allow"),
        Rule(sink="aws", operation="s3:Delete*", policy="deny"),
    )
    with bullet(arm_service(rules=rules)):
        s3.put_object(Bucket="photos", Key="k", Body=b"x")
        with pytest.raises(WriteRefused):
            s3.delete_object(Bucket="photos", Key="k")
        s3.create_bucket(Bucket="other")
    assert [decision for decision, _ in telemetry.decisions] == ["allowed", "denied", "suppressed"]
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["photos"]


def test_what_event_handlers_call_is_judged_by_itself(aws: AwsServer, arm_service: Arm, telemetry: Telemetry) -> None:
    s3 = aws.client("s3")
    with serving() as peer:
        s3.meta.events.register("before-send.s3.*", lambda **_: requests.post(peer.url, data=b"1", timeout=60) and None)
        with bullet(arm_service()), pytest.raises(WriteRefused):
            s3.list_buckets()
        assert peer.requests == []
        s3.list_buckets()
        assert peer.stored == ["1"]
    assert telemetry.decisions == [("denied", "POST 127.0.0.1/")]
