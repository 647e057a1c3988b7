"""The single values of an answer that a later request could repeat, and how to take each from the replayed answer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from tracer_bullet.model.exchange import Answer
from tracer_bullet.replay.reading.endpoints import looks_like_value
from tracer_bullet.replay.requests.json_spans import key_path

MOST_BODY: Final = 262_144
_MOST_VALUES: Final = 1000
_MOST_TEXT: Final = 4096
_DULL: Final = frozenset(
    [
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "cache-control",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-security-policy",
        "content-type",
        "date",
        "expires",
        "keep-alive",
        "last-modified",
        "link",
        "p3p",
        "pragma",
        "referrer-policy",
        "retry-after",
        "server",
        "server-timing",
        "strict-transport-security",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "vary",
        "via",
        "x-content-type-options",
        "x-frame-options",
        "x-powered-by",
        "x-xss-protection",
        "x-envoy-upstream-service-time",
        "access-control-allow-origin",
        "access-control-allow-headers",
        "access-control-allow-methods",
    ]
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]+")


class Minted(NamedTuple):
    """A value of an answer. `path` is exact; `place` is the same with `[*]` for indexes; see model.arrival.Take."""

    text: str
    source: str
    path: str
    place: str
    pattern: str = ""


def minted(answer: Answer) -> Iterator[Minted]:
    """The values of an answer's headers, cookies and JSON. Never raises; a body that cannot be read has none."""
    for name, value in answer.headers:
        lowered = name.lower()
        if lowered == "set-cookie":
            if (cookie := set_cookie(value)) is not None:
                yield Minted(cookie[1], "cookie", cookie[0], cookie[0])
        elif lowered not in _DULL and not lowered.startswith("access-control-"):
            yield Minted(value, "header", lowered, lowered)
    body = json_body(answer)
    if body is not None:
        yield from values_of(body)
    # Behind the body: what stands there by itself is taken more simply.
    for value in answer.values("location"):
        yield from _parts(value, "header", "location", "location")


def set_cookie(line: str) -> tuple[str, str] | None:
    """Name and value of a Set-Cookie line; None when it deletes, or is none (RFC 6265, 5.2)."""
    pair, _, attributes = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or not value or re.search(r"(?i)max-age\s*=\s*(?:0|-\d+)\s*(?:;|$)", attributes):
        return None
    return name, value


def json_body(answer: Answer) -> Any:
    """The JSON of an answer; None when it has none, or too much, or in a coding that is not known here."""
    body = answer.body
    if not body or len(body) > MOST_BODY:
        return None
    coding = ",".join(answer.values("content-encoding")).strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        return None
    kind = ",".join(answer.values("content-type")).partition(";")[0].strip().lower()
    if kind and not kind.endswith("json"):
        return None
    try:
        return orjson.loads(_inflated(body) if coding in ("gzip", "x-gzip", "deflate") else body)
    except (ValueError, zlib.error):
        return None


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=47)  # gzip or zlib, by their first bytes
    data = inflater.decompress(body, MOST_BODY)
    if inflater.unconsumed_tail:
        raise zlib.error("longer than is looked at")
    return data


def values_of(document: Any) -> Iterator[Minted]:
    """The texts and whole numbers of a JSON document, at most the first 1000."""
    stack: list[tuple[Any, str, str]] = [(document, "$", "$")]
    left = _MOST_VALUES
    while stack and left:
        value, path, place = stack.pop()
        if isinstance(value, dict):
            names = [key for key in reversed(value) if "'" not in key]  # the others have no path
            stack += [(value[key], key_path(path, key), key_path(place, key)) for key in names]
        elif isinstance(value, list):
            some = range(min(len(value), _MOST_VALUES) - 1, -1, -1)
            stack += [(value[index], f"{path}[{index}]", f"{place}[*]") for index in some]
        elif isinstance(value, str):
            left -= 1
            if len(value) <= _MOST_TEXT:
                yield Minted(value, "json", path, place)
                if "/" in value and value.startswith(("/", "http://", "https://")):
                    yield from _parts(value, "json", path, place)
        elif isinstance(value, int) and not isinstance(value, bool):
            left -= 1
            yield Minted(str(value), "json", path, place)


def _parts(url: str, source: str, path: str, place: str) -> Iterator[Minted]:
    """Identifiers inside an address, each with a pattern that finds it in another one of its form."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    segments = parts.path.split("/")
    for index, segment in enumerate(segments[1:], start=1):
        if _PLAIN.fullmatch(segment) and looks_like_value(segment):
            before = [_any_value(s) for s in segments[max(index - 2, 1) : index]]
            yield Minted(segment, source, path, place, "/".join(["", *before, r"([^/?#]+)"]))
    for pair in parts.query.split("&") if parts.query else ():
        name, equals, value = pair.partition("=")
        if equals and _PLAIN.fullmatch(value):
            yield Minted(value, source, path, place, rf"[?&]{re.escape(name)}=([^&#]+)")


def _any_value(segment: str) -> str:
    return r"[^/?#]+" if looks_like_value(segment) else re.escape(segment)
