"""Bytes with places in them: constant parts, places for a row's values, and slots for what answers mint. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

from tracer_bullet.model.arrival import Slot
from tracer_bullet.workspace.template import Scalar, text_of

# What stands in a slot until the engine fills it: JSON where a JSON value is wanted, no segment that leads elsewhere.
SLOT_BYTE: Final = b"0"


def _percent(value: Scalar) -> bytes:
    return quote(text_of(value), safe="").encode()


def _form(value: Scalar) -> bytes:
    return quote_plus(text_of(value)).encode()


def _raw(value: Scalar) -> bytes:
    return text_of(value).encode()


def _json(value: Scalar) -> bytes:
    return json.dumps(text_of(value), ensure_ascii=False)[1:-1].encode()


def _value(value: Scalar) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


# As scenario/render.py puts a variable into its place; `form` is `percent` to a slot, where a space is %20.
ENCODERS: Final[Mapping[str, Callable[[Scalar], bytes]]] = {
    "percent": _percent,
    "form": _form,
    "raw": _raw,
    "json": _json,
    "value": _value,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a variable's value goes. `encoding`: a key of ENCODERS."""

    variable: str
    encoding: str


class Marks:
    """Texts that stand for variables while a request is rendered, and are found again in its bytes.

    They are small letters and digits alone, so that no encoding changes them, and do not occur in `beside`.
    """

    def __init__(self, variables: tuple[str, ...], beside: str) -> None:
        salt = "tbq"
        while salt in beside:
            salt += "q"
        self._names = variables
        self.values: dict[str, Scalar] = {name: f"{salt}z{index}z" for index, name in enumerate(variables)}
        mark = f"{salt}z(\\d+)z"
        self._any = re.compile(mark.encode())
        # A string of nothing but the mark was one whole reference, which keeps its type. A quote inside of a string
        # has a backslash before it.
        self._json = re.compile(rf'(?<!\\)"{mark}"|{mark}'.encode())

    def find(self, data: bytes, encoding: str) -> list[bytes | Place]:
        """The constant parts and the places of `data`, in order. `json`: places of whole values are `value`."""
        found: list[bytes | Place] = []
        at = 0
        for match in (self._json if encoding == "json" else self._any).finditer(data):
            if match.start() > at:
                found.append(data[at : match.start()])
            index = match[match.lastindex or 1]
            whole = encoding == "json" and match.lastindex == 1
            found.append(Place(self._names[int(index)], "value" if whole else encoding))
            at = match.end()
        if at < len(data):
            found.append(data[at:])
        return found


class Pieces:
    """Parts of a request's head or body (`part`), to be joined for each iteration. `taken`: variables for slots."""

    __slots__ = ("_part", "_parts", "_slots", "fixed", "places")

    def __init__(self, parts: list[bytes | Place], taken: frozenset[str], part: str) -> None:
        self._part = part
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, Place]] = []
        self.places: list[tuple[int, Place]] = []
        for item in parts:
            if isinstance(item, bytes):
                if self._parts and self._is_constant(len(self._parts) - 1):
                    self._parts[-1] += item
                    continue
                self._parts.append(item)
                continue
            (self._slots if item.variable in taken else self.places).append((len(self._parts), item))
            self._parts.append(SLOT_BYTE if item.variable in taken else b"")
        self.fixed = None if self.places else (b"".join(self._parts), self._placed(self._parts))

    def _is_constant(self, index: int) -> bool:
        return all(index != other for other, _ in (*self._slots, *self.places))

    def join(self, encoded: Mapping[Place, bytes]) -> tuple[bytes, tuple[Slot, ...]]:
        """The bytes with these values in their places, and the slots that are left."""
        if self.fixed is not None:
            return self.fixed
        parts = self._parts.copy()
        for index, place in self.places:
            parts[index] = encoded[place]
        return b"".join(parts), self._placed(parts) if self._slots else ()

    def _placed(self, parts: list[bytes]) -> tuple[Slot, ...]:
        slots: list[Slot] = []
        for index, place in self._slots:
            start = sum(map(len, parts[:index]))
            encoding = "percent" if place.encoding == "form" else place.encoding
            slots.append(Slot(self._part, start, len(SLOT_BYTE), place.variable, encoding))
        return tuple(slots)
