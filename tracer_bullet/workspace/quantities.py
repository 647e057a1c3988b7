"""Numbers with units in YAML: `4x`, `500/s`, `10 %`, `2 GB`. Each becomes a plain number."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

# With an exponent, since that is how Python writes small and large numbers that stood plain in the file.
_NUMBER = r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)"
_SPEED = re.compile(rf"{_NUMBER}\s*x?")
_RATE = re.compile(rf"{_NUMBER}\s*(?:/|per)\s*(s|min|h)")
_SHARE = re.compile(rf"{_NUMBER}\s*(%?)")
_DURATION = re.compile(rf"{_NUMBER}\s*(ms|s|min|m|h|d)?")
_SIZE = re.compile(rf"{_NUMBER}\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_MOST_BYTES = 2**63
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LONGEST_S = 366 * 86400
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)
}


def _speed(value: Any) -> float:
    found = _SPEED.fullmatch(_text(value))
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ValueError("must be a factor above nothing, as 4x or 0.5x")
    return float(found[1])


def _rate(value: Any) -> float:
    found = _RATE.fullmatch(_text(value))
    rate = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if not 0 < rate < math.inf:
        raise ValueError("must be a rate above nothing, as 500/s or 90/min")
    return rate


def _duration(value: Any) -> float:
    found = _DURATION.fullmatch(_text(value))
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else math.inf
    if not seconds < _LONGEST_S:
        raise ValueError("must be a time, as 30s, 500ms or 5m")
    return seconds


def _share(value: Any) -> float:
    found = _SHARE.fullmatch(_text(value))
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= share <= 1:
        raise ValueError("must be a share, as 10 % or 0.1")
    return share


def _size(value: Any) -> int:
    found = _SIZE.fullmatch(_text(value))
    size = float(found[1]) * _BYTES[found[2] or "B"] if found else math.inf
    if size >= _MOST_BYTES:
        raise ValueError("must be a size, as 500 MB or 2 GiB")
    return round(size)


def _text(value: Any) -> str:
    return "" if isinstance(value, bool) else str(value).strip()


_EITHER = {"anyOf": [{"type": "string"}, {"type": "number"}]}

Speed = Annotated[float, BeforeValidator(_speed), WithJsonSchema(_EITHER)]
"""A factor: `4x`."""
Rate = Annotated[
    float,
    BeforeValidator(_rate),
    PlainSerializer(lambda value: f"{value!r}/s", return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""Per second: `500/s`, `90/min`."""
Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema(_EITHER)]
"""Seconds: `30s`, `500ms`, `5m`, `2h`; a bare number is seconds."""
Share = Annotated[float, BeforeValidator(_share), WithJsonSchema(_EITHER)]
"""0 to 1: `10 %`."""
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema(_EITHER)]
"""Bytes: `2 GB`."""
