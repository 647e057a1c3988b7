"""k6's `--out json`: the samples of a load test, one a line. Of each request they tell when, what, how long and with
which status; headers and bodies are in none of them. It is an access log, written by the client.

A sample's time is when the request ended (k6, lib/netext/httpext/tracer.go: Trail.EndTime); `http_req_duration` is
sending, waiting and receiving.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.json_cut import parse
from tracer_bullet.capture.formats.shared.parts import as_dict, as_text
from tracer_bullet.capture.formats.shared.streams import lines
from tracer_bullet.model.exchange import SAFE_METHODS, Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

TEMPLATE: Final = "k6 requests whose URL was grouped under a template"
_FIRST: Final = re.compile(
    rb'\s*\{"(?:type":"Metric","data":\{"name"|metric":"[a-z_0-9]+","type":"(?:Metric|Point)"'
    rb'|type":"Point","(?:data|metric)")'
)
_MS: Final = 10**6
_WANTED: Final = b'"http_req_duration"'


class K6Samples:
    """The reader."""

    name = "k6 samples"

    def recognises(self, head: bytes) -> bool:
        """Whether its first line is a metric or a sample."""
        return _FIRST.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:  # noqa: ARG002
        """One exchange a sample of `http_req_duration`, in the order in which the requests ended."""
        for line in lines(stream, losses):
            if _WANTED not in line:
                continue
            found = as_dict(parse(line, losses))
            if found.get("type") == "Point" and found.get("metric") == "http_req_duration":
                exchange = _exchange(as_dict(found.get("data")), losses)
                if exchange is not None:
                    yield exchange


def _exchange(data: dict[str, Any], losses: Losses) -> Exchange | None:
    tags, more = as_dict(data.get("tags")), as_dict(data.get("metadata"))
    ended, took = parts.iso_ns(data.get("time")), parts.scaled_ns(data.get("value"), _MS)
    if ended is None or took is None or ended < took:
        losses.lose(parts.NO_TIME, data.get("time"))
        return None
    url = as_text(tags.get("url"))
    if "${" in url:
        losses.lose(TEMPLATE, url)
        return None
    method, place = parts.method(tags.get("method"), losses), parts.place(url, losses)
    if method is None or place is None:
        return None
    lacks = {Lack.REQUEST_HEADERS}
    body = b"" if method in SAFE_METHODS else None
    if body is None:
        lacks.add(Lack.REQUEST_BODY)
    user = tags.get("vu", more.get("vu"))
    if user is None:
        lacks.add(Lack.SESSION)
    answer = _answer(tags.get("status"), lacks)
    return Exchange(
        id="",
        session="" if user is None else f"vu {user}",
        source="k6",
        started_ns=ended - took,
        ended_ns=ended,
        request=Request(
            method=method,
            scheme=place.scheme,
            authority=place.authority,
            target=place.target,
            http_version=parts.http_version(tags.get("proto")),
            body=body,
        ),
        answer=answer,
        lacks=frozenset(lacks),
    )


def _answer(status: object, lacks: set[Lack]) -> Answer | None:
    text = str(status)
    if not re.fullmatch(r"[1-9]\d\d", text, re.ASCII):
        return None  # 0: it failed, and k6 knows
    lacks |= {Lack.ANSWER_HEADERS, Lack.ANSWER_BODY}
    return Answer(status=int(text), body=None)
