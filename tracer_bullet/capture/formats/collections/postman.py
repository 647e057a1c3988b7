"""Postman collections v2.0 and v2.1 (schema.getpostman.com): requests in folders, and the answers that were saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from urllib.parse import quote_plus

import orjson

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.collections import listed
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NO_ITEM: Final = "Postman items without a request"
_HEAD: Final = re.compile(rb'\s*\{\s*"(?:info|item|variables?|auth|event)"\s*:')
_SCHEMA: Final = re.compile(rb'"(?:schema|_postman_id|_postman_variable_scope)"|schema\.getpostman\.com')
_DEEP: Final = 64


@dataclass(frozen=True, slots=True)
class _Item:
    value: dict[str, Any]
    auth: dict[str, Any]


class Postman:
    """The reader. Each saved answer is an exchange with the request that it was saved with."""

    name = "Postman collection"

    def recognises(self, head: bytes) -> bool:
        """Whether it begins as a collection, and names Postman."""
        return _HEAD.match(head) is not None and _SCHEMA.search(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:  # noqa: ARG002
        """The requests in the order in which Postman's runner would send them."""
        document = listed.whole_document(stream, losses)
        variables = _variables(document.get("variable"), {})
        order = 0
        for item in _items(document, losses):
            for request, response in _pairs(item.value):
                found = _request(request, item.auth, variables, losses)
                if found is None:
                    continue
                order += 1
                answer, lacks = _answer(response, found[0].method, losses)
                yield listed.listed("postman", order, found[0], answer, found[1] | lacks)


def _variables(value: Any, inherited: dict[str, str]) -> dict[str, str]:
    found = {
        as_text(one.get("key") or one.get("id")): str(one.get("value", ""))
        for one in map(as_dict, as_list(value))
        if not one.get("disabled")
    }
    return {**inherited, **found}


def _items(document: dict[str, Any], losses: Losses) -> Iterator[_Item]:
    """Items of all folders, without recursion, in order; a folder's authorization goes down to them."""
    stack = [(iter(as_list(document.get("item"))), as_dict(document.get("auth")))]
    while stack:
        try:
            item = as_dict(next(stack[-1][0]))
        except StopIteration:
            stack.pop()
            continue
        auth = as_dict(item.get("auth")) or stack[-1][1]
        if isinstance(item.get("item"), list):
            if len(stack) < _DEEP:
                stack.append((iter(item["item"]), auth))
        elif item.get("request"):
            yield _Item(item, auth)
        else:
            losses.lose(NO_ITEM, item.get("name", ""))


def _pairs(item: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    asked = item["request"]
    request = {"url": asked, "method": "GET"} if isinstance(asked, str) else as_dict(asked)
    saved = [as_dict(one) for one in as_list(item.get("response"))]
    for response in saved:
        original = as_dict(response.get("originalRequest"))
        # It has the headers that were sent, and the authorization of its request.
        yield ({"auth": request.get("auth"), **original} if original else request), response
    if not saved:
        yield request, {}


def _request(
    asked: dict[str, Any], inherited: dict[str, Any], variables: dict[str, str], losses: Losses
) -> tuple[Request, set[Lack]] | None:
    method = parts.method(asked.get("method", "GET"), losses)
    url = _url(asked.get("url"), variables)
    pairs = _header_pairs(asked.get("header"), variables)
    auth = as_dict(asked.get("auth")) or inherited
    kind = as_text(auth.get("type"))
    said = {k: listed.filled(v, variables) for k, v in _variables(auth.get(kind), {}).items()}
    if isinstance(auth.get(kind), dict):  # version 2.0
        said = {k: listed.filled(str(v), variables) for k, v in as_dict(auth[kind]).items()}
    line = listed.authorization(kind, said, losses)
    if line is not None and not any(name.lower() == line[0].lower() for name, _ in pairs):
        pairs.append(line)
    body, mime = _body(as_dict(asked.get("body")), variables)
    shown = (body or b"").decode("utf-8", "replace")
    if listed.is_open(url, shown, *(value for _, value in pairs)):
        losses.lose(listed.UNRESOLVED, url)
        return None
    place = parts.place(url if "://" in url else f"http://{url}", losses)
    if place is None or method is None:
        return None
    if mime and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", mime))
    headers: Headers = parts.headers(pairs, losses)[0]
    lacks = {Lack.REQUEST_HEADERS} | ({Lack.REQUEST_BODY} if body is None else set())
    made = Request(
        method=method, scheme=place.scheme, authority=place.authority, target=place.target, headers=headers, body=body
    )
    return made, lacks


def _url(value: Any, variables: dict[str, str]) -> str:
    if isinstance(value, str):
        return listed.filled(value, variables)
    url = as_dict(value)
    text = listed.filled(as_text(url.get("raw")), variables)
    for name, one in _variables(url.get("variable"), {}).items():  # `/users/:id`
        if name:
            filler = listed.filled(one, variables).replace("\\", "\\\\")
            text = re.sub(rf"(?<=/):{re.escape(name)}(?=[/?#]|$)", filler, text)
    return text


def _header_pairs(value: Any, variables: dict[str, str]) -> list[tuple[str, str]]:
    if isinstance(value, str):
        lines = [line.partition(":") for line in value.splitlines() if ":" in line]
        return [(name.strip(), listed.filled(text.strip(), variables)) for name, _, text in lines]
    return [
        (as_text(one.get("key")), listed.filled(as_text(one.get("value")), variables))
        for one in map(as_dict, as_list(value))
        if not one.get("disabled") and one.get("key")
    ]


def _body(body: dict[str, Any], variables: dict[str, str]) -> tuple[bytes | None, str]:
    """The bytes and their media type; None when they lie in a file, or need a boundary that was not kept."""
    mode = body.get("mode")
    if body.get("disabled") or not mode:
        return b"", ""
    if mode == "raw":
        language = as_text(as_dict(as_dict(body.get("options")).get("raw")).get("language"))
        mime = {"json": "application/json", "xml": "application/xml", "html": "text/html"}.get(language, "")
        return parts.octets(listed.filled(as_text(body.get("raw")), variables)), mime
    if mode == "urlencoded":
        pairs = _header_pairs(body.get("urlencoded"), variables)
        text = "&".join(f"{quote_plus(parts.octets(k))}={quote_plus(parts.octets(v))}" for k, v in pairs)
        return text.encode(), "application/x-www-form-urlencoded"
    if mode == "graphql":
        said = as_dict(body.get("graphql"))
        query = {"query": as_text(said.get("query"))}
        try:
            inner = orjson.loads(listed.filled(as_text(said.get("variables")), variables) or "{}")
        except ValueError:
            inner = {}
        return orjson.dumps({**query, "variables": inner}, default=str), "application/json"
    return None, ""


def _answer(response: dict[str, Any], method: str, losses: Losses) -> tuple[Answer | None, set[Lack]]:
    status = response.get("code")
    if not isinstance(status, int) or not 100 <= status < 1000:
        return None, set()
    headers = parts.headers(_header_pairs(response.get("header"), {}), losses)[0]
    body = response.get("body")
    lacks: set[Lack] = set()
    if not headers:
        lacks.add(Lack.ANSWER_HEADERS)
    content = parts.octets(body) if isinstance(body, str) else b"" if method == "HEAD" or status in (204, 304) else None
    if content is None:
        lacks.add(Lack.ANSWER_BODY)
    # Postman saves what the body decoded to.
    return Answer(status=status, headers=parts.without(headers, "content-encoding"), body=content), lacks
