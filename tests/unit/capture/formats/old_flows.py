"""mitmproxy's flows in the layouts of its older versions: the steps of its io/compat.py, backwards.

That they are what it calls so is proved by the real mitmproxy, which migrates each (test_mitmproxy.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Flow = dict[Any, Any]


def _conns(flow: Flow) -> tuple[Flow, Flow]:
    return flow["client_conn"], flow["server_conn"]


def _messages(flow: Flow) -> list[Flow]:
    return [m for m in (flow["request"], flow["response"]) if m]


def _to_19(flow: Flow) -> None:
    for conn in _conns(flow):
        conn["state"] = 0


def _to_18(flow: Flow) -> None:
    client, server = _conns(flow)
    client["address"], client["tls_extensions"] = client.pop("peername"), None
    server["ip_address"], server["source_address"] = server.pop("peername"), server.pop("sockname")
    server["via2"], server["via"] = server.pop("via"), None
    for conn in (client, server):
        conn["tls_established"], conn["cipher_name"] = conn["tls"], conn.pop("cipher")
        conn.pop("transport_protocol")


def _to_15(flow: Flow) -> None:
    flow["client_conn"].pop("proxy_mode")
    flow["mode"] = "regular"
    flow.pop("timestamp_created")


def _to_11(flow: Flow) -> None:
    flow.pop("comment")
    flow["marked"] = False
    flow.pop("websocket")


def _to_9(flow: Flow) -> None:
    client, server = _conns(flow)
    client.pop("sockname")
    client["clientcert"], server["cert"] = None, None
    server.pop("via2")
    for conn in (client, server):
        conn["alpn_proto_negotiated"] = conn.pop("alpn")
        for name in ("state", "error", "tls", "alpn_offers", "cipher_list", "certificate_list"):
            conn.pop(name)


def _to_7(flow: Flow) -> None:
    flow["request"]["first_line_format"] = "relative"
    flow["request"].pop("authority")
    flow.pop("is_replay")
    for message in _messages(flow):
        message["is_replay"] = False
        message.pop("trailers")


def _to_4(flow: Flow) -> None:
    flow["client_conn"].pop("tls_extensions")
    for conn in _conns(flow):
        conn["ssl_established"] = conn.pop("tls_established")
        conn["timestamp_ssl_setup"] = conn.pop("timestamp_tls_setup")
        conn.pop("id")


def _to_1(flow: Flow) -> None:
    client, server = _conns(flow)
    client.pop("mitmcert")
    server.pop("tls_version")
    for conn, name in ((client, "address"), (server, "address"), (server, "source_address"), (server, "ip_address")):
        if conn[name]:
            conn[name] = {"address": conn[name], "use_ipv6": False}


def _to_0_18(flow: Flow) -> None:
    client, server = _conns(flow)
    for name in ("sni", "alpn_proto_negotiated", "cipher_name", "tls_version"):
        client.pop(name)
    server.pop("alpn_proto_negotiated")
    flow.pop("mode")
    flow.pop("metadata")
    flow["request"]["stickyauth"] = flow["request"]["stickycookie"] = False


def _to_0_16(flow: Flow) -> None:
    server = flow["server_conn"]
    server.pop("ip_address")
    flow.pop("marked")
    for name in ("type", "id"):
        flow[name] = flow[name].encode()
    flow["request"]["first_line_format"] = flow["request"]["first_line_format"].encode()
    flow["request"]["host"] = flow["request"]["host"].encode()


def _to_0_13(flow: Flow) -> None:
    request, response = flow["request"], flow["response"]
    request["form_in"] = request.pop("first_line_format")
    request["form_out"] = b"relative"
    response["code"], response["msg"] = response.pop("status_code"), response.pop("reason")
    for message in (request, response):
        message["httpversion"] = [int(part) for part in message.pop("http_version")[5:].split(b".")]
    flow["server_conn"]["state"] = []
    flow["server_conn"].pop("via")


# The version that a flow has after each step, and whether its keys are bytes, as in Python 2.
STEPS: list[tuple[Any, Callable[[Flow], None], bool]] = [
    (19, _to_19, False),
    (18, _to_18, False),
    (15, _to_15, False),
    (11, _to_11, False),
    (9, _to_9, False),
    (7, _to_7, False),
    (4, _to_4, False),
    ([1, 0, 0], _to_1, False),
    ([0, 18], _to_0_18, False),
    ([0, 16], _to_0_16, True),
    ([0, 13], _to_0_13, True),
]


def layouts(flow: Flow) -> list[tuple[Any, Flow]]:
    """The flow (of version 21) in each older layout, newest first. Its request is kept; ids change."""
    found = []
    for version, step, is_bytes in STEPS:
        flow = copy.deepcopy(flow)
        step(flow)
        flow["version"] = version
        found.append((version, _bytes_keys(flow) if is_bytes else flow))
    return found


def _bytes_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.encode(): _bytes_keys(one) for key, one in value.items()}
    return value
