"""What both listeners are made of: Envoy v3 messages as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

Json = dict[str, Any]

NAMESPACE: Final = "tracer_bullet"
PROBLEM_TYPE: Final = "application/problem+json"
RUNTIME_KEY: Final = "tracer_bullet.disabled"
_TYPES: Final = "type.googleapis.com"
_LUA: Final = resources.files("tracer_bullet.envoy") / "lua"


def typed(name: str, **fields: Any) -> Json:
    """An `Any` message: its type, without the host part, and its fields."""
    return {"@type": f"{_TYPES}/{name}", **fields}


def socket_address(address: str) -> Json:
    """`host:port` as Envoy has it."""
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def http_filter(name: str, kind: str, **fields: Any) -> Json:
    """A filter of an HTTP listener; `kind` is its message's type below envoy.extensions.filters.http."""
    return {"name": name, "typed_config": typed(f"envoy.extensions.filters.http.{kind}", **fields)}


def lua_filter(script: str, constants: Mapping[str, object]) -> Json:
    """A filter that runs one of our scripts, with the flag's reader and these constants before it."""
    rows = [f"local {name} = {lua_value(value)}" for name, value in constants.items()]
    texts = [(_LUA / name).read_text(encoding="utf-8") for name in ("flag.lua", f"{script}.lua")]
    code = "\n".join([*rows, "", *texts])
    return http_filter(f"tracer_bullet.{script}", "lua.v3.Lua", default_source_code={"inline_string": code})


def lua_value(value: object) -> str:
    """A Lua literal for texts, booleans, lists and maps; whatever a text holds cannot leave its quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(c if c.isascii() and (c.isalnum() or c in " ._:/*-") else _escaped(c) for c in value) + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"[{lua_value(k)}] = {lua_value(v)}" for k, v in value.items()) + " }"
    assert isinstance(value, Iterable)  # noqa: S101
    return "{ " + ", ".join(lua_value(v) for v in value) + " }"


def _escaped(char: str) -> str:
    return "".join(f"\\{byte:03d}" for byte in char.encode())


def noted(key: str, value: str) -> Json:
    """Route match: our scripts noted this of the request."""
    matcher = {"filter": NAMESPACE, "path": [{"key": key}], "value": {"string_match": {"exact": value}}}
    return {"prefix": "/", "dynamic_metadata": [matcher]}


def problem_route(match: Json, reason: str, status: int, title: str, detail: str, service: str) -> Json:
    """A route that refuses (RFC 9457), with the body that our guards in services give too."""
    body = {
        "type": f"urn:tracer-bullet:{reason}",
        "title": title,
        "status": status,
        "detail": detail,
        "service": service,
    }
    return answer_route(match, status, json.dumps(body), {"content-type": PROBLEM_TYPE}, name=f"refused: {reason}")


def answer_route(match: Json, status: int, body: str, headers: Mapping[str, str], *, name: str) -> Json:
    """A route that answers by itself."""
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value.replace("%", "%%")}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
    }


def forward_route(match: Json, cluster: str, *, name: str, **action: Any) -> Json:
    """A route that passes the request on. Time limits are the service's own business."""
    return {"name": name, "match": match, "route": {"cluster": cluster, "timeout": "0s", **action}}


def listener(name: str, address: str, routes: list[Json], filters: list[Json], **manager: Any) -> Json:
    """An HTTP listener that leaves what it passes on as it came."""
    connection_manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout="0s",
        http_protocol_options={"accept_http_10": True},
        route_config={
            "name": name,
            "max_direct_response_body_size_bytes": 2 << 20,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
        http_filters=[
            *filters,
            http_filter("envoy.filters.http.router", "router.v3.Router", suppress_envoy_headers=True),
        ],
        **manager,
    )
    return {
        "name": name,
        "address": socket_address(address),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}]}
        ],
    }


def cluster(name: str, address: str, *, http2: bool = False) -> Json:
    """One address, by name or number."""
    found: Json = {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(address)}}]}],
        },
    }
    return found | http_protocol(http2=http2) if http2 else found


def http_protocol(*, http2: bool) -> Json:
    """The HTTP version that a cluster is spoken to in."""
    options: Json = {"http2_protocol_options" if http2 else "http_protocol_options": {}}
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {name: typed(name, explicit_http_config=options)}}


def upstream_tls(ca: str, sni: str = "") -> Json:
    """TLS to verified hosts; without `sni` the name is the request's own host."""
    trust = {"trusted_ca": {"filename": ca}}
    if sni:
        trust["match_typed_subject_alt_names"] = [  # type: ignore[assignment]
            {"san_type": "DNS", "matcher": {"exact": sni}}
        ]
    context = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={"validation_context": trust},
        **({"sni": sni} if sni else {}),
    )
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def address_of(url: str) -> tuple[str, str, str]:
    """`host:port`, host and path (without a slash at its end) of a checked URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{f'[{host}]' if ':' in host else host}:{port}", host, parts.path.rstrip("/")
