"""What an answer says to the sender: the values that it mints, a pause that it asks for, the kill switch. Pure."""

from __future__ import annotations

import json
import re
import zlib
from email.utils import parsedate_to_datetime
from typing import Any, Final

from tracer_bullet.model.arrival import Take
from tracer_bullet.model.exchange import Answer

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_DECODED_LIMIT: Final = 16 * 1024 * 1024
_DISABLED: Final = "urn:tracer-bullet:disabled"


class Json(bytes):
    """The text of a JSON number or boolean: it fills any slot as text, and one of the encoding `value` as it is."""


class Whole(Json):
    """The text of a JSON null, object or array: it fills slots of the encoding `value` alone."""


def take(answer: Answer, takes: tuple[Take, ...]) -> dict[str, bytes]:
    """The variables that this answer mints. What it lacks is not among them. Texts are plain bytes."""
    found: dict[str, bytes] = {}
    document: Any = None
    for wanted in takes:
        value: bytes | None
        if wanted.source == "json":
            if document is None:
                document = _document(answer)
            value = _at(document, wanted.path)
        elif wanted.source == "cookie":
            value = _cookie(answer, wanted.path)
        elif wanted.source == "status":
            value = Json(b"%d" % answer.status)
        else:
            value = next((v.encode("latin-1") for v in answer.values(wanted.path)), None)
        if value is not None and wanted.pattern:
            value = None if isinstance(value, Whole) else _part(value, wanted.pattern)
        if value is not None:
            found[wanted.variable] = value
    return found


def pause_s(answer: Answer, unix_s: float) -> float | None:
    """How long the answer asks to wait, in seconds from `unix_s` on, by its Retry-After (RFC 9110, 10.2.3)."""
    for text in map(str.strip, answer.values("retry-after")):
        if text.isascii() and text.isdigit():
            return float(text) if len(text) < 10 else 1e9
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - unix_s)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def says_disabled(answer: Answer) -> bool:
    """Whether a guard refused since the kill switch is on (docs/protocol.md, section 3)."""
    if answer.status != 503 or not any("problem+json" in v.lower() for v in answer.values("content-type")):
        return False
    document = _document(answer)
    return isinstance(document, dict) and document.get("type") == _DISABLED


def decoded(answer: Answer) -> bytes | None:
    """The body without content coding; None when the coding is not known here, it is broken, or too long."""
    body = answer.body or b""
    for value in reversed([c.strip().lower() for v in answer.values("content-encoding") for c in v.split(",")]):
        if value in ("", "identity"):
            continue
        if value not in ("gzip", "x-gzip", "deflate"):
            return None
        unpacked = _inflate(body, (47, -15) if value == "deflate" else (31,))
        if unpacked is None:
            return None
        body = unpacked
    return body


def _inflate(body: bytes, formats: tuple[int, ...]) -> bytes | None:
    # zlib's window bits: 31 gzip, 47 gzip or zlib by the first bytes, -15 the bare deflate that some send instead.
    for bits in formats:
        unpacker = zlib.decompressobj(bits)
        try:
            out = unpacker.decompress(body, _DECODED_LIMIT)
        except zlib.error:
            continue
        return out if not unpacker.unconsumed_tail else None
    return None


def _document(answer: Answer) -> Any:
    body = decoded(answer)
    if not body:
        return ()
    try:
        # Numbers stay the text that they are: 1.10 must not become 1.1.
        return json.loads(body, parse_float=_Number, parse_int=_Number, parse_constant=str)
    except (ValueError, RecursionError):
        return ()


class _Number(str):
    __slots__ = ()


def _at(document: Any, path: str) -> bytes | None:
    """The value at the path, by the kind of value that it is; None when there is none."""
    try:
        return _kind(_walk(document, path))
    except (LookupError, RecursionError):
        return None


def _walk(document: Any, path: str) -> Any:
    """The value at the path. Raises LookupError."""
    if not path.startswith("$") or document == ():
        raise LookupError
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise LookupError
        at = step.end()
        if step[2] is not None:
            if not isinstance(document, list) or int(step[2]) >= len(document):
                raise LookupError
            document = document[int(step[2])]
        else:
            name = next(part for part in (step[1], step[3], step[4]) if part is not None)
            if not isinstance(document, dict) or name not in document:
                raise LookupError
            document = document[name]
    return document


def _kind(value: Any) -> bytes:
    """The value as bytes that tell what it was."""
    if isinstance(value, _Number):
        return Json(value.encode())
    if isinstance(value, bool):
        return Json(b"true" if value else b"false")
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return Whole(_text(value).encode("utf-8", "surrogatepass"))


def _text(document: Any) -> str:
    """JSON again; numbers as they were written, which `json.dumps` cannot do."""
    if isinstance(document, dict):
        return "{" + ",".join([f"{json.dumps(k, ensure_ascii=False)}:{_text(v)}" for k, v in document.items()]) + "}"
    if isinstance(document, list):
        return "[" + ",".join([_text(v) for v in document]) + "]"
    return document if isinstance(document, _Number) else json.dumps(document, ensure_ascii=False)


def _part(value: bytes, pattern: str) -> bytes | None:
    """Group 1 of the pattern's first match."""
    found = re.search(pattern, value.decode("utf-8", "surrogateescape"))
    return found[1].encode("utf-8", "surrogateescape") if found is not None and found[1] is not None else None


def _cookie(answer: Answer, name: str) -> bytes | None:
    value = None
    for line in answer.values("set-cookie"):
        key, equals, text = line.split(";", 1)[0].partition("=")
        if equals and key.strip() == name:
            value = text.strip().encode("latin-1")
    return value
