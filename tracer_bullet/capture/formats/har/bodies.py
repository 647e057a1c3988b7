"""Bodies of HAR entries: text, base64 or form fields become bytes, or are marked as missing."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus

import zstandard

from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text, first, length_said, octets
from tracer_bullet.model.exchange import SAFE_METHODS, Headers, Lack
from tracer_bullet.model.losses import Losses

DECODED: Final = "answers that the recorder decoded: kept so, without their Content-Encoding"
REBUILT: Final = "form bodies put together from their fields"
MANGLED: Final = "request bodies that the recorder could not write as text: marked as missing"
BAD_BASE64: Final = "bodies that are no base64: marked as missing"
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)
_BODILESS: Final = SAFE_METHODS | {"CONNECT"}
_NO_BODY_STATUS: Final = frozenset({204, 205, 304})
_SPACE: Final = re.compile(r"\s+")
_EXPANDED: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes, None when they are missing, and the mark for that."""

    content: bytes | None
    lack: Lack | None = None


_NONE: Final = Body(b"")
_MISSING_REQUEST: Final = Body(None, Lack.REQUEST_BODY)
_MISSING_ANSWER: Final = Body(None, Lack.ANSWER_BODY)


def request_body(request: dict[str, Any], method: str, headers: Headers, losses: Losses) -> Body:
    """The body of an entry's request. A form without text is rebuilt when the result has the length that was sent."""
    data = request.get("postData")
    said = length_said(headers)
    size = _size(request.get("bodySize"))
    if not isinstance(data, dict):
        if size == 0 or said == 0 or (size < 0 and said is None and method in _BODILESS):
            return _NONE
        return _MISSING_REQUEST
    text = data.get("text")
    if data.get("encoding") == "base64" and isinstance(text, str):
        return _base64(text, losses) or _MISSING_REQUEST
    if first(headers, "content-encoding") not in ("", "identity"):
        return _MISSING_REQUEST  # nobody says whether the text is what was sent, or what it decodes to
    if isinstance(text, str) and (text or not as_list(data.get("params"))):
        return _request_text(text, as_text(data.get("mimeType")), size, said, losses)
    return _form(data, size if size > 0 else said, losses)


def _request_text(text: str, mime: str, size: int, said: int | None, losses: Losses) -> Body:
    if "\ufffd" in text:
        losses.repair(MANGLED)
        return _MISSING_REQUEST
    if not text and (size > 0 or (said or 0) > 0):
        return _MISSING_REQUEST
    content = _encoded(text, mime)
    length = size if said is None else said
    if length < 0 or len(content) == length:
        return Body(content)
    if len(narrow := text.encode("latin-1", "replace")) == length and narrow.decode("latin-1") == text:
        return Body(narrow)  # mitmproxy shows bytes that are no UTF-8 so
    if len(content) < length:
        return Body(content, Lack.REQUEST_BODY_CUT)
    losses.repair(MANGLED)
    return _MISSING_REQUEST


def _encoded(text: str, mime: str) -> bytes:
    found = _CHARSET.search(mime)
    try:
        name = codecs.lookup(found.group(1)).name if found else "utf-8"
        return octets(text) if name == "utf-8" else text.encode(name)
    except (LookupError, ValueError, TypeError):  # TypeError: a codec that is not of text
        return octets(text)


def _form(data: dict[str, Any], size: int | None, losses: Losses) -> Body:
    """Fields as `a=b&c=d`: some recorders decode them and some do not, so the length that was sent decides."""
    pairs = [as_dict(one) for one in as_list(data.get("params"))]
    is_form = "multipart" not in as_text(data.get("mimeType")).lower()
    if not pairs or not is_form or any(p.get("fileName") for p in pairs):
        return _MISSING_REQUEST
    fields = [(as_text(p.get("name")), as_text(p.get("value"))) for p in pairs]
    as_is = "&".join(f"{name}={value}" for name, value in fields)
    quoted = "&".join(f"{quote_plus(octets(name))}={quote_plus(octets(value))}" for name, value in fields)
    candidates = [octets(as_is), quoted.encode()]
    if size is not None and (fitting := [c for c in candidates if len(c) == size]):
        losses.repair(REBUILT)
        return Body(fitting[0])
    if size is None and as_is == quoted:
        losses.repair(REBUILT)
        return Body(candidates[0])
    return _MISSING_REQUEST


def answer_body(response: dict[str, Any], method: str, status: int, length: int | None, losses: Losses) -> Body:
    """The body of an entry's response: decoded, as recorders write it. `length` is what its Content-Length says."""
    content = as_dict(response.get("content"))
    text = content.get("text")
    size = _size(content.get("size"))
    if not isinstance(text, str):
        known = size == 0 or length == 0 or method == "HEAD" or status in _NO_BODY_STATUS
        return _NONE if known else _MISSING_ANSWER
    if content.get("encoding") == "base64":
        return _base64(text, losses) or _MISSING_ANSWER
    if not text and size > 0:
        return _MISSING_ANSWER  # Firefox and Chromium leave out what was dropped from their caches
    return Body(_encoded(text, as_text(content.get("mimeType"))))


def _size(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _base64(text: str, losses: Losses) -> Body | None:
    try:
        plain = _SPACE.sub("", text).rstrip("=")  # some recorders leave out the padding
        return Body(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, ValueError):
        losses.repair(BAD_BASE64)
        return None


def decoded(content: bytes, coding: str) -> bytes | None:
    """A body without its content coding; None when that is not known here, or the body is not in it."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return content
    try:
        if coding in ("gzip", "x-gzip", "deflate"):
            expander = zlib.decompressobj(wbits=47)  # gzip or zlib
            plain = expander.decompress(content, _EXPANDED)
            return plain if expander.eof and not expander.unused_data else None
        if coding == "zstd":
            return zstandard.ZstdDecompressor().decompress(content, max_output_size=_EXPANDED)
    except (zlib.error, zstandard.ZstdError):
        pass
    return None
