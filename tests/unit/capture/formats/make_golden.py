"""Makes golden/ anew with the real tools: `python -m tests.unit.capture.formats.make_golden` from the root, as root.

What each file holds is what shop.visit() sent, recorded by the tool that the folder names; golden/README.md has the
versions. Run it only to add something: the files are there so that readers keep reading what tools wrote once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.servers.envoy import EnvoyServer
from tests.servers.goreplay import build_goreplay
from tests.servers.mitmproxy import convert, run_mitmdump
from tests.unit.capture.formats.shop import shop, visit
from tests.unit.report.browser import chromium

GOLDEN = Path(__file__).parent / "golden"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TAPS = {
    "buffered-json": ("JSON_BODY_AS_BYTES", False),
    "buffered-text": ("JSON_BODY_AS_STRING", False),
    "buffered-pb": ("PROTO_BINARY", False),
    "buffered-delimited": ("PROTO_BINARY_LENGTH_DELIMITED", False),
    "streamed-json": ("JSON_BODY_AS_BYTES", True),
    "streamed-delimited": ("PROTO_BINARY_LENGTH_DELIMITED", True),
}


def mitmproxy(to: Path, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with run_mitmdump(Path(folder), mode=f"reverse:http://127.0.0.1:{port}") as proxy:
            visit(proxy.port)
        shutil.copyfile(proxy.dump, to / "mitmproxy-11.0.2.mitm")
        convert(proxy.dump, Path(folder) / "x.har")
        shutil.copyfile(Path(folder) / "x.har", to / "mitmproxy-11.0.2.har")


def browser_har(to: Path, port: int) -> None:
    with chromium() as browser:
        context = browser.new_context(record_har_path=to, record_har_content="embed")
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("document.title == 'done'")
        context.close()


def goreplay(to: Path, port: int) -> None:
    """GoReplay on the loopback device; it has no way to say that it listens, or that it has written."""
    to.unlink(missing_ok=True)
    command = [build_goreplay(), "--input-raw", f"127.0.0.1:{port}", "--input-raw-track-response"]
    command += ["--output-file", str(to), "--output-file-append", "--output-file-flush-interval", "100ms"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(4)
    visit(port)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)


def listener(name: str, common: dict[str, Any]) -> dict[str, Any]:
    tap = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap",
        "record_headers_received_time": True,
        "record_downstream_connection": True,
        "common_config": common,
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": _HCM,
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]}
            ]
        },
        "http_filters": [{"name": "tap", "typed_config": tap}, {"name": "router", "typed_config": router}],
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }


def tap_config(folder: Path, port: int, limit: int) -> str:
    """Envoy with one listener for each of TAPS, and `admin`, whose taps the admin interface streams."""
    listeners = [listener("admin", {"admin_config": {"config_id": "tap"}})]
    for name, (kind, streaming) in TAPS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        sink = {"format": kind, "file_per_tap": {"path_prefix": str(folder / name / "tap")}}
        output = {"streaming": streaming, "max_buffered_rx_bytes": limit, "sinks": [sink]}
        listeners.append(listener(name, {"static_config": {"match": {"any_match": True}, "output_config": output}}))
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    cluster = {
        "name": "shop",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "shop", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return json.dumps(
        {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"listeners": listeners, "clusters": [cluster]},
        }
    )


def admin_stream(envoy: EnvoyServer) -> bytes:
    """What Envoy's admin interface streams of one visit: documents without anything between them."""
    config = {
        "config_id": "tap",
        "tap_config": {
            "match": {"any_match": True},
            "output_config": {"sinks": [{"format": "JSON_BODY_AS_BYTES", "streaming_admin": {}}]},
        },
    }
    body = json.dumps(config).encode()
    host, port = envoy.admin.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(b"POST /tap HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        with line.makefile("rb") as answer:
            while answer.readline().strip():  # it has the configuration once it has answered
                pass
            visit(int(envoy.url("admin").rpartition(":")[2]))
            out = b""
            while out.count(b'"http_buffered_trace"') < 9 or not out.endswith(b"\n}\n"):
                size = int(answer.readline(), 16)
                out += answer.read(size)
                answer.readline()
    return out


def taps(to: Path, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with EnvoyServer(tap_config(Path(folder), port, 1024), Path(folder) / "envoy") as envoy:
            for name in TAPS:
                visit(int(envoy.url(name).rpartition(":")[2]))
            (to / "admin.json").write_bytes(admin_stream(envoy))
        for name in TAPS:
            shutil.rmtree(to / name, ignore_errors=True)
            (to / name).mkdir(parents=True)
            # Their names are random numbers; these keep the order.
            written = sorted((Path(folder) / name).iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for number, path in enumerate(written, start=1):
                place = to / name / f"tap_{number}{path.suffix}"
                shutil.copyfile(path, place)
                os.utime(place, (number, number))


def main() -> None:
    for name in ("har", "goreplay", "mitmproxy", "envoy-tap"):
        (GOLDEN / name).mkdir(parents=True, exist_ok=True)
    with shop() as port:
        mitmproxy(GOLDEN / "mitmproxy", port)
        (GOLDEN / "mitmproxy" / "mitmproxy-11.0.2.har").replace(GOLDEN / "har" / "mitmproxy-11.0.2.har")
        browser_har(GOLDEN / "har" / "chromium.har", port)
        goreplay(GOLDEN / "goreplay" / "goreplay-1.3.2.gor", port)
        taps(GOLDEN / "envoy-tap", port)


if __name__ == "__main__":
    main()
