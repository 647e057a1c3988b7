"""A ProxySpec → the bootstrap configuration of an Envoy that passes everything on unchanged, and tells of it. Pure.

What a client sent reaches the target as it was sent: names of headers in their case, no header added but
`x-forwarded-proto` (Envoy cannot leave it out), no time limit, no retry, paths untouched.
"""

from __future__ import annotations

from typing import Any, Final

from tracer_bullet.capture.config.envoy_pieces import LOG_FIELDS, access_log, tap_filter
from tracer_bullet.capture.proxy.spec import ProxySpec

# What pairing.read_line reads: without any header's value but the path.
PAIR_FIELDS: Final = {
    "connection": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "start_time": "%START_TIME(%s.%9f)%",
    "duration_ns": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
    "protocol": "%PROTOCOL%",
    "response_flags": "%RESPONSE_FLAGS%",
}
# For `log_only`, where the line never lies on a disk as it is: whole values, for redaction and the recorder to judge.
ALONE_FIELDS: Final = LOG_FIELDS | {
    "duration": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
    "response_duration": "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ns)%",
    "path": "%REQ(:PATH)%",
    "downstream_remote_address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "x_tracer_bullet": "%REQ(X-TRACER-BULLET)%",
    "baggage": "%REQ(BAGGAGE)%",
}
CONFIG_ID: Final = "tracer-bullet"
LISTENER: Final = "capture"
STAT_PREFIX: Final = "capture"
# Envoy's own limits on headers; its default of 60 KiB and 100 headers would refuse what the target may take.
_MAX_HEADER_KIB: Final = 8192
_MAX_HEADERS: Final = 10_000
_MANY: Final = 1_000_000
_TYPES: Final = "type.googleapis.com/envoy.extensions"
# IPPROTO_TCP and TCP_USER_TIMEOUT of Linux.
_TCP: Final = 6
_USER_TIMEOUT: Final = 18


def bootstrap(spec: ProxySpec) -> dict[str, Any]:
    """The whole configuration, as Envoy's JSON."""
    return {
        "admin": _admin(spec.stall_s),
        "static_resources": {"listeners": [_listener(spec)], "clusters": [_cluster(spec)]},
    }


def _admin(stall_s: float) -> dict[str, Any]:
    """On loopback, and only what we ask for: no `quitquitquit`, no dump of the configuration.

    A reader that takes nothing for `stall_s` loses its connection (TCP_USER_TIMEOUT counts while the window is zero),
    and the tap with it: Envoy puts no bound on what it keeps for a slow reader.
    """
    paths = [{"exact": "/tap"}, {"exact": "/ready"}, {"prefix": "/listeners"}, {"prefix": "/stats?"}]
    return {
        "address": _address("127.0.0.1", 0),
        "allow_paths": [*paths, {"prefix": "/drain_listeners"}],
        "socket_options": [
            {"level": _TCP, "name": _USER_TIMEOUT, "int_value": int(stall_s * 1000), "state": "STATE_PREBIND"}
        ],
    }


def _listener(spec: ProxySpec) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": _connection_manager(spec)}]}
    if spec.certificate is not None and spec.private_key is not None:
        chain["transport_socket"] = _server_tls(str(spec.certificate), str(spec.private_key))
    return {
        "name": LISTENER,
        "address": _address(spec.host, spec.port),
        # Else a second Envoy could share the port, and each would see half of the requests.
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }


def _connection_manager(spec: ProxySpec) -> dict[str, Any]:
    route: dict[str, Any] = {"cluster": "target", "timeout": "0s", "max_stream_duration": {}}
    if spec.rewrite_host:
        route["host_rewrite_literal"] = spec.target.authority
    filters: list[dict[str, Any]] = [
        {
            "name": "router",
            "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
        }
    ]
    if not spec.log_only:
        filters.insert(0, tap_filter({"admin_config": {"config_id": CONFIG_ID}}))
    manager: dict[str, Any] = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "generate_request_id": False,
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        "proxy_100_continue": True,
        "stream_idle_timeout": "0s",
        "max_request_headers_kb": _MAX_HEADER_KIB,
        "common_http_protocol_options": {"max_headers_count": _MAX_HEADERS, "idle_timeout": "0s"},
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": spec.target.authority,
            **_http1(),
        },
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
        "http_filters": filters,
    }
    manager["access_log"] = [access_log("/dev/stdout", ALONE_FIELDS if spec.log_only else PAIR_FIELDS)]
    return manager


def _http1() -> dict[str, Any]:
    case = {"@type": f"{_TYPES}.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"}
    formatter = {"name": "preserve_case", "typed_config": case}
    return {"enable_trailers": True, "header_key_format": {"stateful_formatter": formatter}}


def _cluster(spec: ProxySpec) -> dict[str, Any]:
    target = spec.target
    endpoint = {"endpoint": {"address": _address(target.host, target.port)}}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _MANY)
    cluster: dict[str, Any] = {
        "name": "target",
        "type": "STATIC" if target.is_address else "STRICT_DNS",
        "connect_timeout": "10s",
        "load_assignment": {"cluster_name": "target", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _upstream(spec)},
    }
    if target.scheme == "https":
        cluster["transport_socket"] = _client_tls(spec)
    return cluster


def _upstream(spec: ProxySpec) -> dict[str, Any]:
    versions: dict[str, Any] = {"http_protocol_options": _http1(), "http2_protocol_options": {"allow_connect": True}}
    options: dict[str, Any] = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        # No limit on how long the target may think, and on the headers that it sends.
        "common_http_protocol_options": {"idle_timeout": "60s", "max_headers_count": _MAX_HEADERS},
    }
    if spec.upstream == "same":
        options["use_downstream_protocol_config"] = versions
    else:
        name = "http_protocol_options" if spec.upstream == "1.1" else "http2_protocol_options"
        options["explicit_http_config"] = {name: versions[name]}
    return options


def _client_tls(spec: ProxySpec) -> dict[str, Any]:
    common: dict[str, Any] = {}
    if spec.verify:
        trusted = {"filename": str(spec.ca_file)} if spec.ca_file is not None else None
        kind = "IP_ADDRESS" if spec.target.is_address else "DNS"
        wanted = {"san_type": kind, "matcher": {"exact": spec.target.host}}
        validation: dict[str, Any] = {"match_typed_subject_alt_names": [wanted]}
        validation |= {"trusted_ca": trusted} if trusted is not None else {"system_root_certs": {}}
        common["validation_context"] = validation
    context: dict[str, Any] = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    }
    if not spec.target.is_address:
        context["sni"] = spec.target.host
    return {"name": "tls", "typed_config": context}


def _server_tls(certificate: str, private_key: str) -> dict[str, Any]:
    pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": private_key}}
    common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
    context = {"@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
    return {"name": "tls", "typed_config": context}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
