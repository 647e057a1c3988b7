"""Typed netstrings, as mitmproxy writes them: `<length>:<data><type>`. Lengths are trusted for nothing but skipping.

Types: `,` bytes, `;` text, `#` int, `^` float (here a Decimal, so that no digit is lost), `!` bool, `~` null, `]` list,
`}` dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES, chunks
from tracer_bullet.model.losses import Losses

NO_FLOW: Final = "pieces of the dump that are no flow"
CUT: Final = "a last flow that is cut off"
TOO_LARGE: Final = "flows that are too large to be held"
_PREFIX: Final = re.compile(rb"(\d{1,12}):")
# What a flow begins with: a length, and the name of a member, as bytes from Python 2 and as text since.
_FLOW: Final = re.compile(rb"\d{2,12}:\d{1,2}:[a-z_]{2,20}[;,]")
_DEPTH: Final = 64
_DIGITS: Final = 40


def load(data: bytes) -> Any:
    """The value of one whole tnetstring. Raises ValueError for anything else."""
    value, end = _value(data, 0, len(data), 0)
    if end != len(data):
        raise ValueError("bytes behind its end")
    return value


def dump(value: Any) -> bytes:
    """A tnetstring of dictionaries, lists, text, bytes, numbers, truth values and None."""
    out: list[bytes] = []
    _dump(value, out)
    return b"".join(out)


def values(stream: BinaryIO, losses: Losses) -> Iterator[Any]:
    """The values that follow each other in a stream; what is broken is counted, and the next flow is looked for."""
    held = bytearray()
    content = chunks(stream, losses)
    over = False
    while True:
        found = _PREFIX.match(held)
        need = found.end() + int(found.group(1)) + 1 if found else 16
        while not over and len(held) < min(need, RECORD_BYTES):
            chunk = next(content, b"")
            over = not chunk
            held += chunk
        if over and not held.strip():
            return
        found = found or _PREFIX.match(held)
        if found is not None and found.end() + int(found.group(1)) + 1 <= min(len(held), RECORD_BYTES):
            end = found.end() + int(found.group(1)) + 1
            try:
                yield load(bytes(held[:end]))
            except ValueError:
                pass
            else:
                del held[:end]
                continue
        elif found is not None and not over and len(held) < RECORD_BYTES:
            continue
        _pass_over(held, found, over, losses)


def _pass_over(held: bytearray, found: re.Match[bytes] | None, over: bool, losses: Losses) -> None:
    """Drop what is broken, up to where the next flow may begin."""
    shown = bytes(held[:40]).decode("latin-1")
    fresh = _FLOW.search(held, found.end() if found else 1)
    while fresh is not None and not _closes(held, fresh):
        fresh = _FLOW.search(held, fresh.start() + 1)
    del found
    if fresh is not None:
        losses.lose(NO_FLOW, shown)
        del held[: fresh.start()]
    elif over:
        losses.lose(CUT, shown)
        held.clear()
    else:
        losses.lose(TOO_LARGE if len(held) >= RECORD_BYTES else NO_FLOW, shown)
        del held[: max(1, len(held) - 64)]


def _closes(held: bytearray, fresh: re.Match[bytes]) -> bool:
    """Whether a dictionary ends where this one says, as far as that is here."""
    digits, colon, _ = fresh.group().partition(b":")
    end = fresh.start() + len(digits) + len(colon) + int(digits)
    return end >= len(held) or held[end : end + 1] == b"}"


def _value(data: bytes, at: int, stop: int, depth: int) -> tuple[Any, int]:
    found = _PREFIX.match(data, at, stop)
    if found is None or depth > _DEPTH:
        raise ValueError("no length, or nested too deep")
    begin = found.end()
    end = begin + int(found.group(1))
    if end >= stop:
        raise ValueError("longer than what holds it")
    return _typed(data[end : end + 1], data, begin, end, depth), end + 1


def _typed(kind: bytes, data: bytes, begin: int, end: int, depth: int) -> Any:
    if kind == b",":
        return data[begin:end]
    if kind == b";":
        return data[begin:end].decode("utf-8", "surrogateescape")
    if kind in (b"]", b"}"):
        return _nested(kind, data, begin, end, depth)
    text = data[begin : min(end, begin + _DIGITS)].decode("ascii", "replace")
    if kind == b"#":
        return int(text)
    if kind == b"^":
        try:
            return Decimal(text)
        except InvalidOperation as error:
            raise ValueError("no number") from error
    if kind == b"!" and text in ("true", "false"):
        return text == "true"
    if kind == b"~" and not text:
        return None
    raise ValueError("no type")


def _nested(kind: bytes, data: bytes, begin: int, end: int, depth: int) -> Any:
    items: list[Any] = []
    while begin < end:
        item, begin = _value(data, begin, end, depth + 1)
        items.append(item)
    if kind == b"]":
        return items
    if len(items) % 2:
        raise ValueError("a key without a value")
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except TypeError as error:
        raise ValueError("a key that is none") from error


def _dump(value: Any, out: list[bytes]) -> None:
    if isinstance(value, dict | list | tuple):
        inner: list[bytes] = []
        for item in value.items() if isinstance(value, dict) else value:
            if isinstance(value, dict):
                _dump(item[0], inner)
                _dump(item[1], inner)
            else:
                _dump(item, inner)
        data, kind = b"".join(inner), b"}" if isinstance(value, dict) else b"]"
    else:
        data, kind = _scalar(value)
    out += (b"%d:" % len(data), data, kind)


def _scalar(value: Any) -> tuple[bytes, bytes]:
    if value is None:
        return b"", b"~"
    if isinstance(value, bool):
        return (b"true" if value else b"false"), b"!"
    if isinstance(value, int):
        return b"%d" % value, b"#"
    if isinstance(value, Decimal):
        return f"{value:f}".encode(), b"^"
    if isinstance(value, bytes):
        return value, b","
    return value.encode("utf-8", "surrogateescape"), b";"
