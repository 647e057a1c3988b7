"""A recording in each format: golden files, and what no tool here can make. FORMATS-wide tests go over SAMPLES."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.capture.formats.otlp.exports import CLIENT, S, as_json, export, framed

GOLDEN = Path(__file__).parent / "golden"


def golden(*names: str) -> list[bytes]:
    return [(GOLDEN / name).read_bytes() for name in names]


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


POSTMAN: dict[str, Any] = {
    "info": {"name": "Shop", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
    "variable": [{"key": "base", "value": "https://shop.example:8443/api"}, {"key": "token", "value": "t1"}],
    "item": [
        {
            "name": "folder",
            "item": [
                {
                    "name": "login",
                    "request": {
                        "method": "POST",
                        "auth": {"type": "noauth"},
                        "header": [{"key": "X-A", "value": "1"}, {"key": "X-B", "value": "2", "disabled": True}],
                        "url": {"raw": "{{base}}/users/:id?q=a b", "variable": [{"key": "id", "value": "7"}]},
                        "body": {
                            "mode": "raw",
                            "raw": '{"name": "änne"}',
                            "options": {"raw": {"language": "json"}},
                        },
                    },
                    "response": [
                        {
                            "name": "ok",
                            "originalRequest": {"method": "GET", "url": {"raw": "{{base}}/saved"}},
                            "code": 201,
                            "header": [{"key": "Content-Type", "value": "application/json"}],
                            "body": '{"ok": true}',
                        }
                    ],
                }
            ],
        },
        {"name": "form", "request": {"method": "POST", "url": "{{base}}/form", "body": {
            "mode": "urlencoded", "urlencoded": [{"key": "a", "value": "1 2"}, {"key": "b", "value": "ä&"}]}}},
        {"name": "file", "request": {"method": "PUT", "url": "{{base}}/file", "body": {
            "mode": "file", "file": {"src": "a.png"}}}},
        {"name": "open", "request": {"method": "GET", "url": "{{unknown}}/x"}},
    ],
}  # fmt: skip

INSOMNIA: dict[str, Any] = {
    "_type": "export",
    "__export_format": 4,
    "__export_date": "2026-01-01T00:00:00.000Z",
    "resources": [
        {"_id": "req_1", "_type": "request", "method": "POST", "url": "{{ _.base.url }}/login",
         "headers": [{"name": "X-A", "value": "{{ a }}"}, {"name": "X-B", "value": "2", "disabled": True}],
         "parameters": [{"name": "q", "value": "a b"}],
         "body": {"mimeType": "application/json", "text": '{"n": 1}'},
         "authentication": {"type": "basic", "username": "u", "password": "p"}},
        {"_id": "req_2", "_type": "request", "method": "POST", "url": "{{ _.base.url }}/form", "headers": [],
         "body": {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "1 2"}]}},
        {"_id": "req_3", "_type": "request", "method": "GET", "url": "{% response 'body' %}/x"},
        {"_id": "greq_1", "_type": "grpc_request", "name": "rpc"},
        {"_id": "env_1", "_type": "environment", "data": {"base": {"url": "https://shop.example"}, "a": "1"}},
    ],
}  # fmt: skip

CURL = r"""# copied from the browser
curl 'https://shop.example/login?x=1' \
  -X 'POST' \
  -H 'content-type: application/json' \
  -H 'cookie: sid=1' \
  --data-raw $'{"name":"\u00e4nne\u0021","q":"it\'s"}' \
  --compressed ;
curl "https://shop.example/items" -H "accept: */*" --compressed
curl https://shop.example/form -d a=1 -d 'b=2 3' -u u:p
curl -sSL --http2 -XDELETE https://shop.example/none
curl https://shop.example/upload -F file=@a.png
curl 'https://shop.example/lines' --data-raw 'one
two'
"""

SPEEDSCALE: list[dict[str, Any]] = [
    {
        "msgType": "rrpair",
        "ts": "2026-01-02T03:04:05.678901Z",
        "duration": 12.5,
        "direction": "IN",
        "l7protocol": "http",
        "tech": "JSON",
        "session": "s1",
        "uuid": "u1",
        "http": {
            "req": {
                "url": "http://shop.example/login?x=1",
                "uri": "/login",
                "version": "1.1",
                "method": "POST",
                "host": "shop.example",
                "headers": {"Content-Type": ["application/json"], "Content-Length": ["7"]},
                "bodyBase64": "eyJhIjoxfQ==",
            },
            "res": {"statusCode": 200, "headers": {"Set-Cookie": ["a=1", "b=2"]}, "bodyBase64": "b2s="},
        },
    },
    {"msgType": "rrpair", "ts": "2026-01-02T03:04:06Z", "direction": "OUT", "http": {"req": {
        "url": "http://db.example/", "method": "GET"}}},
    {"msgType": "rrpair", "ts": "2026-01-02T03:04:06Z", "direction": "IN", "l7protocol": "postgres"},
]  # fmt: skip

_POINT = {"type": "Point", "metric": "http_req_duration"}
_TAGS = {"expected_response": "true", "method": "GET", "name": "https://shop.example/items", "proto": "HTTP/2.0",
         "scenario": "default", "status": "200", "url": "https://shop.example/items?x=1"}  # fmt: skip
K6 = (
    b'{"type":"Metric","data":{"name":"http_req_duration","type":"trend","contains":"time"},"metric":"http_req_duration"}\n'
    b'{"metric":"http_reqs","type":"Point","data":{"time":"2026-01-02T03:04:05.6+01:00","value":1,"tags":{}}}\n'
    + lines(
        {**_POINT, "data": {"time": "2026-01-02T03:04:05.678901234+01:00", "value": 12.5, "tags": _TAGS}},
        {**_POINT, "data": {"time": "2026-01-02T03:04:06Z", "value": 1, "tags": {
            **_TAGS, "method": "POST", "status": "0", "proto": "", "vu": "3"}}},
        {**_POINT, "data": {"time": "2026-01-02T03:04:07Z", "value": 1, "tags": {**_TAGS, "url": "https://a/${}"}}},
    )
)  # fmt: skip

LOCUST = (
    b"timestamp,request_type,name,response_time_ms,response_length,status_code,exception\r\n"
    b"1767323045.123456,GET,/items?x=1,12.5,420,200,\r\n"
    b'1767323046.5,POST,https://shop.example/login,3.25,0,0,"refused, twice"\r\n'
    b"1767323047,GET,login page,1,0,200,\r\n"
)

HAR_ODD: dict[str, Any] = {
    "log": {
        "version": "1.2",
        "creator": {"name": "odd", "version": "1"},
        "entries": [
            {"startedDateTime": "2026-01-02T03:04:05.678+01:00", "time": None, "request": {
                "method": "GET", "url": "https://shop.example/a b?q=ä#frag", "httpVersion": "h3",
                "headers": [{"name": ":authority", "value": "other.example"}, {"name": ":method", "value": "GET"}]},
             "response": {"status": 0, "headers": [], "content": {}}},
            {"startedDateTime": "2026-01-02T03:04:06Z", "time": 5, "connection": "12", "request": {
                "method": "POST", "url": "https://shop.example/form", "httpVersion": "",
                "headers": [{"name": "Content-Length", "value": "7"}],
                "postData": {"mimeType": "application/x-www-form-urlencoded", "params": [
                    {"name": "a", "value": "1 2"}, {"name": "b", "value": ""}]}},
             "response": {"status": 200, "headers": [{"name": "Set-Cookie", "value": "a=1\nb=2"}],
                          "content": {"size": 5}}},
            {"startedDateTime": "2026-01-02T03:04:06Z", "request": {"method": "CONNECT", "url": "shop.example:443"}},
            {"startedDateTime": "yesterday", "request": {"method": "GET", "url": "https://shop.example/"}},
            {"no": "request"},
            {"startedDateTime": "2026-01-02T03:04:06Z", "request": {"method": "GET", "url": "blob:https://x/1"}},
        ],
    }
}  # fmt: skip

OTLP = [
    export(S(1, attributes={"http.request.method": "GET", "url.path": "/items", "client.address": "203.0.113.7"})),
    export(S(2, parent=1, kind=CLIENT), S(3, parent=2, attributes={"http.method": "GET", "http.target": "/inner"})),
    export(S(4, parent=9, attributes={"rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": "Add"})),
]
JSON_LOG = {"msec": "1795290303.876", "request": "GET /items?x=1 HTTP/1.1", "status": 200, "http_host": "shop.example"}
# nginx and Apache write lines that look alike: only the user can tell them apart.
SEEN_AS = {"nginx": "access-log", "apache": "access-log"}
SAID: dict[str, Any] = {"access-log": {"log_time": "end"}}

TAP_FILE = "envoy-tap/buffered-pb/tap_2.pb"
SAMPLES: dict[str, list[bytes]] = {
    "har": [*golden("har/chromium.har", "har/mitmproxy-11.0.2.har"), json.dumps(HAR_ODD).encode()],
    "goreplay": golden("goreplay/goreplay-1.3.2.gor", "goreplay/goreplay-1.3.2-unordered.gor"),
    "mitmproxy": golden("mitmproxy/mitmproxy-11.0.2.mitm"),
    "envoy-tap": golden("envoy-tap/admin.json", "envoy-tap/streamed-json/tap_1.json"),
    "envoy-tap-protobuf": golden(
        TAP_FILE,
        "envoy-tap/buffered-delimited/tap_1.pb_length_delimited",
        "envoy-tap/streamed-delimited/tap_2.pb_length_delimited",
    ),
    "postman": [json.dumps(POSTMAN).encode(), json.dumps(POSTMAN, indent="\t").encode()],
    "insomnia": [json.dumps(INSOMNIA).encode()],
    "curl": [CURL.encode()],
    "speedscale": [lines(*SPEEDSCALE)],
    "k6": [K6],
    "locust": [LOCUST],
    "otlp-json": [lines(*map(as_json, OTLP))],
    "otlp-protobuf": [b"".join(one.SerializeToString() for one in OTLP), framed(*OTLP)],
    "envoy": golden("logs/envoy/default.log", "logs/envoy/istio.log"),
    "envoy-json": golden("logs/envoy/istio-json.log"),
    "alb": golden("logs/aws/alb.log", "logs/aws/alb-2017.log"),
    "elb": golden("logs/aws/elb.log"),
    "cloudfront": golden("logs/aws/cloudfront.log", "logs/aws/cloudfront-v2.json"),
    "nginx": golden("logs/nginx/combined.log"),
    "apache": golden("logs/apache/combined.log", "logs/apache/common.log"),
    "access-log": golden("logs/nginx/combined.log"),
    "json-log": [lines(JSON_LOG, {**JSON_LOG, "request": "POST /orders HTTP/2.0"})],
}
