"""Speedscale's RRPairs: JSON lines, as `proxymock` and its exports write them. The product is closed; its fields were
read from recordings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.json_cut import parse
from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.capture.formats.shared.streams import lines
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request
from tracer_bullet.model.losses import Losses

NO_HTTP: Final = "records of other protocols than HTTP"
OUTBOUND: Final = "outbound calls: what the service asked others is no traffic to it"
_HEAD: Final = re.compile(rb'\s*\{[^\n]{0,65000}?"msgType"\s*:\s*"rrpair"', re.DOTALL)
_MS: Final = 10**6


class Speedscale:
    """The reader. Inbound HTTP pairs only."""

    name = "Speedscale RRPair"

    def recognises(self, head: bytes) -> bool:
        """Whether its first line is an RRPair."""
        return _HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange a line."""
        for line in lines(stream, losses):
            if not line.strip():
                continue
            found = as_dict(parse(line, losses))
            if found and (exchange := _exchange(found, losses, options)) is not None:
                yield exchange


def _exchange(pair: dict[str, Any], losses: Losses, options: ReadOptions) -> Exchange | None:
    http = as_dict(pair.get("http"))
    asked = as_dict(http.get("req"))
    if not asked:
        losses.lose(NO_HTTP, pair.get("l7protocol", ""))
        return None
    if as_text(pair.get("direction")).upper() == "OUT":
        losses.lose(OUTBOUND)
        return None
    started = parts.iso_ns(pair.get("ts"))
    if started is None:
        losses.lose(parts.NO_TIME, pair.get("ts"))
        return None
    lacks: set[Lack] = set()
    request = _request(asked, lacks, losses, options)
    if request is None:
        return None
    took = parts.scaled_ns(pair.get("duration"), _MS)
    ended = None if took is None else parts.bounded_ns(started + took)
    session = as_text(pair.get("session"))
    if ended is None:
        lacks.add(Lack.DURATION)
    if not session:
        lacks.add(Lack.SESSION)
    answer = _answer(as_dict(http.get("res")), lacks, losses)
    return Exchange(
        id=as_text(pair.get("uuid")),
        session=session,
        source="speedscale",
        started_ns=started,
        ended_ns=ended,
        request=request,
        answer=answer,
        lacks=frozenset(lacks),
    )


def _request(asked: dict[str, Any], lacks: set[Lack], losses: Losses, options: ReadOptions) -> Request | None:
    method = parts.method(asked.get("method"), losses)
    headers = _headers(asked.get("headers"), losses)
    host = as_text(asked.get("host")) or parts.first(headers, "host")
    url = as_text(asked.get("url"))
    if "://" in url:
        place = parts.place(url, losses)
    else:
        if not parts.is_authority(host):
            host = options.authority
            lacks.add(Lack.AUTHORITY)
        lacks.add(Lack.SCHEME)
        place = parts.Place(options.scheme, host, parts.origin_form(as_text(asked.get("uri")) or url, losses))
    if method is None or place is None:
        return None
    body = _body(asked, headers)
    if body is None:
        lacks.add(Lack.REQUEST_BODY)
    elif (parts.length_said(headers) or 0) > len(body):
        lacks.add(Lack.REQUEST_BODY_CUT)
    return Request(
        method=method,
        scheme=place.scheme,
        authority=place.authority,
        target=place.target,
        http_version=parts.http_version(f"http/{asked.get('version', '')}".replace("http/HTTP", "http")),
        headers=headers,
        body=body,
    )


def _headers(value: Any, losses: Losses) -> Headers:
    pairs: list[tuple[object, object]] = []
    for name, given in as_dict(value).items():
        pairs += [(name, one) for one in as_list(given)] if isinstance(given, list) else [(name, given)]
    return parts.headers(pairs, losses)[0]


def _body(message: dict[str, Any], headers: Headers) -> bytes | None:
    text = message.get("bodyBase64")
    if isinstance(text, str) and text:
        try:
            return base64.b64decode(text)
        except (binascii.Error, ValueError):
            return None
    return None if (parts.length_said(headers) or 0) > 0 else b""


def _answer(said: dict[str, Any], lacks: set[Lack], losses: Losses) -> Answer | None:
    status = said.get("statusCode", said.get("status"))
    if not isinstance(status, int) or not 100 <= status < 1000:
        lacks.add(Lack.ANSWER)
        return None
    headers = _headers(said.get("headers"), losses)
    body = _body(said, headers)
    if body is None:
        lacks.add(Lack.ANSWER_BODY)
    return Answer(status=status, headers=headers, body=body)
