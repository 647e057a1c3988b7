"""What an AWS operation does and to which resource, from its name and parameters alone.

Names are botocore's: service `s3`, operation `PutObject`. What is not known to be a read is a write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_READ_VERBS = re.compile(
    r"(Get|List|Describe|Head|Search|Lookup|BatchGet|BatchDescribe|Validate|Estimate)(?=[A-Z0-9]|$)"
)
_READS: Final[dict[str, frozenset[str]]] = {
    "dynamodb": frozenset({"Query", "Scan", "TransactGetItems"}),
    "eks-auth": frozenset({"AssumeRoleForPodIdentity"}),
    "kms": frozenset(
        {
            *("Decrypt", "Encrypt", "ReEncrypt", "Sign", "Verify", "GenerateMac", "VerifyMac", "DeriveSharedSecret"),
            *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateRandom"),
            "GenerateDataKeyPairWithoutPlaintext",
        }
    ),
    "logs": frozenset({"FilterLogEvents"}),
    "s3": frozenset({"SelectObjectContent", "CreateSession"}),
    "sdb": frozenset({"Select"}),
    "signin": frozenset({"CreateOAuth2Token"}),
    "sso-oidc": frozenset({"CreateToken"}),
    "sts": frozenset({"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "DecodeAuthorizationMessage"}),
    "timestream-query": frozenset({"Query"}),
}
"""Reads that are not named like one; credentials and encryption leave nothing behind either."""
_WRITES: Final = frozenset(
    {
        ("cognito-identity", "GetId"),
        ("cognito-identity", "GetOpenIdTokenForDeveloperIdentity"),
        ("redshift", "GetClusterCredentials"),
        ("redshift", "GetClusterCredentialsWithIAM"),
        ("redshift-serverless", "GetCredentials"),
        ("stepfunctions", "GetActivityTask"),
    }
)
"""Writes that are named like reads: they make users and identities, or take a task from others."""
_PARTIQL = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
_SELECT = re.compile(r"\s*SELECT\b", re.IGNORECASE)

_RESOURCES: Final[dict[str, tuple[str, ...]]] = {
    "dynamodb": ("TableName",),
    "events": ("EventBusName",),
    "firehose": ("DeliveryStreamName",),
    "kinesis": ("StreamName", "StreamARN"),
    "lambda": ("FunctionName",),
    "s3": ("Bucket",),
    "sns": ("TopicArn", "TargetArn", "Name"),
    "sqs": ("QueueUrl", "QueueName"),
    "stepfunctions": ("stateMachineArn",),
}
"""The parameters that name what an operation acts on; all of them may stand for the same resource."""
SHADOWED: Final = frozenset({"dynamodb", "firehose", "kinesis", "lambda", "s3", "sns", "sqs"})
"""Services whose resources can have a shadow with a name of its own."""
_HEAD = re.compile(
    r"(arn:[^:]*:[^:]*:[^:]*:[^:]*:(?:(?:function|stateMachine):|(?:table|stream|deliverystream)/)?|.*/)?(.*)"
)


def is_write(service: str, operation: str, params: Mapping[str, Any]) -> bool:
    """Whether an operation may change anything."""
    if (service, operation) in _WRITES:
        return True
    if operation in _READS.get(service, ()) or _READ_VERBS.match(operation):
        return False
    if params.get("DryRun") is True or (service == "lambda" and params.get("InvocationType") == "DryRun"):
        return False
    if service == "dynamodb" and operation in _PARTIQL:
        statements = [str(s.get("Statement", "")) for s in _statements(params)]
        return not statements or not all(_SELECT.match(s) for s in statements)
    return True


def _statements(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [params] if "Statement" in params else [*params.get("Statements", ()), *params.get("TransactStatements", ())]


def name_of(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """What the trace says, as IAM names actions: `s3:PutObject photos`; without values."""
    names = dict.fromkeys(_split(text)[1] for text in _named(service, params))
    return f"{service}:{operation} {','.join(names)}".strip()


def in_shadow(service: str, params: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """The parameters with `prefix` before the resource's name; None when there is nothing to rename."""
    if service not in SHADOWED or not any(True for _ in _named(service, params)):
        return None
    prefix = prefix.replace("_", "-").lower() if service == "s3" else prefix
    found = {k: _shadow(v, prefix) if k in _RESOURCES[service] else v for k, v in params.items()}
    if service == "dynamodb" and "RequestItems" in params:
        found["RequestItems"] = {_shadow(table, prefix): items for table, items in params["RequestItems"].items()}
    if service == "dynamodb" and "TransactItems" in params:
        found["TransactItems"] = [
            {kind: {**one, "TableName": _shadow(one.get("TableName", ""), prefix)} for kind, one in item.items()}
            for item in params["TransactItems"]
        ]
    return found


def _named(service: str, params: Mapping[str, Any]) -> Iterator[str]:
    """The texts that name resources, as they came: names, ARNs or URLs."""
    for key in _RESOURCES.get(service, ()):
        if isinstance(params.get(key), str):
            yield params[key]
    if service == "dynamodb":
        yield from params.get("RequestItems", ())
        for item in params.get("TransactItems", ()):
            yield from (one["TableName"] for one in item.values() if "TableName" in one)
    if service == "events":
        yield from (entry["EventBusName"] for entry in params.get("Entries", ()) if "EventBusName" in entry)


def _split(text: str) -> tuple[str, str]:
    """What comes before a resource's name in an ARN or a URL, and the name."""
    match = _HEAD.fullmatch(text)
    return (match.group(1) or "", match.group(2)) if match else ("", text)


def _shadow(text: str, prefix: str) -> str:
    head, name = _split(text)
    return f"{head}{prefix}{name}"
