"""Trace and span ids: hex text in the model, signed 64-bit integers in the span table.

Signed, because Spark and BigQuery have no unsigned 64-bit type in Parquet. W3C Trace
Context (section 3.2.2.3 and 3.2.2.4) gives the widths; all-zero ids are invalid there.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TRACE_BYTES = 16
SPAN_BYTES = 8
ZERO_TRACE = bytes(TRACE_BYTES)
ZERO_SPAN = bytes(SPAN_BYTES)

_HEX = re.compile("[0-9a-fA-F]+")
_SIGN = 1 << 63
_WRAP = 1 << 64


def signed(unsigned: int) -> int:
    """The signed 64-bit integer with the same bits."""
    return unsigned - _WRAP if unsigned >= _SIGN else unsigned


def trace_halves(trace_id: str) -> tuple[int, int]:
    """(trace_hi, trace_lo) of a trace id of up to 32 hex digits; a shorter one is padded on the left.

    Raises ValueError when the text is no such id.
    """
    value = _number(trace_id, TRACE_BYTES)
    return signed(value >> 64), signed(value & (_WRAP - 1))


def trace_hex(high: int, low: int) -> str:
    """32 lower-case hex digits."""
    return f"{high % _WRAP:016x}{low % _WRAP:016x}"


def span_hex(number: int) -> str:
    """16 lower-case hex digits."""
    return f"{number % _WRAP:016x}"


def trace_bytes(trace_id: str) -> bytes:
    """16 bytes of a trace id of up to 32 hex digits, padded on the left. Raises ValueError."""
    return _number(trace_id, TRACE_BYTES).to_bytes(TRACE_BYTES, "big")


def span_bytes(span_id: str) -> bytes:
    """8 bytes of a span id of up to 16 hex digits, padded on the left. Raises ValueError."""
    return _number(span_id, SPAN_BYTES).to_bytes(SPAN_BYTES, "big")


def integers(ids: Iterable[bytes]) -> array[int]:
    """Big-endian ids, one after the other, as signed 64-bit integers; a trace id gives two."""
    found = array("q")
    found.frombytes(b"".join(ids))
    if sys.byteorder == "little":
        found.byteswap()
    return found


def in_share(trace_lo: int, share: float) -> bool:
    """Whether a trace is one of the share (0 to 1) that is kept. `trace_lo`: low half of a random id, signed or not.

    W3C Trace Context, section 3.2.2.3, wants the randomness of an id in its right half.
    """
    return trace_lo % _WRAP < int(share * _WRAP)


def rows_in_share(trace_lo: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """`in_share` of a column of unsigned low halves."""
    limit = int(share * _WRAP)
    return np.ones(len(trace_lo), dtype=bool) if limit >= _WRAP else trace_lo < np.uint64(limit)


def _number(text: str, width: int) -> int:
    if len(text) > 2 * width or not _HEX.fullmatch(text):
        raise ValueError(f"not an id of {2 * width} hex digits: {text[:40]!r}")
    return int(text, 16)
