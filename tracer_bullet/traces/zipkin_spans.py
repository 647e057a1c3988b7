"""Zipkin v2 spans (zipkin2-api.yaml, `Span`) to the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanStatus
from tracer_bullet.traces import ids
from tracer_bullet.traces.otlp import LAST_NS, SERVICE_NAME, UNKNOWN_SERVICE, MalformedError

# OpenTelemetry's mapping to Zipkin: a span without kind is INTERNAL.
_KINDS: Final = {
    "CLIENT": SpanKind.CLIENT,
    "SERVER": SpanKind.SERVER,
    "PRODUCER": SpanKind.PRODUCER,
    "CONSUMER": SpanKind.CONSUMER,
}
_STATUSES: Final = {"OK": SpanStatus.OK, "ERROR": SpanStatus.ERROR}
_CALLERS: Final = ("CLIENT", "PRODUCER")
_NS_PER_US: Final = 1_000


@dataclass(slots=True)
class Half:
    """One side of a span id: pieces of it that were reported apart are merged."""

    id: str
    parent: str | None
    service: str
    kind: str | None
    shared: bool
    name: str = ""
    start_us: int = 0
    duration_us: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    remote: dict[str, Any] = field(default_factory=dict)
    annotations: dict[tuple[int, str], None] = field(default_factory=dict)


def from_zipkin(trace_id: str, value: object) -> list[Span]:
    """The spans in one trace's JSON array, all under `trace_id` (32 lower-case digits).

    Where client and server share an id (B3), the server's half gets an id of its own, made
    from its service and the shared id, and hangs below the client's half; spans that the
    server made follow it. Raises MalformedError when it is no array of Zipkin spans.
    """
    if not isinstance(value, list):
        raise MalformedError(f"an array is needed, not {type(value).__name__}")
    return spans_of(trace_id, merge(read(item) for item in value))


def spans_of(trace_id: str, halves: list[Half]) -> list[Span]:
    """The spans of one trace's merged halves. One without a start takes the earliest start of the trace."""
    sharing = _Sharing(halves)
    earliest = min((h.start_us for h in halves if h.start_us), default=0)
    return [_span(trace_id, half, sharing.ids_of(half), earliest) for half in halves]


def read(item: object) -> Half:
    """One Zipkin v2 span. Raises MalformedError when it is none."""
    span = _typed(item, dict)
    endpoint = _typed(span.get("localEndpoint"), dict)
    kind = _typed(span.get("kind"), str) or None
    half = Half(
        id=_id(_typed(span.get("id"), str)) or "",
        parent=_id(_typed(span.get("parentId"), str)),
        service=_typed(endpoint.get("serviceName"), str) or UNKNOWN_SERVICE,
        kind=kind,
        shared=_typed(span.get("shared"), bool),
        name=_typed(span.get("name"), str),
        start_us=_typed(span.get("timestamp"), int),
        duration_us=_typed(span.get("duration"), int),
        tags={_typed(k, str): _typed(v, str) for k, v in _typed(span.get("tags"), dict).items()},
        local=endpoint,
        remote=_typed(span.get("remoteEndpoint"), dict),
        annotations={
            (_typed(a.get("timestamp"), int), _typed(a.get("value"), str)): None
            for a in (_typed(a, dict) for a in _typed(span.get("annotations"), list))
        },
    )
    if not half.id:
        raise MalformedError("a span has no id")
    if not half.start_us and half.annotations:
        half.start_us = min(time for time, _ in half.annotations)
    return half


def merge(halves: Iterable[Half]) -> list[Half]:
    """Pieces of one half into one, whatever their order, and unflagged server halves of a client's id as shared.

    A piece that names no service belongs to the only service that has its id and side.
    """
    pieces = list(halves)
    clients = {h.id for h in pieces if h.kind == "CLIENT"}
    named: dict[tuple[str, bool], set[str]] = {}
    for piece in pieces:
        piece.shared = piece.shared or (piece.kind == "SERVER" and piece.id in clients)
        if piece.service != UNKNOWN_SERVICE:
            named.setdefault((piece.id, piece.shared), set()).add(piece.service)
    merged: dict[tuple[str, bool, str], Half] = {}
    # The repr makes the order total: pieces that differ must not be merged in the order in which they came.
    for piece in sorted(pieces, key=lambda h: (h.id, h.start_us, h.service, h.name, repr(h))):
        owners = named.get((piece.id, piece.shared), set())
        if piece.service == UNKNOWN_SERVICE and len(owners) == 1:
            piece.service = min(owners)
        known = merged.setdefault((piece.id, piece.shared, piece.service), piece)
        if known is not piece:
            _absorb(known, piece)
    return list(merged.values())


def _absorb(known: Half, piece: Half) -> None:
    known.parent = known.parent or piece.parent
    known.kind = known.kind or piece.kind
    known.name = known.name or piece.name
    known.start_us = min(known.start_us or piece.start_us, piece.start_us or known.start_us)
    known.duration_us = max(known.duration_us, piece.duration_us)
    known.tags = {**piece.tags, **known.tags}
    known.local = {**piece.local, **known.local}
    known.remote = {**piece.remote, **known.remote}
    known.annotations |= piece.annotations


class _Sharing:
    """Which ids are shared, and who has them."""

    def __init__(self, halves: list[Half]) -> None:
        self._servers: dict[str, dict[str, str]] = {}
        self._clients: set[tuple[str, str]] = set()
        for half in halves:
            if half.shared:
                digest = hashlib.sha256(f"{half.id}/{half.service}".encode()).hexdigest()
                self._servers.setdefault(half.id, {})[half.service] = digest[: 2 * ids.SPAN_BYTES]
            else:
                self._clients.add((half.id, half.service))

    def ids_of(self, half: Half) -> tuple[str, str | None]:
        """(span id, parent id) in the model.

        A child of a shared id belongs to the half of its own service. Where it has none, to
        the server's: that is who passes the shared id on.
        """
        if half.shared:
            return self._servers[half.id][half.service], half.id
        servers = self._servers.get(half.parent or "")
        if servers is None:
            return half.id, half.parent
        if half.service in servers:
            return half.id, servers[half.service]
        from_client = (half.parent, half.service) in self._clients
        return half.id, half.parent if from_client else min(servers.values())


def _span(trace_id: str, half: Half, own: tuple[str, str | None], earliest_us: int) -> Span:
    start_ns = min((half.start_us or earliest_us) * _NS_PER_US, LAST_NS)
    error = half.tags.get("error", "false")
    status = SpanStatus.ERROR if error != "false" else _STATUSES.get(half.tags.get("otel.status_code", ""))
    return Span(
        trace_id=trace_id,
        span_id=own[0],
        parent_id=own[1],
        name=half.name,
        kind=_KINDS.get(half.kind or "", SpanKind.INTERNAL),
        service=half.service,
        start_ns=start_ns,
        end_ns=min(start_ns + half.duration_us * _NS_PER_US, LAST_NS),
        status=status or SpanStatus.UNSET,
        status_message=half.tags.get("otel.status_description", "") if error in ("false", "true") else error,
        attributes={**_local(half), **_peer(half), **half.tags},
        resource={SERVICE_NAME: half.service},
        scope_name=half.tags.get("otel.scope.name", ""),
        events=tuple(
            SpanEvent(time_ns=min(time * _NS_PER_US, LAST_NS), name=name) for time, name in sorted(half.annotations)
        ),
    )


def _local(half: Half) -> dict[str, str]:
    """Attributes for the host that reported: clocks are compared by it."""
    port, address = _typed(half.local.get("port"), int), _address(half.local)
    found = {"network.local.address": address, "network.local.port": str(port or "")}
    return {name: value for name, value in found.items() if value}


def _address(endpoint: dict[str, Any]) -> str:
    return str(_typed(endpoint.get("ipv4"), str) or _typed(endpoint.get("ipv6"), str))


def _peer(half: Half) -> dict[str, str]:
    """Attributes for the remote endpoint; the other side is the server only when this one called."""
    remote = half.remote
    service, port = _typed(remote.get("serviceName"), str), _typed(remote.get("port"), int)
    address = _address(remote)
    side = "server" if half.kind in _CALLERS else "client"
    found = {
        "peer.service": service,
        "network.peer.address": address,
        "network.peer.port": str(port or ""),
        f"{side}.address": address,
        f"{side}.port": str(port or "") if address else "",
    }
    return {name: value for name, value in found.items() if value}


def _id(text: str) -> str | None:
    """16 lower-case digits, or None for an absent or all-zero id. Raises MalformedError."""
    try:
        number = ids.span_bytes(text) if text else ids.ZERO_SPAN
    except ValueError as error:
        raise MalformedError(str(error)) from None
    return None if number == ids.ZERO_SPAN else number.hex()


def _typed(value: Any, kind: Any) -> Any:
    """`value`, or the empty value of `kind` when it is null. Raises MalformedError for another type."""
    if value is None:
        return kind()
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 0)):
        raise MalformedError(f"{kind.__name__} is needed, not {str(value)[:40]!r}")
    return value
