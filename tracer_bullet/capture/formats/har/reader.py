"""HAR → exchanges. An entry that cannot be used is counted; the rest is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.har.bodies import DECODED, answer_body, request_body
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.json_cut import elements
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

_MS: Final = 10**6
# No nested object of any recorder begins so.
_FRESH: Final = re.compile(rb'\{\s{0,64}"(?:startedDateTime|pageref|_connectionId|_initiator|_priority)"\s*:')
_HEAD: Final = re.compile(rb'\s*\{\s*"log"\s*:\s*\{')
_MEMBERS: Final = re.compile(rb'"(?:entries|creator|version|pages|browser|comment|_[A-Za-z]+)"\s*:')
COOKIES: Final = "requests whose Cookie header was put together from their cookies"
NO_REQUEST: Final = "entries without a request"
_STATUSES: Final = range(100, 1000)


class Har:
    """The reader. `recognises` needs the first members of the document only."""

    name = "HAR"

    def recognises(self, head: bytes) -> bool:
        """Whether it begins as a HAR document: an object whose first member is `log`."""
        found = _HEAD.match(head)
        return found is not None and _MEMBERS.match(head[found.end() :].lstrip()) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange an entry, in the order of the file."""
        for entry in elements(stream, ("log", "entries"), _FRESH, losses):
            found = _exchange(as_dict(entry), losses, options)
            if found is not None:
                yield found


def _exchange(entry: dict[str, Any], losses: Losses, options: ReadOptions) -> Exchange | None:
    asked = as_dict(entry.get("request"))
    if not asked:
        losses.lose(NO_REQUEST, entry.get("startedDateTime"))
        return None
    began = parts.iso_ns(entry.get("startedDateTime"))
    if began is None:
        losses.lose(parts.NO_TIME, entry.get("startedDateTime"))
        return None
    lacks: set[Lack] = _marks(entry)
    request = _request(asked, lacks, losses, options)
    if request is None:
        return None
    answer = _answer(as_dict(entry.get("response")), request.method, lacks, losses)
    if "_lacks" in entry:  # our own: no headers means that there were none
        lacks -= {Lack.REQUEST_HEADERS, Lack.ANSWER_HEADERS} - _marks(entry)
    started, first_byte, ended = _times(entry, began)
    if ended is None:
        lacks.add(Lack.DURATION)
    # Page views of one browser are one user's; a connection is less than that, but all that many files have.
    connection = entry.get("connection")
    session = str(connection) if isinstance(connection, str | int) and not isinstance(connection, bool) else ""
    if not session:
        lacks.add(Lack.SESSION)
    return Exchange(
        id=as_text(entry.get("_id")),
        session=session,
        source="har",
        started_ns=started,
        first_byte_ns=first_byte if answer is not None else None,
        ended_ns=ended,
        request=request,
        answer=answer,
        lacks=frozenset(lacks),
        redacted=tuple(r for r in as_list(entry.get("_redacted")) if isinstance(r, str)),
    )


def _marks(entry: dict[str, Any]) -> set[Lack]:
    """What our own writer says is missing."""
    known = {lack.value: lack for lack in Lack}
    return {known[text] for text in as_list(entry.get("_lacks")) if isinstance(text, str) and text in known}


def _request(asked: dict[str, Any], lacks: set[Lack], losses: Losses, options: ReadOptions) -> Request | None:
    method = parts.method(asked.get("method"), losses)
    if method is None:
        return None
    headers, pseudo = parts.headers(_pairs(asked.get("headers")), losses)
    place = _connect_place(asked, options) if method == "CONNECT" else parts.place(asked.get("url"), losses)
    if place is None:
        return None
    if not place.authority:
        lacks.add(Lack.AUTHORITY)
    if not headers and not pseudo:
        lacks.add(Lack.REQUEST_HEADERS)
    elif not parts.first(headers, "cookie") and (cookies := _cookies(asked)):
        losses.repair(COOKIES)
        headers = (*headers, ("Cookie", cookies))
    body = request_body(asked, method, headers, losses)
    if Lack.REQUEST_BODY in lacks:  # our writer's word
        content = None
    else:
        content = body.content
        lacks |= {body.lack} if body.lack else set()
    authority = pseudo.get(":authority", "")
    return Request(
        method=method,
        scheme=place.scheme,
        authority=authority if parts.is_authority(authority) else place.authority,
        target="*" if asked.get("_target") == "*" else place.target,
        http_version=parts.http_version(asked.get("httpVersion")),
        headers=headers,
        body=content,
        trailers=parts.headers(_pairs(asked.get("_trailers")), losses)[0],
    )


def _connect_place(asked: dict[str, Any], options: ReadOptions) -> parts.Place:
    authority = as_text(asked.get("url")).rpartition("//")[2].strip("/")
    return parts.Place(options.scheme, authority if parts.is_authority(authority) else "", "/")


def _pairs(value: Any) -> Iterator[tuple[object, object]]:
    for one in as_list(value):
        if isinstance(one, dict):
            value = one.get("value")
            text = "" if value is None else str(value) if isinstance(value, int | float) else value
            if one.get("_encoding") == "latin-1" and isinstance(text, str):
                text = text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
            yield one.get("name"), text


def _cookies(asked: dict[str, Any]) -> str:
    found = [as_dict(c) for c in as_list(asked.get("cookies"))]
    return "; ".join(
        f"{as_text(c.get('name'))}={parts.header_text(as_text(c.get('value')))}"
        for c in found
        if as_text(c.get("name"))
    )


def _answer(response: dict[str, Any], method: str, lacks: set[Lack], losses: Losses) -> Answer | None:
    status = response.get("status")
    if not isinstance(status, int) or status not in _STATUSES:
        # Chromium says with `_error` that none came; without it nobody knows.
        if not as_text(response.get("_error")):
            lacks.add(Lack.ANSWER)
        return None
    headers, _ = parts.headers(_pairs(response.get("headers")), losses)
    body = answer_body(response, method, status, parts.length_said(headers), losses)
    if body.lack:
        lacks.add(body.lack)
    elif not as_dict(response.get("content")).get("_encoded"):
        headers = _plain(headers, body.content or b"", losses)
    if not headers:
        lacks.add(Lack.ANSWER_HEADERS)
    trailers = parts.headers(_pairs(response.get("_trailers")), losses)[0]
    return Answer(status=status, headers=headers, body=body.content, trailers=trailers)


def _plain(headers: Headers, content: bytes, losses: Losses) -> Headers:
    """Headers that fit a body that has no content coding any more."""
    if not content or parts.first(headers, "content-encoding").lower() in ("", "identity"):
        return headers
    losses.repair(DECODED)
    kept = parts.without(headers, "content-encoding")
    return tuple((k, str(len(content)) if k.lower() == "content-length" else v) for k, v in kept)


def _times(entry: dict[str, Any], began: int) -> tuple[int, int | None, int | None]:
    """When the request began on the wire, its answer's first byte, and its end.

    `startedDateTime` is before the browser waited for a free connection and opened it (HAR 1.2, timings).
    """
    timings = as_dict(entry.get("timings"))
    before = sum(parts.scaled_ns(timings.get(k), _MS) or 0 for k in ("blocked", "dns", "connect"))
    send, wait, receive = (parts.scaled_ns(timings.get(k), _MS) for k in ("send", "wait", "receive"))
    started = began + before
    first_byte = None if wait is None else started + (send or 0) + wait
    ended = None if first_byte is None or receive is None else first_byte + receive
    if ended is None and (total := parts.scaled_ns(entry.get("time"), _MS)) is not None:
        ended = max(began + total, first_byte or started)
    if max(started, first_byte or 0, ended or 0) > parts.MAX_NS:
        return began, None, None
    return started, first_byte, ended
