"""JSON values of an input of any size: a document, an array, lines, or values one after the other.

Memory stays bounded: a document larger than `Limits.group` is cut into groups of elements of its outermost array
(`PATHS`), each of which comes as a document of the same shape, with that array shorter; what stands after the array
comes as a document with the array empty. So a format sees one shape, whatever the size. What is no JSON is skipped
and counted; a value that is cut short is closed after its last whole part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.parse import parse
from tracer_bullet.traces.formats.scan import Brackets, Scanner, closers, mended, slices

NO_JSON: Final = "lines and values that are no JSON"
CUT: Final = "values that are cut short: kept up to their last whole part"
TOO_LARGE: Final = "values too large to be held in memory: the rest of the input is not read"
TOO_BROKEN: Final = "inputs with too many broken values: the rest is not read"

# Arrays that may be cut: their elements need nothing that stands behind the array.
PATHS: Final = frozenset(
    {
        ("data",),
        ("resourceSpans",),
        ("batches",),
        ("Traces",),
        ("traces",),
        ("trace", "resourceSpans"),
        ("trace", "batches"),
        ("result", "resourceSpans"),
    }
)
_FAR: Final = 3
_LOOKED_AT: Final = 200
_PREFIX: Final = 1 << 16
_KEY = re.compile(rb'"([A-Za-z_]{1,40})"\s{0,40}:\s{0,40}$')
_GAP = re.compile(rb"[\s,\x1e]*")
_LINE_OF_VALUE = re.compile(rb"(?m)^[ \t\x1e]*[{\[]")
_FRESH_VALUE = re.compile(rb"\n[{\[]")
_BLANK: Final = b" \t\r\n\x1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes: from which size a document is cut, and how large what cannot be cut may be. `again` bounds what is
    read anew after broken values."""

    group: int = 4 << 20
    value: int = 512 << 20
    window: int = 1 << 16
    again: int = 2 << 30


def json_values(content: Iterator[bytes], losses: Losses, limits: Limits | None = None) -> Iterator[Any]:
    """The values of JSON text that comes in chunks; nothing is raised for what is no JSON."""
    return _Text(content, losses, limits or Limits()).values()


class _Text:
    """Text read so far and not yet given out: `_held`. Each method gives values from its start and takes them away."""

    def __init__(self, content: Iterator[bytes], losses: Losses, limits: Limits) -> None:
        self._content = content
        self._losses = losses
        self._limits = limits
        self._held = bytearray()
        self._window = limits.window
        self._again = 0
        self._over = False

    def values(self) -> Iterator[Any]:
        if not self._skip_to_value():
            return
        while self._held.count(b"\n") < 2 and len(self._held) <= self._limits.group and self._fill():
            pass
        line, newline, rest = self._held.partition(b"\n")
        if newline and (self._is_value(bytes(line)) or self._is_torn(bytes(line), bytes(rest.partition(b"\n")[0]))):
            yield from self._lines()
        else:
            yield from self._structured()

    def _fill(self) -> bool:
        chunk = b"" if self._over else next(self._content, b"")
        self._over = self._over or not chunk
        self._held += chunk
        return bool(chunk)

    def _is_torn(self, line: bytes, following: bytes) -> bool:
        """Whether a line begins no value, as a log's with a bracket: the next one holds a whole value of its own."""
        return line.strip(_BLANK)[-1:] not in (b"[", b"{", b",", b":") and self._is_value(following)

    def _is_value(self, line: bytes) -> bool:
        try:
            return isinstance(parse(line.strip(_BLANK), Losses()), dict | list)
        except ValueError:
            return False

    def _skip_to_value(self) -> bool:
        """Drop lines until one begins with a bracket; whether there is one."""
        while True:
            found = _LINE_OF_VALUE.search(self._held)
            # The start of a line is known only when the one before it was seen to its end.
            cut = found.end() - 1 if found else self._held.rfind(b"\n") + 1
            if garbage := bytes(self._held[:cut]).strip(_BLANK + b","):
                self._losses.lose(NO_JSON, _shown(garbage), garbage.count(b"\n") + 1)
            if found:
                del self._held[:cut]
                return True
            del self._held[:cut]
            if len(self._held) > self._limits.group:  # one endless line that is no JSON
                self._losses.lose(NO_JSON, _shown(self._held))
                self._drop_line()
            if not self._fill():
                if rest := bytes(self._held).strip(_BLANK + b","):
                    self._losses.lose(NO_JSON, _shown(rest))
                self._held.clear()
                return False

    def _drop_line(self) -> None:
        while b"\n" not in self._held:
            self._held.clear()
            if not self._fill():
                return
        del self._held[: self._held.index(b"\n") + 1]

    # ---- one value a line

    def _lines(self) -> Iterator[Any]:
        while True:
            cut = self._held.rfind(b"\n")
            if cut < 0 and not self._over:
                if len(self._held) <= self._limits.group:
                    self._fill()
                else:
                    yield from self._large_line()
                continue
            lines = bytes(self._held if cut < 0 else self._held[:cut])
            del self._held[: len(lines) + 1]
            at = 0
            for line in lines.split(b"\n"):
                at += len(line) + 1
                if not (text := line.strip(_BLANK)):
                    continue
                try:
                    yield parse(text, self._losses)
                except ValueError:
                    if text in (b"{", b"["):  # indented values follow, as when programs share an output
                        self._held[:0] = lines[at - len(line) - 1 :] + b"\n"
                        yield from self._structured()
                        return
                    if cut < 0:
                        yield from self._cut_short(text)
                    else:
                        self._losses.lose(NO_JSON, _shown(text))
            if cut < 0:
                return

    def _large_line(self) -> Iterator[Any]:
        del self._held[: _GAP.match(self._held).end()]  # type: ignore[union-attr]  # it matches nothing, too
        if self._held[:1] == b"{" or self._held[:1] == b"[":
            yield from self._large()
        else:
            self._losses.lose(NO_JSON, _shown(self._held))
            self._drop_line()

    # ---- values one after the other, over any number of lines

    def _structured(self) -> Iterator[Any]:
        while self._skip_to_value():
            taken = 0
            text = bytes(self._held[: self._window])
            for end in Scanner().scan(text).closing(0).tolist():
                start = _GAP.match(text, taken).end()  # type: ignore[union-attr]
                if start > end or text[start] not in b"{[":
                    break
                taken = end + 1
                try:
                    value = parse(text[start:taken], self._losses)
                except ValueError:
                    del self._held[:start]
                    yield from self._broken(taken - start)
                    taken = 0
                    break
                yield value
            else:
                if not taken:
                    yield from self._needs_more()
                self._window = min(2 * self._window, self._limits.group)
            if taken:
                del self._held[:taken]

    def _needs_more(self) -> Iterator[Any]:
        """Go on when a window holds no end of a value."""
        if self._window < len(self._held):
            if self._window >= self._limits.group:
                yield from self._large()
        elif not self._fill() and self._held:
            yield from self._large()

    def _broken(self, length: int) -> Iterator[Any]:
        """A value of `length` bytes at the start that no parser takes: its sound elements, or what begins within it."""
        text = bytes(self._held[:length])
        found = Scanner().scan(text)
        shape = _shape(text, found)
        fresh = _FRESH_VALUE.search(text)
        if not self._may_restart(length):
            self._losses.lose(TOO_BROKEN)
            self._stop()
        elif shape is not None:
            del self._held[:length]
            stops, ends = shape.within(found)
            stop = int(stops[0])
            yield from self._elements(shape, text[shape.start : stop], ends[ends < stop] - shape.start)
            if (rest := shape.prefix + text[stop:]) and rest.strip() != shape.prefix + shape.closers:
                yield from self._value(rest)
        elif fresh is not None:
            self._losses.lose(NO_JSON, _shown(text))
            del self._held[: fresh.start() + 1]
            self._window = self._limits.window
        else:
            self._losses.lose(NO_JSON, _shown(text))
            del self._held[:length]

    def _may_restart(self, length: int) -> bool:
        self._again += length
        return self._again <= self._limits.again

    def _stop(self) -> None:
        self._held.clear()
        self._content = iter(())
        self._over = True

    # ---- one large value

    def _large(self) -> Iterator[Any]:
        """One value at the start, in groups where its shape lets it be cut, else whole."""
        scanner = Scanner()
        text = bytes(self._held)
        found = scanner.scan(text)
        shape = _shape(text, found)
        if shape is None:
            yield from self._whole(scanner, found)
            return
        gone = 0
        done = shape.start
        while True:
            stops, ends = shape.within(found)
            if len(stops):
                ends = ends[ends < stops[0]]
            upto = int(stops[0]) if len(stops) else int(ends[-1]) + 1 if len(ends) else done
            if upto > done:
                yield from self._elements(shape, bytes(self._held[done - gone : upto - gone]), ends - done)
                del self._held[: upto - gone]
                gone = done = upto
            if len(stops):
                break
            before = len(self._held)
            if not self._room():
                return
            if not self._fill():
                yield from self._cut_short(shape.prefix + bytes(self._held[done - gone :]).lstrip(b", \t\r\n"))
                self._held.clear()
                return
            found = scanner.scan(bytes(self._held[before:]))
        yield from self._behind(shape, scanner, found, gone)

    def _behind(self, shape: _Shape, scanner: Scanner, found: Brackets, gone: int) -> Iterator[Any]:
        """What follows the array, as a document in which the array is empty."""
        while not len(ends := found.closing(0)):
            before = len(self._held)
            if not self._room():
                return
            if not self._fill():
                self._held.clear()
                self._losses.lose(CUT)
                return
            found = scanner.scan(bytes(self._held[before:]))
        end = int(ends[0]) + 1 - gone
        rest = bytes(self._held[:end])
        del self._held[:end]
        if b"".join(rest.split()) != shape.closers or gone == 0:
            yield from self._value(shape.prefix + rest[shape.start if gone == 0 else 0 :])

    def _whole(self, scanner: Scanner, found: Brackets) -> Iterator[Any]:
        while not len(ends := found.closing(0)):
            before = len(self._held)
            if not self._room():
                return
            if not self._fill():
                fresh = _FRESH_VALUE.search(self._held)
                if fresh is not None and self._may_restart(len(self._held)):
                    self._losses.lose(CUT, _shown(self._held))
                    del self._held[: fresh.start() + 1]
                    self._window = self._limits.window
                    return
                yield from self._cut_short(bytes(self._held))
                self._held.clear()
                return
            found = scanner.scan(bytes(self._held[before:]))
        end = int(ends[0]) + 1
        text = bytes(self._held[:end])
        try:
            value = parse(text, self._losses)
        except ValueError:
            yield from self._broken(end)
            return
        del self._held[:end]
        yield value

    def _room(self) -> bool:
        if len(self._held) <= self._limits.value:
            return True
        self._losses.lose(TOO_LARGE, _shown(self._held))
        self._stop()
        return False

    def _elements(self, shape: _Shape, text: bytes, ends: Any) -> Iterator[Any]:
        """A document with the elements in `text`; of a group that is no JSON each element on its own."""
        if not (text := text.rstrip(b", \t\r\n")):
            return
        stripped = text.lstrip(b", \t\r\n")
        try:
            yield parse(shape.prefix + stripped + shape.closers, self._losses)
        except ValueError:
            for element in slices(text, [*(np.asarray(ends) + 1).tolist(), len(text)]):
                if element:
                    yield from self._value(shape.prefix + element + shape.closers, shown=element)

    def _value(self, text: bytes, shown: bytes = b"") -> Iterator[Any]:
        try:
            yield parse(text, self._losses)
        except ValueError:
            self._losses.lose(NO_JSON, _shown(shown or text))

    def _cut_short(self, text: bytes) -> Iterator[Any]:
        self._losses.lose(CUT, _shown(text))
        if closed := mended(text):
            yield from self._value(closed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Where a document may be cut: `depth` inside its array, the text up to and with `[`, and what closes it."""

    depth: int
    prefix: bytes
    closers: bytes

    @property
    def start(self) -> int:
        return len(self.prefix)

    def within(self, found: Brackets) -> tuple[Any, Any]:
        """Places of what closes the array (the first one does), and of what closes an element."""
        stops, ends = found.closing(self.depth - 1), found.closing(self.depth)
        return stops[stops >= self.start], ends[ends >= self.start]


def _shape(text: bytes, found: Brackets) -> _Shape | None:
    path: list[str] = []
    for at in np.flatnonzero(found.opens & (found.depth <= _FAR))[:_LOOKED_AT].tolist():
        depth, place = int(found.depth[at]), int(found.at[at])
        if place >= _PREFIX or (len(found.depth[:at]) and (found.depth[:at] == 0).any()):
            return None
        if depth > 1:
            key = _KEY.search(text[max(0, place - 130) : place])
            path[depth - 2 :] = [key[1].decode() if key else ""]
        is_array = text[place] == ord("[")
        if is_array and (depth == 1 or tuple(path[: depth - 1]) in PATHS):
            return _Shape(depth=depth, prefix=text[: place + 1], closers=closers(text, found, at))
    return None


def _shown(text: bytes | bytearray) -> str:
    return bytes(text[:120]).decode("utf-8", "replace")
