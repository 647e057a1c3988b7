"""Insomnia's export, version 4: a flat list of resources. Environments give the variables; there are no answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final
from urllib.parse import quote_plus

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.collections import listed
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.model.exchange import Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

OTHER: Final = "Insomnia resources that are no HTTP requests (gRPC, WebSocket, tests)"
_HEAD: Final = re.compile(rb'\s*\{\s*"(?:_type"\s*:\s*"export|__export_format"|__export_date"|resources")')
_MARK: Final = re.compile(rb'"__export_format"\s*:\s*[34]')
_OTHERS: Final = frozenset({"grpc_request", "websocket_request", "unit_test", "socketio_request"})
_DEEP: Final = 16


class Insomnia:
    """The reader."""

    name = "Insomnia export"

    def recognises(self, head: bytes) -> bool:
        """Whether it begins as an export."""
        return _HEAD.match(head) is not None and _MARK.search(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:  # noqa: ARG002
        """The requests in the order of the export."""
        resources = [as_dict(one) for one in as_list(listed.whole_document(stream, losses).get("resources"))]
        variables: dict[str, str] = {}
        for one in resources:
            if one.get("_type") == "environment":
                _flatten(as_dict(one.get("data")), variables)
        order = 0
        for one in resources:
            if as_text(one.get("_type")) in _OTHERS:
                losses.lose(OTHER, one.get("name", ""))
            elif one.get("_type") == "request":
                found = _request(one, variables, losses)
                if found is not None:
                    order += 1
                    yield listed.listed("insomnia", order, *found)


def _flatten(data: dict[str, Any], into: dict[str, str]) -> None:
    """`{"a": {"b": 1}}` is `a.b`. The base environment comes first, and stays where another one says something else."""
    stack = [("", data, 0)]
    while stack:
        prefix, values, depth = stack.pop()
        for key, value in values.items():
            if isinstance(value, dict):
                if depth < _DEEP:
                    stack.append((f"{prefix}{key}.", value, depth + 1))
            elif value is not None and not isinstance(value, list):
                into.setdefault(f"{prefix}{key}", str(value))


def _request(one: dict[str, Any], variables: dict[str, str], losses: Losses) -> tuple[Request, None, set[Lack]] | None:
    method = parts.method(one.get("method", "GET"), losses)
    url = listed.filled(as_text(one.get("url")), variables)
    url = _with_query(url, _fields(one.get("parameters"), variables))
    pairs = _fields(one.get("headers"), variables)
    auth = as_dict(one.get("authentication"))
    if not auth.get("disabled"):
        said = {k: listed.filled(str(v), variables) for k, v in auth.items()}
        line = listed.authorization(as_text(auth.get("type")), said, losses)
        if line is not None and not any(name.lower() == line[0].lower() for name, _ in pairs):
            pairs.append(line)
    body, mime = _body(as_dict(one.get("body")), variables)
    if listed.is_open(url, (body or b"").decode("utf-8", "replace"), *(value for _, value in pairs)):
        losses.lose(listed.UNRESOLVED, url)
        return None
    place = parts.place(url if "://" in url else f"http://{url}", losses)
    if place is None or method is None:
        return None
    if mime and body and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", mime))
    lacks = {Lack.REQUEST_HEADERS} | ({Lack.REQUEST_BODY} if body is None else set())
    headers = parts.headers(pairs, losses)[0]
    made = Request(
        method=method, scheme=place.scheme, authority=place.authority, target=place.target, headers=headers, body=body
    )
    return made, None, lacks


def _fields(value: Any, variables: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (listed.filled(as_text(one.get("name")), variables), listed.filled(as_text(one.get("value")), variables))
        for one in map(as_dict, as_list(value))
        if not one.get("disabled") and one.get("name")
    ]


def _quoted(fields: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote_plus(parts.octets(name))}={quote_plus(parts.octets(value))}" for name, value in fields)


def _with_query(url: str, fields: list[tuple[str, str]]) -> str:
    if not fields or listed.is_open(*(value for _, value in fields)):
        return url if not fields else f"{url}?{fields[0][1]}"  # what is open is refused by the caller
    return f"{url}{'&' if '?' in url else '?'}{_quoted(fields)}"


def _body(body: dict[str, Any], variables: dict[str, str]) -> tuple[bytes | None, str]:
    mime = as_text(body.get("mimeType"))
    if isinstance(body.get("text"), str):
        return parts.octets(listed.filled(body["text"], variables)), mime
    if mime == "application/x-www-form-urlencoded":
        return _quoted(_fields(body.get("params"), variables)).encode(), mime
    return (None, mime) if body.get("params") or body.get("fileName") else (b"", "")
