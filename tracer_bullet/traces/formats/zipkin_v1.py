"""Zipkin v1 spans to v2: one span with annotations of both sides becomes one span a side.

The rules are those of zipkin2.v1.V1SpanConverter: `cs`/`cr` make a client, `sr`/`ss` a server, `ms`/`ws` a
producer, `mr`/`wr` a consumer; addresses (`sa`, `ca`, `ma`) are the other side's endpoint. A span may be one-way:
`cs` and `sr` without an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.lenient import items, part, scaled, word

_SIDES: Final = {
    "cs": "CLIENT", "cr": "CLIENT", "sr": "SERVER", "ss": "SERVER",
    "ms": "PRODUCER", "ws": "PRODUCER", "mr": "CONSUMER", "wr": "CONSUMER",
}  # fmt: skip
# What says for certain on which side an annotation is: bytes on the wire may be anybody's.
_TELLING: Final = ("cs", "cr", "sr", "ss", "ms", "mr")
_ADDRESSES: Final = ("ca", "sa", "ma")
_BASE: Final = ("traceId", "id", "parentId", "name", "debug")


def is_v1(span: Mapping[str, Any]) -> bool:
    """Whether a Zipkin span is in the first format: only that has endpoints at its annotations."""
    if any(key in span for key in ("localEndpoint", "remoteEndpoint", "kind", "tags", "shared")):
        return False
    return "binaryAnnotations" in span or any(
        isinstance(a, dict) and "endpoint" in a for a in items(span, "annotations")
    )


class _Sides:
    """The v2 spans that a v1 span becomes: one for each endpoint's service and kind."""

    def __init__(self, span: Mapping[str, Any]) -> None:
        self._base = {key: span[key] for key in _BASE if span.get(key) is not None}
        self.all: list[dict[str, Any]] = []

    def at(self, endpoint: Mapping[str, Any], kind: str | None = None) -> dict[str, Any]:
        """The side at an endpoint. Without a kind any side there is right, or the first one for no endpoint."""
        for side in self.all:
            if not endpoint and kind is None:
                return side
            same = not side["localEndpoint"] or _service(side["localEndpoint"]) == _service(endpoint)
            if same and (kind is None or side.get("kind") in (None, kind)):
                side["localEndpoint"] = side["localEndpoint"] or dict(endpoint)
                if kind:
                    side["kind"] = kind
                return side
        side = {**self._base, "localEndpoint": dict(endpoint), "annotations": [], "tags": {}}
        if kind:
            side["kind"] = kind
        self.all.append(side)
        return side


def from_v1(span: Mapping[str, Any], losses: Losses) -> list[dict[str, Any]]:
    """The v2 spans of a v1 span. Values are passed on as they are: whoever reads v2 checks them."""
    sides = _Sides(span)
    core: dict[str, tuple[int, dict[str, Any]]] = {}
    for annotation in items(span, "annotations"):
        value, time = (word(annotation, "value"), _us(annotation)) if isinstance(annotation, dict) else ("", None)
        endpoint = part(annotation, "endpoint")
        if time is None:
            losses.lose("annotations that are none", annotation)
        elif value in _TELLING and endpoint:
            core[value] = time, sides.at(endpoint, _SIDES[value])
        elif value in _SIDES and endpoint:
            core[value] = time, {"annotations": []}
        else:
            sides.at(endpoint)["annotations"].append({"timestamp": time, "value": value})
    _tags(span, sides, core)
    if not sides.all:
        sides.at({})
    _times(span, core, sides.all[0])
    return sides.all


def _times(span: Mapping[str, Any], core: dict[str, tuple[int, dict[str, Any]]], first: dict[str, Any]) -> None:
    """Start and duration of each side: what the span says belongs to who began it."""
    own = span.get("timestamp"), span.get("duration")
    client, server = _side(core, "cs", "cr"), _side(core, "sr", "ss")
    producer, consumer = _side(core, "ms"), _side(core, "mr")
    if client is not None:
        _set(client, own[0] or _at(core, "cs"), own[1] or _between(core, "cs", "cr"))
    if server is not None:
        both = client is not None
        # By convention a server that did not begin the span wrote no timestamp.
        server["shared"] = "sr" in core and (both or not own[0])
        start, length = _at(core, "sr"), _between(core, "sr", "ss")
        _set(server, start if both else own[0] or start, length if both else own[1] or length)
    if producer is not None:
        _set(producer, own[0] or _at(core, "ms"), own[1] or _between(core, "ms", "ws"))
    if consumer is not None:
        both = producer is not None
        consumer["shared"] = both
        start, length = _at(core, "wr") or _at(core, "mr"), _between(core, "wr", "mr")
        _set(consumer, start if both else own[0] or start, length if both else own[1] or length)
    if client is server is producer is consumer is None:
        _set(first, *own)
    for value, (time, side) in core.items():
        if side.get("timestamp") is None and "localEndpoint" in side:
            side["annotations"].append({"timestamp": time, "value": value})


def _tags(span: Mapping[str, Any], sides: _Sides, core: dict[str, tuple[int, dict[str, Any]]]) -> None:
    addresses: dict[str, dict[str, Any]] = {}
    for binary in items(span, "binaryAnnotations"):
        key, value = (binary.get("key"), binary.get("value")) if isinstance(binary, dict) else (None, None)
        endpoint = part(binary, "endpoint")
        if key in _ADDRESSES and endpoint and (value in (True, "true", "AQ==", 1) or binary.get("type") == "BOOL"):
            addresses[key] = endpoint
        elif isinstance(key, str):
            sides.at(endpoint)["tags"][key] = value
    called, caller, broker = (addresses.get(key) for key in ("sa", "ca", "ma"))
    client, server = _side(core, "cs", "cr"), _side(core, "sr", "ss")
    message = _side(core, "ms") or _side(core, "mr")
    if caller and server is not None:
        # Finagle names the server at its client's address: that would be a call to itself.
        itself = _service(caller) == _service(server["localEndpoint"])
        server["remoteEndpoint"] = {k: v for k, v in caller.items() if not (itself and k == "serviceName")}
    if called and client is not None:
        client["remoteEndpoint"] = called
    elif called and server is None:
        sides.at(caller or {})["remoteEndpoint"] = called
    if broker and message is not None:
        message["remoteEndpoint"] = broker


def _side(core: dict[str, tuple[int, dict[str, Any]]], *values: str) -> dict[str, Any] | None:
    return next((core[v][1] for v in values if v in core), None)


def _at(core: dict[str, tuple[int, dict[str, Any]]], value: str) -> int | None:
    return core[value][0] if value in core else None


def _between(core: dict[str, tuple[int, dict[str, Any]]], first: str, last: str) -> int | None:
    start, end = _at(core, first), _at(core, last)
    return None if start is None or end is None or end < start else end - start


def _set(side: dict[str, Any], start: Any, length: Any) -> None:
    side["timestamp"] = start
    side["duration"] = length


def _service(endpoint: Mapping[str, Any]) -> str:
    return str(endpoint.get("serviceName") or "").lower()


def _us(annotation: Mapping[str, Any]) -> int | None:
    return scaled(annotation.get("timestamp"), 1)
