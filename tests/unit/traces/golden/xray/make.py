"""Writes this folder's files with the real SDK and moto's server: `python -m tests.unit.traces.golden.xray.make`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from aws_xray_sdk.core import AWSXRayRecorder
from aws_xray_sdk.core.context import Context
from aws_xray_sdk.core.models.trace_header import TraceHeader

from tests.servers.aws import AwsServer

HERE = Path(__file__).parent


def shop(recorder: AWSXRayRecorder) -> tuple[str, str]:
    """One request that web passes to shop, which calls a table, a database and a third party."""
    web = recorder.begin_segment("web")
    web.put_http_meta("method", "GET")
    web.put_http_meta("url", "https://web.example/cart")
    web.put_http_meta("client_ip", "192.0.2.7")
    web.put_http_meta("status", 502)
    web.put_annotation("tenant", "acme")
    web.put_annotation("retry", 2)
    web.put_metadata("cart", {"items": [1, 2.5]}, "shop")
    web.set_user("u-1")
    call = recorder.begin_subsegment("shop.example", namespace="remote")
    call.put_http_meta("url", "https://shop.example/cart")
    call.put_http_meta("method", "GET")
    call.put_http_meta("status", 500)
    trace_id, caller = web.trace_id, call.id
    recorder.end_subsegment()
    recorder.end_segment()

    recorder.begin_segment("shop", traceid=trace_id, parent_id=caller)
    recorder.begin_subsegment("price")
    table = recorder.begin_subsegment("DynamoDB", namespace="aws")
    table.set_aws(
        {"operation": "GetItem", "region": "us-east-1", "table_name": "prices", "request_id": "R1", "retries": 0}
    )
    recorder.end_subsegment()
    recorder.end_subsegment()
    query = recorder.begin_subsegment("orders@db.example", namespace="remote")
    query.set_sql({
        "url": "postgresql://db.example:5432/orders", "database_type": "PostgreSQL", "user": "shop",
        "sanitized_query": "SELECT 1",
    })  # fmt: skip
    recorder.end_subsegment()
    queue = recorder.begin_subsegment("SQS", namespace="aws")
    queue.set_aws({"operation": "SendMessage", "queue_url": "https://sqs.us-east-1.amazonaws.com/1/orders"})
    recorder.end_subsegment()
    try:
        with recorder.in_subsegment("bank.example", namespace="remote"):
            raise TimeoutError("the bank did not answer")
    except TimeoutError:
        pass
    recorder.current_segment().add_fault_flag()
    recorder.end_segment()
    return trace_id, TraceHeader(root=trace_id, parent=caller).to_header_str()


def captured(threshold: int) -> list[str]:
    """What the SDK sends to the daemon's port; above `threshold` subsegments it sends them apart."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(1)
        recorder = AWSXRayRecorder()
        recorder.configure(
            daemon_address=f"127.0.0.1:{daemon.getsockname()[1]}", sampling=False, context=Context(), plugins=(),
            stream_sql=True, streaming_threshold=threshold, context_missing="RUNTIME_ERROR", max_trace_back=2,
        )  # fmt: skip
        shop(recorder)
        recorder.emitter._socket.close()
        packets = []
        try:
            while True:
                packets.append(daemon.recv(1 << 16).decode())
        except TimeoutError:
            return [packet.replace(str(HERE.parents[4]), "/srv") for packet in packets]


def main() -> None:
    whole, apart = captured(100), captured(0)
    (HERE / "daemon.txt").write_text("\n".join(whole) + "\n")
    (HERE / "daemon-apart.txt").write_text("\n".join(apart) + "\n")
    documents = [packet.split("\n", 1)[1] for packet in whole]
    with AwsServer() as aws:
        client = aws.client("xray")
        client.put_trace_segments(TraceSegmentDocuments=documents)
        answer = client.batch_get_traces(
            TraceIds=[json.loads(documents[0])["trace_id"], "1-00000000-" + "0" * 23 + "1"]
        )
        answer.pop("ResponseMetadata")
        aws.close_clients()
    (HERE / "batch-get-traces.json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
