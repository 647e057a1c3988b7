"""Writes the files of this folder with a real Zipkin server: `python -m tests.unit.traces.golden.zipkin.make`."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.zipkin import run_zipkin

HERE = Path(__file__).parent
NOW_US = 1_700_000_000_000_000


def endpoint(service: str, last: int, port: int = 0) -> dict[str, Any]:
    return {"serviceName": service, "ipv4": f"10.0.0.{last}", **({"port": port} if port else {})}


WEB, SHOP, STOCK, DB, BROKER = (
    endpoint(n, i, p)
    for i, (n, p) in enumerate([("web", 80), ("shop", 81), ("stock", 82), ("mysql", 3306), ("kafka", 9092)])
)


def at(us: int, value: str, where: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": NOW_US + us, "value": value, "endpoint": where}


def tag(key: str, value: Any, where: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "value": value, "endpoint": where}


def address(key: str, where: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "value": True, "endpoint": where}


def v1() -> list[dict[str, Any]]:
    trace = {"traceId": "463ac35c9f6413ad48485a3953bb6124"}
    return [
        {
            **trace, "id": "48485a3953bb6124", "name": "get /", "timestamp": NOW_US, "duration": 9_000,
            "annotations": [at(0, "sr", WEB), at(10, "cache miss", WEB), at(9_000, "ss", WEB)],
            "binaryAnnotations": [tag("http.path", "/", WEB), address("ca", endpoint("browser", 9, 5555))],
        },
        # Both halves in one span, as old instrumentation and Cassandra storage have them.
        {
            **trace, "id": "1", "parentId": "48485a3953bb6124", "name": "get /cart", "timestamp": NOW_US + 100,
            "duration": 5_000,
            "annotations": [at(100, "cs", WEB), at(600, "sr", SHOP), at(4_600, "ss", SHOP), at(5_100, "cr", WEB)],
            "binaryAnnotations": [
                tag("http.path", "/cart", WEB), tag("http.status_code", "500", SHOP), tag("error", "no stock", SHOP),
                address("sa", SHOP),
            ],
        },
        # A client alone, that says whom it called; then a local span; then a call of itself.
        {
            **trace, "id": "2", "parentId": "1", "name": "select", "timestamp": NOW_US + 1_000, "duration": 700,
            "annotations": [at(1_000, "cs", SHOP), at(1_700, "cr", SHOP)],
            "binaryAnnotations": [address("sa", DB), tag("sql.query", "select 1", SHOP)],
        },
        {
            **trace, "id": "3", "parentId": "1", "name": "price", "timestamp": NOW_US + 2_000, "duration": 300,
            "binaryAnnotations": [tag("lc", "pricing", SHOP)],
        },
        {
            **trace, "id": "4", "parentId": "1", "name": "get /self", "timestamp": NOW_US + 2_400, "duration": 900,
            "annotations": [at(2_400, "cs", SHOP), at(2_500, "sr", SHOP), at(3_200, "ss", SHOP), at(3_300, "cr", SHOP)],
        },
        # The server of a shared id, reported apart: no timestamp of its own.
        {
            **trace, "id": "5", "parentId": "1", "name": "reserve",
            "annotations": [at(3_600, "sr", STOCK), at(3_900, "ss", STOCK)],
        },
        {
            **trace, "id": "5", "parentId": "1", "name": "reserve", "timestamp": NOW_US + 3_500, "duration": 500,
            "annotations": [at(3_500, "cs", SHOP), at(4_000, "cr", SHOP)],
        },
        # One way, and messages.
        {
            **trace, "id": "6", "parentId": "1", "name": "audit", "timestamp": NOW_US + 4_100,
            "annotations": [at(4_100, "cs", SHOP), at(4_300, "sr", STOCK)],
        },
        {
            **trace, "id": "7", "parentId": "1", "name": "send", "timestamp": NOW_US + 4_200, "duration": 20,
            "annotations": [at(4_200, "ms", SHOP), at(4_220, "ws", SHOP)],
            "binaryAnnotations": [address("ma", BROKER)],
        },
        {
            **trace, "id": "8", "parentId": "7", "name": "receive", "timestamp": NOW_US + 6_000, "duration": 30,
            "annotations": [at(6_000, "wr", STOCK), at(6_030, "mr", STOCK)],
            "binaryAnnotations": [address("ma", BROKER)],
        },
    ]  # fmt: skip


def v2() -> list[dict[str, Any]]:
    long, short = {"traceId": "5af7183fb1d4cf5f6b221d5bc9e6496c"}, {"traceId": "6b221d5bc9e6496c"}
    root = {"id": "6b221d5bc9e6496c"}
    return [
        {**long, **root, "name": "get /", "kind": "SERVER", "timestamp": NOW_US, "duration": 9_000,
         "localEndpoint": WEB, "remoteEndpoint": {"ipv6": "2001:db8::c001"}, "tags": {"http.method": "GET"}},
        {**long, "id": "a1", "parentId": root["id"], "name": "get /cart", "kind": "CLIENT", "timestamp": NOW_US + 100,
         "localEndpoint": WEB, "annotations": [{"timestamp": NOW_US + 120, "value": "wire send"}]},
        {**long, "id": "a1", "parentId": root["id"], "duration": 5_000, "localEndpoint": WEB, "kind": "CLIENT",
         "tags": {"late": "piece"}},
        # An instrumentation that downgrades the trace id to 64 bits.
        {**short, "id": "a1", "parentId": root["id"], "name": "get /cart", "kind": "SERVER", "shared": True,
         "timestamp": NOW_US + 600, "duration": 4_000, "localEndpoint": SHOP, "tags": {"error": "no stock"}},
        {**short, "id": "a2", "parentId": "a1", "name": "select", "kind": "CLIENT", "timestamp": NOW_US + 1_000,
         "duration": 700, "localEndpoint": SHOP, "remoteEndpoint": DB},
        {**short, "id": "a3", "parentId": "a1", "timestamp": NOW_US + 2_000, "localEndpoint": SHOP, "debug": True},
        {**short, "id": "a4", "parentId": "a1", "name": "send", "kind": "PRODUCER", "timestamp": NOW_US + 4_200,
         "localEndpoint": SHOP, "remoteEndpoint": BROKER},
        {**short, "id": "a4", "parentId": "a1", "name": "receive", "kind": "CONSUMER", "shared": True,
         "timestamp": NOW_US + 6_000, "duration": 30, "localEndpoint": STOCK, "remoteEndpoint": BROKER},
        {**long, "id": "a5", "parentId": "a1", "name": "no endpoint", "timestamp": NOW_US + 3_000, "duration": 1},
    ]  # fmt: skip


def post(url: str, path: str, spans: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(f"{url}{path}", json.dumps(spans).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def get(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:
        return json.loads(answer.read())


def write(name: str, value: Any) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, run_zipkin(Path(folder) / "log") as url:
        post(url, "/api/v1/spans", v1())
        post(url, "/api/v2/spans", v2())
        window = f"endTs={NOW_US // 1_000 + 60_000}&lookback=120000&limit=10"
        deadline = time.monotonic() + 30
        while len(found := get(url, f"/api/v2/traces?{window}")) < 2 and time.monotonic() < deadline:
            pass
        write("v1.json", v1())
        write("v1-as-v2.json", get(url, f"/api/v2/trace/{v1()[0]['traceId']}"))
        write("v2.json", v2())
        write("v2-trace.json", get(url, f"/api/v2/trace/{v2()[0]['traceId']}"))
        write("v2-traces.json", found)


if __name__ == "__main__":
    main()
