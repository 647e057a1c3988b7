"""A server span → an exchange, by the semantic conventions for HTTP (before and since 1.23) and for RPC.

Sources: OpenTelemetry semantic conventions, "HTTP server" and "gRPC"; the older names are those that its migration
guide lists. A span holds the request's line, some of its address, and headers only where the service was told to.
"""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.otlp.spans import Attributes, Span
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.model.attributes import REQUEST_TYPE
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NO_REQUEST: Final = "server spans that are neither HTTP nor gRPC"
NO_PATH: Final = "server spans without the path that was asked for"
BULLET: Final = "spans of bullets"

_REQUEST_HEADER: Final = "http.request.header."
_ANSWER_HEADER: Final = "http.response.header."
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
# google.rpc.Code, as rpc.response.status_code has them by name.
_GRPC_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_ALWAYS: Final = frozenset({Lack.SESSION, Lack.REQUEST_HEADERS, Lack.REQUEST_BODY})


def exchange_of(span: Span, losses: Losses, options: ReadOptions) -> Exchange | None:
    """None, and counted, for a bullet's span and for what is no request."""
    attributes = span.attributes
    if _first(attributes, REQUEST_TYPE) == "TRACE":
        losses.lose(BULLET)
        return None
    lacks = set(_ALWAYS)
    is_rpc = "grpc" in (_first(attributes, "rpc.system"), _first(attributes, "rpc.system.name"))
    request = _rpc(attributes, lacks, options, losses) if is_rpc else _http(attributes, lacks, options, losses)
    if request is None:
        return None
    answer = _grpc_answer(attributes, lacks) if is_rpc else _answer(attributes, request.method, lacks)
    ended = span.end_ns if span.end_ns >= span.start_ns else None
    if ended is None:
        lacks.add(Lack.DURATION)
    address = _first(attributes, "client.address", "http.client_ip", "network.peer.address", "net.sock.peer.addr",
                     "net.peer.ip")  # fmt: skip
    return Exchange(
        id="",
        session=f"client:{address}" if address else "",
        source="otlp",
        started_ns=span.start_ns,
        request=request,
        answer=answer,
        ended_ns=ended,
        lacks=frozenset(lacks),
    )


def _http(attributes: Attributes, lacks: set[Lack], options: ReadOptions, losses: Losses) -> Request | None:
    method = _first(attributes, "http.request.method_original", "http.request.method", "http.method")
    if not method:
        losses.lose(NO_REQUEST, _first(attributes, "rpc.system", "messaging.system"))
        return None
    checked = parts.method(method, losses)
    if checked is None:
        return None
    url = _first(attributes, "url.full", "http.url")
    place = parts.place(url, losses) if url.startswith(("http://", "https://")) else None
    target = _target(attributes) or (place.target if place else "")
    if not target:
        losses.lose(NO_PATH, _first(attributes, "http.route"))
        return None
    scheme, authority = _origin(attributes, lacks, options, place)
    headers = _headers(attributes, _REQUEST_HEADER)
    agent = _first(attributes, "user_agent.original", "http.user_agent")
    if agent and not parts.first(headers, "user-agent"):
        headers += (("user-agent", parts.header_text(agent)),)
    is_empty = parts.first(headers, "content-length") == "0"
    if is_empty:
        lacks.discard(Lack.REQUEST_BODY)
    return Request(
        method=checked,
        scheme=scheme,
        authority=authority,
        target=parts.origin_form(target, losses),
        http_version=parts.http_version(_first(attributes, "network.protocol.version", "http.flavor")),
        headers=parts.headers(headers, losses, as_bytes=True)[0],
        body=b"" if is_empty else None,
    )


def _rpc(attributes: Attributes, lacks: set[Lack], options: ReadOptions, losses: Losses) -> Request | None:
    service, method = _first(attributes, "rpc.service"), _first(attributes, "rpc.method")
    target = f"/{service}/{method}" if service else f"/{method.lstrip('/')}"  # since 1.37 the method is the whole
    if not method or "/" not in target[1:]:
        losses.lose(NO_PATH, target)
        return None
    scheme, authority = _origin(attributes, lacks, options, None)
    return Request(
        method="POST", scheme=scheme, authority=authority, target=parts.origin_form(target, losses),
        http_version="2", body=None,
    )  # fmt: skip


def _target(attributes: Attributes) -> str:
    if path := _first(attributes, "url.path"):
        query = _first(attributes, "url.query").removeprefix("?")
        return f"{path}?{query}" if query else path
    target = _first(attributes, "http.target")
    return target if target.startswith("/") or target == "*" else ""


def _origin(
    attributes: Attributes, lacks: set[Lack], options: ReadOptions, place: parts.Place | None
) -> tuple[str, str]:
    scheme = _first(attributes, "url.scheme", "http.scheme") or (place.scheme if place else "")
    if scheme not in _DEFAULT_PORTS:
        scheme = options.scheme
        lacks.add(Lack.SCHEME)
    host = _first(attributes, f"{_REQUEST_HEADER}host", "http.host") or (place.authority if place else "")
    if not host and (name := _first(attributes, "server.address", "net.host.name", "http.server_name")):
        port = _first(attributes, "server.port", "net.host.port")
        name = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
        host = name if not port or port == _DEFAULT_PORTS[scheme] or name.endswith(f":{port}") else f"{name}:{port}"
    if not (host and parts.is_authority(host)):
        host = options.authority
        lacks.add(Lack.AUTHORITY)
    return scheme, host


def _answer(attributes: Attributes, method: str, lacks: set[Lack]) -> Answer | None:
    status = _first(attributes, "http.response.status_code", "http.status_code")
    if not (len(status) == 3 and status.isascii() and status.isdigit()) or status[0] == "0":
        lacks.add(Lack.ANSWER)
        return None
    lacks.add(Lack.ANSWER_HEADERS)
    bodiless = method == "HEAD" or status in ("204", "304")  # RFC 9110, 6.4.1
    if not bodiless:
        lacks.add(Lack.ANSWER_BODY)
    headers = _headers(attributes, _ANSWER_HEADER)
    return Answer(status=int(status), headers=headers, body=b"" if bodiless else None)


def _grpc_answer(attributes: Attributes, lacks: set[Lack]) -> Answer | None:
    code = _first(attributes, "rpc.grpc.status_code", "rpc.response.status_code")
    number = str(_GRPC_CODES.index(code)) if code in _GRPC_CODES else code
    if not (number.isascii() and number.isdigit() and len(number) < 3):
        lacks.add(Lack.ANSWER)
        return None
    lacks |= {Lack.ANSWER_HEADERS, Lack.ANSWER_BODY}
    # gRPC answers 200 whatever happened, and says it in the trailers.
    return Answer(status=200, body=None, trailers=(("grpc-status", number),))


def _headers(attributes: Attributes, prefix: str) -> Headers:
    found: list[tuple[str, str]] = []
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix).lower().replace("_", "-")  # the older convention wrote underscores
        if _NAME.fullmatch(name):
            found += [(name, parts.header_text(each)) for each in (value if isinstance(value, list) else [value])]
    return tuple(found)


def _first(attributes: Attributes, *names: str) -> str:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, list):
            value = value[0] if value else ""
        if value:
            return value
    return ""
