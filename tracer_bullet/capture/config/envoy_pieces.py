"""The pieces of an Envoy configuration that make it tell what our readers need; as plain objects. Pure.

Checked with Envoy 1.40; what older ones lack is said where it is. The reference is Envoy's own:
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/tap_filter and
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final = "type.googleapis.com/"
TAP_TYPE: Final = f"{_TYPES}envoy.extensions.filters.http.tap.v3.Tap"

# One line a request. Names are Istio's where it has one, so that both are read alike; nothing else is in them that the
# reader of logs does not know. The last two tell a bullet from a customer's request: its token itself is cut off.
LOG_FIELDS: Final[dict[str, str]] = {
    "start_time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%9fZ)%",
    "duration": "%DURATION%",
    "response_duration": "%RESPONSE_DURATION%",
    "protocol": "%PROTOCOL%",
    "scheme": "%REQ(:SCHEME)%",
    "method": "%REQ(:METHOD)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "upstream_host": "%UPSTREAM_HOST%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "content_type": "%REQ(CONTENT-TYPE)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "tracestate": "%REQ(TRACESTATE)%",
    "x_tracer_bullet": "%REQ(X-TRACER-BULLET):4%",
}


def tap_filter(common: dict[str, Any]) -> dict[str, Any]:
    """The HTTP filter that taps, with the time of headers (Envoy 1.33) and the client's address (1.31)."""
    return {
        "name": "envoy.filters.http.tap",
        "typed_config": {
            "@type": TAP_TYPE,
            "common_config": common,
            "record_headers_received_time": True,
            "record_downstream_connection": True,
        },
    }


def tap_output(sink: dict[str, Any], body_limit: int) -> dict[str, Any]:
    """A tap of everything, one document a request when it has ended, at most `body_limit` bytes of each body."""
    return {
        "match": {"any_match": True},
        "output_config": {
            "sinks": [sink],
            "max_buffered_rx_bytes": body_limit,
            "max_buffered_tx_bytes": body_limit,
        },
    }


def access_log(path: str, fields: Mapping[str, str] = LOG_FIELDS) -> dict[str, Any]:
    """An access log in JSON lines at `path`."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": dict(fields)},
        },
    }
