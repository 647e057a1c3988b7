"""What an answer's body is to a comparison: JSON, or bytes. Pure."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tracer_bullet.model.exchange import Answer

# Bodies that unpack to more are compared as bytes: a small answer may be a bomb.
_MAX_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """`json` when `is_json`; else `data`, unpacked where its coding is known."""

    data: bytes
    json: Any = None
    is_json: bool = False


def read_content(answer: Answer) -> Content:
    """The body for comparing. Never raises: what cannot be read is compared as it came."""
    data = _unpacked(answer.body or b"", ",".join(answer.values("content-encoding")).strip().lower())
    if "json" not in ",".join(answer.values("content-type")).lower():
        return Content(data)
    try:
        return Content(data, orjson.loads(data), is_json=True)
    except (orjson.JSONDecodeError, RecursionError):
        return Content(data)


def _unpacked(data: bytes, coding: str) -> bytes:
    try:
        if coding in ("gzip", "x-gzip"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                found = stream.read(_MAX_BYTES + 1)
        elif coding == "deflate":
            found = zlib.decompressobj().decompress(data, _MAX_BYTES + 1)
        else:
            return data
    except (OSError, EOFError, zlib.error):
        return data
    return found if len(found) <= _MAX_BYTES else data
