"""Writes this folder's files with Google's own message classes (`pip install google-cloud-trace`): `python make.py`."""

from __future__ import annotations

from pathlib import Path

from google.cloud import trace_v1, trace_v2
from google.protobuf.json_format import MessageToJson, ParseDict

HERE = Path(__file__).parent
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BASE = f"projects/shop-prod/traces/{TRACE}/spans"


def v1() -> trace_v1.ListTracesResponse:
    server = {
        "g.co/gae/app/module": "web",
        "g.co/gae/app/version": "7",
        "/http/method": "GET",
        "/http/status_code": "502",
    }
    trace = {
        "projectId": "shop-prod",
        "traceId": TRACE,
        "spans": [
            {"spanId": "1", "kind": "RPC_SERVER", "name": "/cart", "startTime": "2024-05-01T10:00:00.000000001Z",
             "endTime": "2024-05-01T10:00:00.250Z", "labels": server},
            {"spanId": "18446744073709551615", "parentSpanId": "1", "kind": "RPC_CLIENT", "name": "stock.Get",
             "startTime": "2024-05-01T10:00:00.010Z", "endTime": "2024-05-01T10:00:00.200Z",
             "labels": {"/http/url": "http://stock/items", "/error/message": "no stock"}},
            {"spanId": "3", "parentSpanId": "18446744073709551615", "kind": "RPC_SERVER", "name": "/items",
             "startTime": "2024-05-01T10:00:00.020Z", "endTime": "2024-05-01T10:00:00.190Z",
             "labels": {"service.name": "stock", "g.co/r/k8s_container/pod_name": "stock-1",
                        "g.co/r/k8s_container/location": "europe-west1"}},
            {"spanId": "4", "parentSpanId": "3", "name": "lookup", "startTime": "2024-05-01T10:00:00.030Z",
             "endTime": "2024-05-01T10:00:00.040Z"},
        ],
    }  # fmt: skip
    message = trace_v1.ListTracesResponse()
    ParseDict({"traces": [trace], "nextPageToken": "more"}, message._pb)
    return message


def text(value: str, cut: int = 0) -> dict[str, object]:
    return {"value": value, "truncatedByteCount": cut}


def v2() -> trace_v2.BatchWriteSpansRequest:
    spans = [
        {"name": f"{BASE}/00f067aa0ba902b7", "spanId": "00f067aa0ba902b7", "displayName": text("GET /cart"),
         "startTime": "2024-05-01T10:00:00.000000001Z", "endTime": "2024-05-01T10:00:00.25Z", "spanKind": "SERVER",
         "childSpanCount": 2, "status": {"code": 14, "message": "stock is away"},
         "attributes": {"attributeMap": {
             "/http/method": {"stringValue": text("GET")}, "/http/status_code": {"intValue": "503"},
             "sampled": {"boolValue": True}, "note": {"stringValue": text("cut he", 94)},
             "g.co/r/generic_task/job": {"stringValue": text("web")},
             "g.co/r/generic_task/task_id": {"stringValue": text("web-1")}}, "droppedAttributesCount": 3}},
        {"name": f"{BASE}/00f067aa0ba902b8", "spanId": "00f067aa0ba902b8", "parentSpanId": "00f067aa0ba902b7",
         "displayName": text("render"), "startTime": "2024-05-01T10:00:00.1Z", "endTime": "2024-05-01T10:00:00.11Z",
         "spanKind": "INTERNAL", "sameProcessAsParentSpan": True, "status": {},
         "timeEvents": {"timeEvent": [
             {"time": "2024-05-01T10:00:00.105Z", "annotation": {
                 "description": text("cache miss"),
                 "attributes": {"attributeMap": {"key": {"stringValue": text("c1")}}}}},
             {"time": "2024-05-01T10:00:00.106Z", "messageEvent": {
                 "type": "SENT", "id": "7", "uncompressedSizeBytes": "100", "compressedSizeBytes": "40"}}],
             "droppedAnnotationsCount": 1},
         "links": {"link": [{"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "type": "PARENT_LINKED_SPAN",
                             "attributes": {"attributeMap": {"why": {"stringValue": text("batch")}}}}],
                   "droppedLinksCount": 2}},
        {"name": f"{BASE}/00f067aa0ba902b9", "spanId": "00f067aa0ba902b9", "parentSpanId": "00f067aa0ba902b7",
         "displayName": text("Recv"), "startTime": "2024-05-01T10:00:00.12Z", "endTime": "2024-05-01T10:00:00.13Z",
         "spanKind": "SERVER", "sameProcessAsParentSpan": False,
         "stackTrace": {"stackTraceHashId": "99"}},
    ]  # fmt: skip
    message = trace_v2.BatchWriteSpansRequest()
    ParseDict({"name": "projects/shop-prod", "spans": spans}, message._pb)
    return message


def main() -> None:
    (HERE / "v1.json").write_text(MessageToJson(v1()._pb) + "\n")
    (HERE / "v2.json").write_text(MessageToJson(v2()._pb) + "\n")
    # What the client library's own to_json writes: enums as numbers, defaults included.
    (HERE / "v1-client.json").write_text(trace_v1.ListTracesResponse.to_json(v1()) + "\n")
    (HERE / "v2-client.json").write_text(trace_v2.BatchWriteSpansRequest.to_json(v2()) + "\n")


if __name__ == "__main__":
    main()
