"""Servers that log the same traffic in many formats, and the formats as their configuration has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.servers.apache import ApacheServer
from tests.servers.envoy import EnvoyServer
from tests.servers.nginx import NginxServer

NGINX = {
    "custom": """log_format custom '$remote_addr [$time_iso8601] $msec $request_time "$request_method $request_uri" '
        '$server_protocol $status $scheme://$http_host "$http_user_agent" "$http_x_forwarded_for" "$http_x_request_id" '
        '"$http_traceparent" "$cookie_sid" $content_length $sent_http_content_type';""",
    "decoded": """log_format decoded '$msec|$request_time|$request_method|$uri$is_args$args|$status|'
        '$host:$server_port';""",
    "json": """log_format json escape=json '{"msec": "$msec", "request_time": $request_time, "request": "$request", '
        '"status": $status, "user_agent": "$http_user_agent", "host": "$http_host", "remote_addr": "$remote_addr", '
        '"sid": "$cookie_sid", "length": "$content_length", "upstream": "$upstream_response_time"}';""",
    "none": "log_format none escape=none '$msec\\t$request_time\\t$request\\t$status\\t$http_user_agent';",
    # As docs/access-logs.md has it.
    "replay": r"""log_format replay escape=json '{"msec":"$msec","request_time":"$request_time","request":"$request","status":"$status",'
  '"scheme":"$scheme","http_host":"$http_host","remote_addr":"$remote_addr","http_user_agent":"$http_user_agent",'
  '"http_x_forwarded_for":"$http_x_forwarded_for","content_length":"$content_length"}';""",  # noqa: E501
}  # fmt: skip
APACHE = {
    "custom": r"""LogFormat "%{%d/%b/%Y:%H:%M:%S}t.%{usec_frac}t %{%z}t %D %a \"%m %U%q %H\" %>s %{Host}i """
    r"""\"%{User-Agent}i\" \"%{X-Forwarded-For}i\" \"%{X-Request-Id}i\" \"%{traceparent}i\" \"%{sid}C\" """
    r"""%{Content-Length}i %^FB \"%{Content-Type}o\"" custom""",
    "end": r"""LogFormat "%{end:msec}t %{ms}T \"%r\" %>s \"%{User-Agent}i\"" end""",
    "json": r"""LogFormat "{ \"t\": \"%{usec}t\", \"r\": \"%r\", \"us\": %D, \"ua\": \"%{User-Agent}i\", """
    r"""\"s\": %>s }" json""",
}
ENVOY = {
    "custom": "%START_TIME(%Y-%m-%d %H:%M:%S.%6f)% %REQ(:METHOD)% %REQ(:SCHEME)%://%REQ(:AUTHORITY)%%REQ(:PATH)% "
    "%PROTOCOL% %RESPONSE_CODE% %COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:us)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% "
    "[%REQ(TRACEPARENT)%] %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %RESP(CONTENT-TYPE)% [%REQ(USER-AGENT)%]",
    "json": """{"at": "%START_TIME(%s.%9f)%", "asked": {"line": "%REQ(:METHOD)% %REQ(:PATH)%",
        "agent": "%REQ(USER-AGENT)%", "host": "%REQ(:AUTHORITY)%"}, "status": "%RESPONSE_CODE%", "ms": "%DURATION%"}""",
}
ISTIO_JSON = """{"start_time": "%START_TIME%", "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "protocol": "%PROTOCOL%", "response_code": "%RESPONSE_CODE%",
    "duration": "%DURATION%", "authority": "%REQ(:AUTHORITY)%", "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%", "request_id": "%REQ(X-REQUEST-ID)%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%"}"""
ISTIO = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\\n"
)

_FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """nginx before `upstream`; its port. Logs: `combined.log`, `main.log`, and one for each of NGINX."""
    formats = "\n".join(NGINX.values())
    logs = "\n".join(f"access_log @FOLDER@/{name}.log {name};" for name in ("combined", *NGINX))
    http = f"""{formats}
      server {{
        listen 127.0.0.1:@PORT@;
        {logs}
        location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_set_header Connection close; }}
      }}"""
    with NginxServer(http, folder) as server:
        yield server.port


@contextlib.contextmanager
def apache(folder: Path, upstream: int) -> Iterator[int]:
    """httpd before `upstream`; its port. Logs: `common.log`, `combined.log`, and one for each of APACHE."""
    extra = "\n".join(
        [
            r'LogFormat "%h %l %u %t \"%r\" %>s %b" common',
            r'LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined',
            *APACHE.values(),
            *(f"CustomLog @FOLDER@/{name}.log {name}" for name in ("common", "combined", *APACHE)),
            "AllowEncodedSlashes On",
            f"ProxyPass / http://127.0.0.1:{upstream}/ disablereuse=On",
        ]
    )
    with ApacheServer(extra, folder) as server:
        yield server.port


@contextlib.contextmanager
def envoy(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """Envoy before `upstream`; its HTTP port, and one of plain TCP that shares `default.log`."""
    text = f'{{text_format_source: {{inline_string: "{_quoted(ENVOY["custom"])}\\n"}}}}'
    istio = f'{{text_format_source: {{inline_string: "{_quoted(ISTIO)}"}}}}'
    logs = {
        "default": "", "istio": istio, "custom": text, "json": f"{{json_format: {ENVOY['json']}}}",
        "istio-json": f"{{json_format: {ISTIO_JSON}}}",
    }  # fmt: skip
    listed = "\n".join(_file_log(folder / f"{name}.log", given) for name, given in logs.items())
    with EnvoyServer(_envoy_config(listed, _file_log(folder / "default.log", ""), upstream), folder) as server:
        http, tcp = (int(server.url(name).rsplit(":", 1)[1]) for name in ("http", "tcp"))
        yield http, tcp


def _quoted(text: str) -> str:
    return text.replace('"', '\\"')


def _file_log(path: Path, log_format: str) -> str:
    given = f", log_format: {log_format}" if log_format else ""
    return f'          - {{name: file, typed_config: {{"@type": {_FILE_LOG}, path: {path}{given}}}}}'


def _envoy_config(logs: str, tcp_log: str, upstream: int) -> str:
    return f"""
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: http
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": {_NETWORK}.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          delayed_close_timeout: 0s
          access_log:
{logs}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: up}}}}]}}
          http_filters:
          - {{name: router, typed_config: {{"@type": {_ROUTER}}}}}
  - name: tcp
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": {_NETWORK}.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: up
          access_log:
{tcp_log}
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""
