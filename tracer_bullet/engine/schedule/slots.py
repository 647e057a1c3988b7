"""Filling a request's slots with values that earlier answers minted. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import quote_from_bytes

from tracer_bullet.engine.schedule.takes import Json
from tracer_bullet.model.arrival import Slot

_LENGTH: Final = re.compile(rb"(?<=\n)(content-length:[ \t]*)\d+[ \t]*(?=\r\n)", re.IGNORECASE)
# What would end a header line, or the target in the request line. A value of an answer must not write headers.
_BREAKS: Final = re.compile(rb"[\r\n\0]")
# As segments of a path these would lead to another endpoint, which nothing may have armed.
_NO_SEGMENT: Final = (b"", b".", b"..")


class SlotError(ValueError):
    """A value cannot stand where it should."""


def fill(
    head: bytes,
    body: bytes,
    slots: Sequence[Slot],
    values: Mapping[str, bytes],
    wholes: Mapping[str, bytes] = MappingProxyType({}),
) -> tuple[bytes, bytes]:
    """`head` and `body` with each slot's bytes replaced by its variable's value, and content-length put right.

    A slot of the encoding `value` takes its value from `wholes` before `values`. Raises SlotError when a value would
    break the head apart, KeyError when a variable is missing.
    """
    new_head = _replace(head, [s for s in slots if s.part == "head"], values, wholes, in_head=True)
    new_body = _replace(body, [s for s in slots if s.part == "body"], values, wholes, in_head=False)
    if len(new_body) != len(body):
        new_head = _LENGTH.sub(rb"\g<1>%d" % len(new_body), new_head)
    return new_head, new_body


def _replace(
    data: bytes, slots: list[Slot], values: Mapping[str, bytes], wholes: Mapping[str, bytes], *, in_head: bool
) -> bytes:
    if not slots:
        return data
    parts: list[bytes] = []
    at = 0
    line_end = data.find(b"\r\n") if in_head else 0
    path_end = data.find(b"?", 0, line_end) if in_head else 0
    path_end = line_end if path_end < 0 else path_end
    for slot in sorted(slots, key=lambda s: (s.start, s.length)):
        is_whole = slot.encoding == "value" and slot.variable in wholes
        value = encode((wholes if is_whole else values)[slot.variable], slot.encoding)
        if in_head and (_BREAKS.search(value) or (slot.start < line_end and b" " in value)):
            raise SlotError(f"the value of {slot.variable} would break the request's head")
        if slot.start < path_end and value in _NO_SEGMENT:
            raise SlotError(f"the value of {slot.variable} would make the path another one")
        if slot.start < at or slot.start + slot.length > len(data):
            raise SlotError(f"the slot of {slot.variable} lies outside of the request, or over another one")
        parts += (data[at : slot.start], value)
        at = slot.start + slot.length
    return b"".join((*parts, data[at:]))


def encode(value: bytes, encoding: str) -> bytes:
    """A value as it stands in a slot of this encoding (model/arrival.py, Slot)."""
    if encoding == "percent":
        return quote_from_bytes(value, safe="").encode()
    if encoding == "value":
        return value if isinstance(value, Json) else b'"%b"' % encode(value, "json")
    if encoding == "json":
        return json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False)[1:-1].encode()
    if encoding == "base64":
        return base64.b64encode(value)
    return value
