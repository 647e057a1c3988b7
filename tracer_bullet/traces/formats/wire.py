"""Protobuf's wire format by hand: just enough to cut long inputs and to find the sound parts of a broken message.

Source: protobuf's encoding documentation (tags, varints, lengths).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5
_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_MOST_DIGITS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its number and wire type, where it begins, and where its content is."""

    number: int
    wire: int
    start: int
    content: int
    end: int


def varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A varint's value and the place behind it. Raises ValueError when it is cut short or too long."""
    value = shift = 0
    for place in range(at, min(at + _MOST_DIGITS, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError("no whole varint")


def field_at(data: bytes | bytearray, at: int) -> Field:
    """The field at a place; its end may be behind the data's. Raises ValueError when none begins there."""
    tag, content = varint(data, at)
    number, wire = tag >> 3, tag & 7
    if not number:
        raise ValueError("a field has number 0")
    if wire == VARINT:
        return Field(number=number, wire=wire, start=at, content=content, end=varint(data, content)[1])
    if wire == LENGTH:
        length, content = varint(data, content)
        return Field(number=number, wire=wire, start=at, content=content, end=content + length)
    if wire in _FIXED:
        return Field(number=number, wire=wire, start=at, content=content, end=content + _FIXED[wire])
    raise ValueError(f"wire type {wire}")


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, one after the other. Raises ValueError at the first that is none."""
    at = 0
    while at < len(data):
        field = field_at(data, at)
        if field.end > len(data):
            raise ValueError("a field is cut short")
        yield field
        at = field.end


def put(number: int, content: bytes) -> bytes:
    """A field of wire type LENGTH."""
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
