"""JSON of any size, cut into the texts of its records without holding more than one of them.

Brackets are counted outside of strings by regular expressions that never look at a byte twice (possessive, so that no
text makes them slow). What is no JSON is counted and passed over; behind a record that is broken, cutting begins anew
where a fresh one can be seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson

from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES, chunks
from tracer_bullet.model.losses import Losses

NO_JSON: Final = "records that are no JSON"
CUT: Final = "records that are cut off"
TOO_LARGE: Final = "records that are too large to be held"
REPLACED: Final = "records with bytes or escapes that are no text: replaced"

FRESH_DOCUMENT: Final = re.compile(rb"\n[{\[]")
_SKIP: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPEN: Final = re.compile(rb"[{\[]")
_KEY: Final = re.compile(rb'"([A-Za-z_]{1,40})"\s{0,40}:\s{0,40}$')
_BETWEEN: Final = b" \t\r\n,\x1e]"
_BRACE: Final = ord("}")
_LOOK_BACK: Final = 128
# How many bytes may be looked at anew behind broken records, in one input.
_AGAIN_BYTES: Final = 256 << 20


def parse(text: bytes, losses: Losses) -> Any:
    """The value, or None when it is no JSON, which is counted. Text with lone surrogates is taken."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        losses.lose(NO_JSON, text[:200].decode("utf-8", "replace"))
        return None
    losses.repair(REPLACED)
    return value


def documents(stream: BinaryIO, losses: Losses) -> Iterator[Any]:
    """Objects and arrays that follow each other, with or without anything between them, over any number of lines."""
    return _Cutter(chunks(stream, losses), losses, None, FRESH_DOCUMENT).values()


def elements(stream: BinaryIO, path: tuple[str, ...], fresh: re.Pattern[bytes], losses: Losses) -> Iterator[Any]:
    """The objects in the array at `path` of each document. `fresh` matches what only an element begins with."""
    return _Cutter(chunks(stream, losses), losses, path, fresh).values()


class _Cutter:
    """`_held` begins at the record being cut, or where one may begin; `_at` is how far it was looked at."""

    def __init__(
        self, content: Iterator[bytes], losses: Losses, path: tuple[str, ...] | None, fresh: re.Pattern[bytes]
    ) -> None:
        self._content = content
        self._losses = losses
        self._path = path
        self._fresh = fresh
        self._held = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False
        self._keys: list[str] = []
        self._base = 0 if path is None else -1  # the depth at which records begin; -1 while that is not known
        self._begin = -1  # where in `_held` the record begins; -1 outside of one
        self._skipping = False
        self._again = _AGAIN_BYTES
        self._over = False

    def values(self) -> Iterator[Any]:
        while True:
            bracket = self._next_bracket()
            if bracket:
                text = self._opened(bracket) if bracket in b"{[" else self._closed()
                if text is not None:
                    yield from self._parsed(text)
            elif not self._fill():
                if self._begin >= 0:
                    text = bytes(self._held[self._begin :])
                    if self._restart(text):
                        self._losses.lose(CUT, text[:120].decode("utf-8", "replace"))
                        continue
                    self._losses.lose(CUT, text[:120].decode("utf-8", "replace"))
                elif self._skipping:
                    self._losses.lose(CUT)
                elif rest := bytes(self._held).strip(_BETWEEN + b"}"):
                    self._losses.lose(NO_JSON, rest[:120].decode("utf-8", "replace"))
                elif self._depth:
                    self._losses.lose(CUT)
                return

    def _fill(self) -> bool:
        chunk = b"" if self._over else next(self._content, b"")
        self._over = self._over or not chunk
        if self._begin < 0 and self._at > _LOOK_BACK:
            if self._base == self._depth:
                self._between(self._at)
            keep = 0 if self._base == self._depth else _LOOK_BACK
            del self._held[: self._at - keep]
            self._at = keep
        elif self._begin >= 0 and len(self._held) > RECORD_BYTES:
            self._losses.lose(TOO_LARGE, bytes(self._held[:120]).decode("utf-8", "replace"))
            del self._held[: self._at]
            self._at, self._begin, self._skipping = 0, -1, True
        self._held += chunk
        return bool(chunk)

    def _next_bracket(self) -> bytes:
        """Go to behind the next bracket that is outside of a string; empty when more text is needed."""
        if self._depth == 0 and not self._skipping:  # no strings here, only what does not belong
            found = _OPEN.search(self._held, self._at)
            self._at = found.end() if found else len(self._held)
            return found.group() if found else b""
        while True:
            if self._in_string:
                self._at = self._match(_STRING)
                if self._held[self._at : self._at + 1] != b'"':
                    return b""
                self._at += 1
                self._in_string = False
            self._at = self._match(_SKIP)
            if self._at >= len(self._held):
                return b""
            self._at += 1
            if self._held[self._at - 1] != 0x22:
                return bytes(self._held[self._at - 1 : self._at])
            self._in_string = True

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._held, self._at)
        return found.end() if found else self._at

    def _opened(self, bracket: bytes) -> bytes | None:
        if self._base < 0:
            key = _KEY.search(bytes(self._held[max(0, self._at - 1 - _LOOK_BACK) : self._at - 1]))
            if self._depth:
                self._keys.append(key.group(1).decode() if key else "")
            self._depth += 1
            if bracket == b"[" and tuple(self._keys) == self._path:
                self._base = self._depth
                del self._held[: self._at]
                self._at = 0
            return None
        if self._depth == self._base and not self._skipping:
            self._between(self._at - 1)
            self._begin = 0
        self._depth += 1
        return None

    def _between(self, end: int) -> None:
        """Drop what stands before the next record, and count what should not be there."""
        if rest := bytes(self._held[:end]).strip(_BETWEEN):
            self._losses.lose(NO_JSON, rest[:120].decode("utf-8", "replace"))
        del self._held[:end]
        self._at -= end

    def _closed(self) -> bytes | None:
        if self._base > 0 and self._depth == self._base and self._held[self._at - 1] == _BRACE:
            return None  # one that closes nothing, as of a broken record: only `]` ends the array
        self._depth = max(0, self._depth - 1)
        if self._base < 0:
            if self._keys:
                self._keys.pop()
            if not self._depth:  # a document without the array, or the end of one with it
                del self._held[: self._at]
                self._at = 0
            return None
        if self._depth < self._base:  # the array is over; another document may follow
            self._between(self._at - 1)
            self._base = -1
            self._keys = list(self._path or ())[:-1]
            return None
        if self._depth > self._base:
            return None
        skipped, self._skipping = self._skipping, False
        text = None if skipped else bytes(self._held[self._begin : self._at])
        del self._held[: self._at]
        self._at, self._begin = 0, -1
        return text

    def _parsed(self, text: bytes) -> Iterator[Any]:
        value = parse(text, self._losses)
        if value is not None:
            yield value
        else:
            self._restart(text)

    def _restart(self, text: bytes) -> bool:
        """Begin anew inside of a record that is broken, if another one is seen to begin there."""
        found = self._fresh.search(text, 1)
        if found is None or self._again < len(text):
            return False
        self._again -= len(text)
        begin = found.end() - 1 if self._path is None else found.start()
        if self._begin >= 0:
            self._held = self._held[self._begin :]
        else:
            self._held[:0] = text
        del self._held[:begin]
        self._at, self._begin, self._depth = 0, -1, self._base
        self._in_string = self._skipping = False
        return True
