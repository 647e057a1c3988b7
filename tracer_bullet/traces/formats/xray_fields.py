"""What an X-Ray document says of its request, in OpenTelemetry's names.

Source: "AWS X-Ray segment documents" (fields), OpenTelemetry's semantic conventions (names). What has no name there
is kept as `aws.xray.<field>`, so that nothing of a document is lost but stack frames' places in `cause.paths`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracer_bullet.model import SpanEvent
from tracer_bullet.traces.formats.lenient import flat, items, part, text_of, texts, word

_REQUEST: Final = {
    "method": "http.request.method",
    "url": "url.full",
    "user_agent": "user_agent.original",
    "client_ip": "client.address",
}
_RESPONSE: Final = {"status": "http.response.status_code", "content_length": "http.response.body.size"}
_SQL: Final = {
    "sanitized_query": "db.query.text",
    "database_type": "db.system.name",
    "user": "db.user",
    "database_version": "db.version",
}
# X-Ray's SDKs write the product's name, as JDBC's metadata spells it.
_DATABASES: Final = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "oracle": "oracle.db",
    "microsoft sql server": "microsoft.sql_server",
    "mssql": "microsoft.sql_server",
    "sqlite": "sqlite",
}
_CALL: Final = {
    "operation": "rpc.method",
    "region": "cloud.region",
    "request_id": "aws.request_id",
    "account_id": "cloud.account.id",
    "queue_url": "aws.sqs.queue.url",
    "table_name": "aws.dynamodb.table_names",
    "bucket_name": "aws.s3.bucket",
    "retries": "http.request.resend_count",
}
_HOST: Final = {
    "account_id": "cloud.account.id",
    "ec2.instance_id": "host.id",
    "ec2.instance_size": "host.type",
    "ec2.ami_id": "host.image.id",
    "ec2.availability_zone": "cloud.availability_zone",
    "ecs.container": "container.name",
    "ecs.container_id": "container.id",
    "ecs.container_arn": "aws.ecs.container.arn",
    "ecs.task_arn": "aws.ecs.task.arn",
    "eks.cluster_name": "k8s.cluster.name",
    "eks.pod": "k8s.pod.name",
    "eks.container_id": "container.id",
    "elastic_beanstalk.environment_name": "deployment.environment.name",
    "elastic_beanstalk.version_label": "service.version",
    "elastic_beanstalk.deployment_id": "service.instance.id",
    "xray.sdk": "telemetry.sdk.name",
    "xray.sdk_version": "telemetry.sdk.version",
    "function_arn": "cloud.resource_id",
    "resource_arn": "cloud.resource_id",
}
_SERVICE: Final = {
    "version": "service.version",
    "runtime": "process.runtime.name",
    "runtime_version": "process.runtime.version",
}
_PLATFORMS: Final = {
    "AWS::EC2::Instance": "aws_ec2",
    "AWS::ECS::Container": "aws_ecs",
    "AWS::ECS::EC2": "aws_ecs",
    "AWS::ECS::Fargate": "aws_ecs",
    "AWS::EKS::Container": "aws_eks",
    "AWS::ElasticBeanstalk::Environment": "aws_elastic_beanstalk",
    "AWS::Lambda::Function": "aws_lambda",
    "AWS::AppRunner::Service": "aws_app_runner",
}
# Members that the reader itself uses, or that go somewhere else than into attributes.
_READ: Final = {
    *("name", "id", "trace_id", "parent_id", "start_time", "end_time", "in_progress", "subsegments", "type"),
    *("http", "sql", "aws", "annotations", "metadata", "cause", "error", "fault", "throttle", "namespace"),
    *("links", "inferred", "user", "origin", "service", "resource_arn", "precursor_ids"),
}
_FLAGS: Final = ("error", "fault", "throttle")
_DSN = re.compile(r"(?:jdbc:)?[\w+]+:(?:[^@/]*@)?/?/?([\w.-]+)(?::(\d{1,5}))?(?:/([\w$-]+))?")
_STORES: Final = {"DynamoDB": "aws.dynamodb", "Redshift": "aws.redshift"}
_BROKERS: Final = {"SQS": "aws_sqs", "SNS": "aws_sns", "Kinesis": "aws_kinesis"}


def attributes_of(document: Mapping[str, Any]) -> dict[str, str]:
    """A segment's or subsegment's attributes; `annotations` are the user's own and win."""
    found = {
        **{f"aws.xray.{key}": text_of(document[key]) for key in document if key not in _READ},
        **{f"aws.xray.{flag}": "true" for flag in _FLAGS if document.get(flag) is True},
        **_renamed(part(part(document, "http"), "request"), _REQUEST, "aws.xray.http.request."),
        **_renamed(part(part(document, "http"), "response"), _RESPONSE, "aws.xray.http.response."),
        **_sql(document),
        **texts(part(document, "metadata"), "aws.xray.metadata."),
    }
    for key, name in (("user", "user.id"), ("namespace", "aws.xray.namespace")):
        if text := word(document, key):
            found[name] = text
    if isinstance(document.get("cause"), str):
        found["aws.xray.cause"] = document["cause"]
    if document.get("namespace") == "aws":
        found |= _call(document)
    return {**found, **texts(document.get("annotations"))}


def resource_of(segment: Mapping[str, Any]) -> dict[str, str]:
    """The resource that a segment ran on; its subsegments ran there too."""
    found = _renamed(dict(flat(part(segment, "aws"))), _HOST, "aws.xray.")
    origin = word(segment, "origin")
    if origin:
        found["aws.xray.origin"] = origin
        if origin in _PLATFORMS:
            found["cloud.platform"] = _PLATFORMS[origin]
    if origin.startswith("AWS::") or found:
        found["cloud.provider"] = "aws"
    if arn := word(segment, "resource_arn"):
        found["cloud.resource_id"] = arn
    return {**found, **_renamed(part(segment, "service"), _SERVICE, "aws.xray.service.")}


def events_of(document: Mapping[str, Any], time_ns: int) -> Iterator[SpanEvent]:
    """An `exception` event for each exception of the cause, as OpenTelemetry records them."""
    for exception in items(document.get("cause"), "exceptions"):
        if isinstance(exception, dict):
            found = {
                "exception.type": word(exception, "type"),
                "exception.message": word(exception, "message"),
                "exception.stacktrace": "\n".join(_frames(exception)),
                "aws.xray.exception.id": word(exception, "id"),
                "aws.xray.exception.cause": word(exception, "cause"),
                "aws.xray.exception.remote": word(exception, "remote"),
            }
            yield SpanEvent(time_ns=time_ns, name="exception", attributes={k: v for k, v in found.items() if v})


def _frames(exception: Mapping[str, Any]) -> Iterator[str]:
    for frame in items(exception, "stack"):
        yield f"{word(frame, 'path')}:{word(frame, 'line')} {word(frame, 'label')}".rstrip()


def _renamed(values: Mapping[str, Any], names: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {names.get(key, prefix + key): text_of(value) for key, value in values.items() if value is not None}


def _sql(document: Mapping[str, Any]) -> dict[str, str]:
    sql = part(document, "sql")
    found = _renamed(sql, _SQL, "aws.xray.sql.")
    if system := found.get("db.system.name"):
        found["db.system.name"] = _DATABASES.get(system.lower(), system.lower())
    address = _DSN.match(word(sql, "url") or word(sql, "connection_string"))
    if address:
        host, port, database = address.groups()
        named = {"server.address": host, "server.port": port, "db.namespace": database}
        found |= {name: text for name, text in named.items() if text}
    return found


def _call(document: Mapping[str, Any]) -> dict[str, str]:
    """A call of an AWS service: what is called, and the store or queue behind it."""
    service = word(document, "name")
    found = {
        "rpc.system": "aws-api",
        "rpc.service": service,
        **_renamed(part(document, "aws"), _CALL, "aws.xray."),
    }
    if service in _STORES:
        found["db.system.name"] = _STORES[service]
        if table := found.get("aws.dynamodb.table_names"):
            found["db.collection.name"] = table
    if service in _BROKERS:
        found["messaging.system"] = _BROKERS[service]
        target = found.get("aws.sqs.queue.url") or found.get("aws.xray.topic_arn") or found.get("aws.xray.stream_name")
        if target:
            found["messaging.destination.name"] = re.split("[/:]", target)[-1]
    return found
