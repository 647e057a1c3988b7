"""Secrets in bodies. Content coding, charset and media type are opened; what cannot be opened is dropped."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.redaction.fields import redact_fields
from tracer_bullet.capture.redaction.looking.codings import OpenError, codings_of, open_content
from tracer_bullet.capture.redaction.looking.encodings import as_text
from tracer_bullet.capture.redaction.multipart import redact_multipart
from tracer_bullet.capture.redaction.rules import Action, Place, readable
from tracer_bullet.capture.redaction.texts import Scrubber
from tracer_bullet.model.exchange import Headers

_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_XSSI: Final = re.compile(r"\s*(?:\)\]\}'?,?|for\s*\(;;\);|while\s*\(1\);|throw[^;]{0,20};)\s*")
_FORM: Final = re.compile(r"[\w.~%+\[\]$-]+=[^\s<>{}\"&]*(?:&[\w.~%+\[\]$-]+=[^\s<>{}\"&]*)*")
_JSON_LINES: Final = ("ndjson", "jsonl", "json-seq", "jsonlines", "x-json-stream", "stream+json")


@dataclass(frozen=True, slots=True)
class Body:
    """What is left of a body. `content` is None when it was dropped, with `why`; `changed`: it is not what it was, and
    has no content coding any more; `cut`: a part of it had to go, so that it cannot be sent."""

    content: bytes | None
    changed: bool = False
    why: str = ""
    cut: bool = False


def redact_body(body: bytes, headers: Headers, scrubber: Scrubber, limit: int, note: Callable[[str], None]) -> Body:
    """A body without secrets. `limit`: bytes, opened. `note` gets `json:$.path`, `form:name` or `text`."""
    if len(body) > limit:
        return Body(None, why="over the limit")
    declared = _values(headers, "content-type")
    media_type = declared.partition(";")[0].strip().lower()
    action = scrubber.rules.content_action(media_type)
    if action is Action.KEEP:
        return Body(body)
    if action is not None:
        return Body(None, why=f"a rule drops {media_type}"[:80])
    codings = codings_of([value for name, value in headers if name.lower() == "content-encoding"])
    try:
        content = open_content(body, codings, limit)
    except OpenError as error:
        if as_text(body) is None:  # text is text, whatever its header says
            return Body(None, why=str(error))
        content = body
    if media_type.startswith("multipart/"):
        return _multipart(body, content, declared, scrubber, note)
    return _plain(body, content, declared, media_type, scrubber, note)


def _multipart(body: bytes, content: bytes, declared: str, scrubber: Scrubber, note: Callable[[str], None]) -> Body:
    parts = redact_multipart(content, declared, scrubber, note)
    if parts is None:
        return Body(None, why="damaged multipart content")
    return Body(body) if parts.content == content else Body(parts.content, changed=True, cut=parts.cut)


def _plain(
    body: bytes, content: bytes, declared: str, media_type: str, scrubber: Scrubber, note: Callable[[str], None]
) -> Body:
    read = _decoded(content, declared, media_type)
    if read is None:
        return Body(None, why=f"binary content ({media_type or 'no type'})"[:80])
    text, charset = read
    new = _text(text, media_type, scrubber, note)
    if new is None:
        return Body(None, why="damaged JSON")
    return Body(body) if new == text else Body(_encoded(new, charset), changed=True)


def _values(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")


def _decoded(content: bytes, declared: str, media_type: str) -> tuple[str, str] | None:
    """The text, and the charset it is in; None when it is none."""
    found = _CHARSET.search(declared)
    charset = found[1] if found else ""
    if not charset and media_type.endswith("json"):
        charset = json.detect_encoding(content)
    if charset and charset.lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii", "ascii"):
        try:
            name = codecs.lookup(charset).name
            text = content.decode(charset)
            if text.encode(charset) == content and as_text(text.encode("utf-8", "surrogatepass")) is not None:
                return text, name
        except (LookupError, ValueError):
            pass
    plain = as_text(content)
    if plain is not None:
        return plain, "utf-8"
    if _is_text(media_type):
        text = content.decode("latin-1")
        return text, "latin-1"
    return None


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("xml", "javascript", "x-www-form-urlencoded"))


def _encoded(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _text(text: str, media_type: str, scrubber: Scrubber, note: Callable[[str], None]) -> str | None:
    """The text of a body without secrets; None when it must be JSON and is none."""
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    bare = text[len(bom) :]
    prefix = _XSSI.match(bare)
    start = prefix.end() if prefix else 0
    head = bare[start : start + 64].lstrip()[:1]
    if head in ("{", "[", '"'):
        new = scrubber.json(bare[start:], lambda path: note(f"json:{readable(path)}"))
        if new is not None:
            return bom + bare[:start] + new
    subtype = media_type.partition("/")[2]
    if subtype.endswith("json") and bare.strip() and not any(mark in subtype for mark in _JSON_LINES):
        return _damaged_json(bare, scrubber, note)
    if subtype == "x-www-form-urlencoded" or _FORM.fullmatch(bare):
        return bom + redact_fields(bare, Place.FORM, scrubber, lambda name: note(f"form:{name}"))
    new = scrubber.scrub(bare)
    if new != bare:
        note("text")
    return bom + new


def _damaged_json(text: str, scrubber: Scrubber, note: Callable[[str], None]) -> str | None:
    """Some call JSON lines JSON; every line must be JSON then. A bare number, too, is a document."""
    lines = text.splitlines(keepends=True)
    fresh: list[str] = []
    for line in lines:
        new = scrubber.json(line, lambda path: note(f"json:{readable(path)}")) if line.strip() else line
        if new is None:
            return None
        fresh.append(new)
    return "".join(fresh)
