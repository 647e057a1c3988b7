"""Answers to AWS writes that were not sent: what the operation returns when all went well.

The common operations have answers of their own; for the rest one is made from the output
shape of the service's model: required members, and identifiers.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Params = Mapping[str, Any]
_MAX_DEPTH = 6
_IDENTIFIER = ("Id", "ID", "Arn", "ARN", "id", "arn")


def answer(service: str, operation_model: Any, params: Params) -> tuple[Any, dict[str, Any]]:
    """botocore's HTTP response and the parsed one."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415  # only where the service uses it

    made = _KNOWN.get((service, operation_model.name))
    parsed = made(params) if made is not None else _from_shape(operation_model.output_shape)
    parsed["ResponseMetadata"] = {
        "RequestId": _id(),
        "HTTPStatusCode": 200,
        "HTTPHeaders": {},
        "RetryAttempts": 0,
    }
    return AWSResponse("https://suppressed.invalid/", 200, {}, None), parsed


def streaming(content: bytes) -> Any:
    """A response body that is read like one from the wire."""
    from botocore.response import StreamingBody  # noqa: PLC0415

    return StreamingBody(io.BytesIO(content), len(content))


def _id() -> str:
    return str(uuid.uuid4())


def _md5(value: Any) -> str:
    data = value.encode() if isinstance(value, str) else bytes(value)
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _etag(params: Params) -> str:
    """Quoted, as S3 gives it: of what is in memory its MD5; a stream is left unread."""
    body = params.get("Body", b"")
    if isinstance(body, io.BytesIO):
        body = body.getvalue()[body.tell() :]
    return f'"{_md5(body) if isinstance(body, (bytes, bytearray, str)) else uuid.uuid4().hex}"'


def _copied(_params: Params) -> dict[str, Any]:
    return {"ETag": f'"{uuid.uuid4().hex}"', "LastModified": datetime.now(UTC)}


def _queued(message: Params, queue: str) -> dict[str, Any]:
    fifo = {"SequenceNumber": str(uuid.uuid4().int)[:20]} if queue.endswith(".fifo") else {}
    return {"MessageId": _id(), "MD5OfMessageBody": _md5(message.get("MessageBody", "")), **fifo}


def _each(entries: Iterable[Params], make: Callable[[Params], dict[str, Any]]) -> dict[str, Any]:
    return {"Successful": [{"Id": entry["Id"], **make(entry)} for entry in entries], "Failed": []}


def _invoked(params: Params) -> dict[str, Any]:
    if params.get("InvocationType") == "Event":
        return {"StatusCode": 202, "Payload": streaming(b"")}
    return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": streaming(b"null")}


def _uploading(params: Params) -> dict[str, Any]:
    return {"Bucket": params.get("Bucket"), "Key": params.get("Key"), "UploadId": uuid.uuid4().hex}


def _uploaded(params: Params) -> dict[str, Any]:
    bucket, key = params.get("Bucket"), params.get("Key")
    location = f"https://{bucket}.s3.amazonaws.com/{key}"
    return {"Bucket": bucket, "Key": key, "Location": location, "ETag": f'"{uuid.uuid4().hex}-1"'}


_KNOWN: dict[tuple[str, str], Callable[[Params], dict[str, Any]]] = {
    ("dynamodb", "BatchWriteItem"): lambda _: {"UnprocessedItems": {}},
    ("dynamodb", "DeleteItem"): lambda _: {},
    ("dynamodb", "PutItem"): lambda _: {},
    ("dynamodb", "TransactWriteItems"): lambda _: {},
    ("dynamodb", "UpdateItem"): lambda _: {},
    ("events", "PutEvents"): lambda p: {"FailedEntryCount": 0, "Entries": [{"EventId": _id()} for _ in p["Entries"]]},
    ("firehose", "PutRecordBatch"): lambda p: {
        "FailedPutCount": 0,
        "RequestResponses": [{"RecordId": _id()} for _ in p["Records"]],
    },
    ("kinesis", "PutRecord"): lambda _: {"ShardId": "shardId-000000000000", "SequenceNumber": str(uuid.uuid4().int)},
    ("kinesis", "PutRecords"): lambda p: {
        "FailedRecordCount": 0,
        "Records": [{"ShardId": "shardId-000000000000", "SequenceNumber": str(uuid.uuid4().int)} for _ in p["Records"]],
    },
    ("lambda", "Invoke"): _invoked,
    ("s3", "AbortMultipartUpload"): lambda _: {},
    ("s3", "CompleteMultipartUpload"): _uploaded,
    ("s3", "CopyObject"): lambda p: {"CopyObjectResult": _copied(p)},
    ("s3", "CreateBucket"): lambda p: {"Location": f"/{p.get('Bucket')}"},
    ("s3", "CreateMultipartUpload"): _uploading,
    ("s3", "DeleteObject"): lambda _: {},
    ("s3", "DeleteObjects"): lambda p: {"Deleted": [{"Key": o["Key"]} for o in p["Delete"]["Objects"]]},
    ("s3", "PutObject"): lambda p: {"ETag": _etag(p)},
    ("s3", "UploadPart"): lambda p: {"ETag": _etag(p)},
    ("s3", "UploadPartCopy"): lambda p: {"CopyPartResult": _copied(p)},
    ("ses", "SendBulkTemplatedEmail"): lambda p: {
        "Status": [{"Status": "Success", "MessageId": _id()} for _ in p["Destinations"]]
    },
    ("sesv2", "SendBulkEmail"): lambda p: {
        "BulkEmailEntryResults": [{"Status": "SUCCESS", "MessageId": _id()} for _ in p["BulkEmailEntries"]]
    },
    ("sns", "PublishBatch"): lambda p: _each(p["PublishBatchRequestEntries"], lambda _: {"MessageId": _id()}),
    ("sqs", "ChangeMessageVisibilityBatch"): lambda p: _each(p["Entries"], lambda _: {}),
    ("sqs", "DeleteMessageBatch"): lambda p: _each(p["Entries"], lambda _: {}),
    ("sqs", "ReceiveMessage"): lambda _: {},
    ("sqs", "SendMessage"): lambda p: _queued(p, str(p.get("QueueUrl", ""))),
    ("sqs", "SendMessageBatch"): lambda p: _each(p["Entries"], lambda e: _queued(e, str(p.get("QueueUrl", "")))),
}


def _from_shape(shape: Any) -> dict[str, Any]:
    """The members of an output that a caller can count on."""
    if shape is None:
        return {}
    payload = shape.serialization.get("payload")
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        if name == payload and member.type_name == "blob":
            found[name] = streaming(b"")
        elif name in shape.required_members or (member.type_name == "string" and name.endswith(_IDENTIFIER)):
            found[name] = _value(name, member, 0)
    return found


def _value(name: str, shape: Any, depth: int) -> Any:
    if shape.type_name == "structure":
        wanted = shape.required_members if depth < _MAX_DEPTH else ()
        return {member: _value(member, shape.members[member], depth + 1) for member in wanted}
    if shape.type_name == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else _id() if name.endswith(_IDENTIFIER) else ""
    plain: dict[str, Any] = {"list": [], "map": {}, "boolean": False, "blob": b"", "timestamp": datetime.now(UTC)}
    return plain.get(shape.type_name, 0)
