"""Which format values are in, told from the values alone; and what content is that is in none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tracer_bullet.traces.formats.base import Format

_KEYS_SHOWN: Final = 6
# Beginnings of files that people try to import.
_MAGIC: Final = (
    (b"PAR1", "a Parquet file (the span table of a run needs no import)"),
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "bzip2: unpack it first"),
    (b"\xfd7zXZ", "xz: unpack it first"),
    (b"\x1f\x8b", "gzip inside gzip, too often"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF document"),
)


def recognise(value: Any, formats: Mapping[str, Format]) -> str | None:
    """The key of the first format that recognises a value; None when none does."""
    return next((key for key, known in formats.items() if known.recognises(value)), None)


def describe(head: bytes, first: Any) -> str:
    """What unrecognised content looks like, in a few words; `head` are its first bytes, inflated.

    `first` is the first JSON value in it, None when there is none.
    """
    text = head.lstrip(b" \t\r\n")
    if not text and first is None:
        return "nothing: it is empty"
    if first is not None and not isinstance(first, bytes):
        return f"JSON: {_outline(first)}"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if text[:1] == b"<":
        return "HTML or XML, perhaps a page for logging in"
    if b"\0" in head or _control_characters(head):
        return f"binary data beginning with {head[:8].hex(' ')}"
    first = text.split(b"\n", 1)[0][:60].decode("utf-8", "replace").strip()
    return f"text beginning with {first!r}"


def _outline(value: object, depth: int = 3) -> str:
    if isinstance(value, list):
        if not value:
            return "an empty array"
        return f"an array of {len(value)}" + (f", first {_outline(value[0], depth - 1)}" if depth else "")
    if isinstance(value, dict):
        keys = ", ".join(json.dumps(k, ensure_ascii=False)[:40] for k in list(value)[:_KEYS_SHOWN])
        more = ", …" if len(value) > _KEYS_SHOWN else ""
        return f"an object with {keys}{more}" if value else "an empty object"
    return f"a {type(value).__name__}" if value is not None else "null"


def _control_characters(head: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\n\r\x0c\x1b\x1e" for byte in head)
