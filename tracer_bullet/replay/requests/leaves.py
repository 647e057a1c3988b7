"""The single values of a request, each with its place and where exactly it stands. Pure; never raises.

Places are written as in the replay file: `path[2]`, `query:id`, `header:authorization`, `cookie:sid`, `form:token`,
`json:$.order.id`, with `[*]` for indexes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from tracer_bullet.replay.requests.draft import BODY, TARGET
from tracer_bullet.replay.requests.json_spans import json_spans

MOST_BODY: Final = 262_144
# Said by programs and not by sessions.
_DULL: Final = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "accept-charset",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "content-encoding",
        "date",
        "dnt",
        "host",
        "keep-alive",
        "origin",
        "pragma",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "te",
        "transfer-encoding",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
    ]
)
_SCHEME: Final = re.compile(r"(?:bearer|token|apikey|basic|jwt|session)\s+", re.IGNORECASE)
_PAIR: Final = re.compile(r"\s*([^=;\s]+)\s*=\s*([^;]*?)\s*(?:;|$)")


class Leaf(NamedTuple):
    """A value: `text` decoded; `element` is TARGET, BODY or the index of a header line; `start` and `length` count
    characters of it (bytes of a body), encoded as `encoding` says (model.arrival.Slot)."""

    place: str
    text: str
    element: int
    start: int
    length: int
    encoding: str


class Mark(NamedTuple):
    """A leaf that a variable fills."""

    leaf: Leaf
    variable: str


def leaves(target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Iterator[Leaf]:
    """All values of a request. A body that is neither a form nor JSON, or longer than MOST_BODY, has none."""
    yield from _target(target)
    kind = ""
    for index, (name, value) in enumerate(headers):
        lowered = name.lower()
        if lowered == "content-type":
            kind = value.partition(";")[0].strip().lower()
        elif lowered == "cookie":
            yield from _cookies(index, value)
        elif lowered not in _DULL:
            yield from _header(lowered, index, value)
    if body and len(body) <= MOST_BODY:
        yield from _body(kind, body)


def _target(target: str) -> Iterator[Leaf]:
    path, mark, query = target.partition("?")
    at = 0
    for number, segment in enumerate(path.split("/")):
        if segment:
            yield Leaf(f"path[{number}]", unquote(segment), TARGET, at, len(segment), "percent")
        at += len(segment) + 1
    if mark:
        yield from _pairs("query:", query, TARGET, len(path) + 1)


def _pairs(kind: str, text: str, element: int, at: int) -> Iterator[Leaf]:
    """`a=1&b=2` (https://url.spec.whatwg.org/#application/x-www-form-urlencoded)."""
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        if equals and value:
            start = at + len(name) + 1
            yield Leaf(kind + unquote_plus(name), unquote_plus(value), element, start, len(value), "percent")
        at += len(pair) + 1


def _cookies(index: int, value: str) -> Iterator[Leaf]:
    for match in _PAIR.finditer(value):
        yield Leaf(f"cookie:{match[1]}", match[2], index, match.start(2), match.end(2) - match.start(2), "raw")


def _header(name: str, index: int, value: str) -> Iterator[Leaf]:
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    yield Leaf(f"header:{name}", value[start:], index, start, len(value) - start, "raw")


def _body(kind: str, body: bytes) -> Iterator[Leaf]:
    if kind == "application/x-www-form-urlencoded":
        yield from _pairs("form:", body.decode("latin-1"), BODY, 0)
    elif kind.endswith("json") or (not kind and body[:1] in (b"{", b"[")):
        for path, text, start, length, is_string in json_spans(body):
            yield Leaf(f"json:{path}", text, BODY, start, length, "json" if is_string else "raw")
