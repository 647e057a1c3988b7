"""Exchanges → a dump of mitmproxy's format version 21, which mitmproxy 11 and later load (`mitmweb -r`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.mitmproxy.tnetstring import dump
from tracer_bullet.capture.formats.shared.parts import first
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

UNSPOKEN: Final = "bodies that are missing or cut: written as missing, which mitmproxy does not replay"
_VERSIONS: Final = {"1.0": b"HTTP/1.0", "2": b"HTTP/2.0", "3": b"HTTP/3"}
_PORTS: Final = {"http": 80, "https": 443}
_SPACE: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's namespace of object ids


class MitmproxyWriter:
    """Writes flows that mitmproxy shows, replays and exports."""

    name = "mitmproxy"

    def write(self, exchanges: Iterable[Exchange], stream: BinaryIO, losses: Losses) -> int:
        """Write all; how many."""
        count = 0
        for exchange in exchanges:
            stream.write(dump(_flow(exchange, count, losses)))
            count += 1
        return count


def _flow(exchange: Exchange, count: int, losses: Losses) -> dict[str, Any]:
    start = exchange.started_ns
    host, port = _host(exchange.request)
    error = None
    if exchange.answer is None and Lack.ANSWER not in exchange.lacks:
        error = {"msg": "no answer", "timestamp": _seconds(exchange.ended_ns or start)}
    return {
        "websocket": None,
        "response": _response(exchange, losses),
        "request": _request(exchange, host, port, losses),
        "backup": None,
        "timestamp_created": _seconds(start),
        "comment": "",
        "metadata": {},
        "marked": "",
        "is_replay": None,
        "intercepted": False,
        "server_conn": _server(exchange, host, port),
        "client_conn": _client(exchange, count),
        "error": error,
        "id": exchange.id or str(uuid.uuid5(_SPACE, f"tracer-bullet:{count}")),
        "type": "http",
        "version": 21,
    }


def _seconds(ns: int) -> Decimal:
    return Decimal(ns).scaleb(-9)


def _host(request: Request) -> tuple[str, int]:
    host, colon, port = request.authority.rpartition(":")
    if colon and port.isdigit() and len(port) < 6 and not host.endswith(":"):
        return host, int(port)
    return request.authority, _PORTS.get(request.scheme, 80)


def _pairs(lines: Headers) -> list[list[bytes]]:
    return [[name.encode("latin-1", "replace"), value.encode("latin-1", "replace")] for name, value in lines]


def _request(exchange: Exchange, host: str, port: int, losses: Losses) -> dict[str, Any]:
    request, start = exchange.request, exchange.started_ns
    body = _known(request.body, {Lack.REQUEST_BODY, Lack.REQUEST_BODY_CUT} & exchange.lacks, losses)
    said_host = first(request.headers, "host")
    return {
        "path": b"" if request.method == "CONNECT" else request.target.encode("latin-1", "replace"),
        # As mitmproxy has it: empty where the Host header says the same.
        "authority": b"" if said_host == request.authority else request.authority.encode("latin-1", "replace"),
        "scheme": request.scheme.encode("latin-1", "replace"),
        "method": request.method.encode("latin-1", "replace"),
        "port": port,
        "host": host,
        "timestamp_end": _seconds(start),
        "timestamp_start": _seconds(start),
        "trailers": _pairs(request.trailers) or None,
        "content": body,
        "headers": _pairs(request.headers),
        "http_version": _VERSIONS.get(request.http_version, b"HTTP/1.1"),
    }


def _known(body: bytes | None, lacking: set[Lack], losses: Losses) -> bytes | None:
    if body is None or lacking:
        losses.repair(UNSPOKEN)
        return None
    return body


def _response(exchange: Exchange, losses: Losses) -> dict[str, Any] | None:
    answer: Answer | None = exchange.answer
    if answer is None:
        return None
    byte, end = exchange.first_byte_ns, exchange.ended_ns
    begin = byte if byte is not None else exchange.started_ns
    return {
        "reason": b"",
        "status_code": answer.status,
        "timestamp_end": None if end is None else _seconds(end),
        "timestamp_start": _seconds(begin),
        "trailers": _pairs(answer.trailers) or None,
        "content": _known(answer.body, {Lack.ANSWER_BODY, Lack.ANSWER_BODY_CUT} & exchange.lacks, losses),
        "headers": _pairs(answer.headers),
        "http_version": _VERSIONS.get(exchange.request.http_version, b"HTTP/1.1"),
    }


def _connection(exchange: Exchange) -> dict[str, Any]:
    tls = exchange.request.scheme == "https"
    start = _seconds(exchange.started_ns)
    return {
        "timestamp_end": None,
        "tls_version": None,
        "cipher": None,
        "cipher_list": [],
        "alpn_offers": [],
        "alpn": None,
        "certificate_list": [],
        "tls": tls,
        "error": None,
        "transport_protocol": "tcp",
        "timestamp_tls_setup": start if tls else None,
        "timestamp_start": start,
        "sni": None,
    }


def _client(exchange: Exchange, count: int) -> dict[str, Any]:
    return {
        **_connection(exchange),
        "proxy_mode": "regular",
        "mitmcert": None,
        "sockname": ["127.0.0.1", 0],
        "peername": ["127.0.0.1", 0],
        "id": exchange.session or str(uuid.uuid5(_SPACE, f"tracer-bullet:client:{count}")),
    }


def _server(exchange: Exchange, host: str, port: int) -> dict[str, Any]:
    name = f"tracer-bullet:server:{exchange.request.authority}"
    return {
        **_connection(exchange),
        "via": None,
        "timestamp_tcp_setup": None,
        "address": [host, port],
        "sockname": None,
        "peername": None,
        "id": str(uuid.uuid5(_SPACE, name)),
    }
