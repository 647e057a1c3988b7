"""Reading values that may be anything: a value is used, put right and counted, or lost and counted."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from tracer_bullet.model import Span
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns, utf8
from tracer_bullet.traces.formats.convert import BAD_LINK, BAD_PARENT, ENDS_EARLY, NO_ID, NO_TIME, Resources, append
from tracer_bullet.traces.formats.held import Held
from tracer_bullet.traces.otlp import LAST_NS, double_text

Records = Iterator[tuple[bytes, Any]]
"""(trace key, JSON value) pairs."""

NO_JSON_VALUE: Final = "values nested too deep, or not to be written as JSON"

_BATCH: Final = 8192
# Before what Python's own parser must read: orjson would make doubles of large integers.
_ODD: Final = b"\0"
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?"
)
_HEX = re.compile("[0-9a-fA-F]+")
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


class UnusableError(ValueError):
    """A record that no span can be made of. `reason` is for the loss report, `example` a value of it."""

    def __init__(self, reason: str, example: object = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.example = example


class ByTrace:
    """A Reader for formats whose spans need others of their trace. Everything is kept until `finish`, see `Held`.

    `records` gives (trace key, JSON value) pairs of a fed value; `spans` makes the spans of one key's values, which
    come in a stable order. Both count into the losses that they were made with and raise nothing but UnusableError.
    """

    def __init__(
        self,
        losses: Losses,
        records: Callable[[Any, Losses], Records],
        spans: Callable[[list[Any], Losses], Iterable[Span]],
        *,
        loads: Callable[[bytes], Any] | None = None,
        held: Held | None = None,
    ) -> None:
        self._losses = losses
        self._records = records
        self._spans = spans
        self._loads = loads or unpack
        self._held = held or Held()
        self._resources = Resources()

    def feed(self, value: Any, to: SpanColumns) -> None:  # noqa: ARG002
        """See Reader: the value's records are kept; nothing is added to `to` yet."""
        try:
            for key, record in self._records(value, self._losses):
                self._keep(key, record)
        except UnusableError as error:
            self._losses.lose(error.reason, error.example)

    def finish(self, to: SpanColumns) -> None:
        """See Reader: all at once. `drain` does it in batches."""
        for span in self._all():
            put(span, to, self._losses, self._resources)

    def drain(self, to: SpanColumns) -> Iterator[SpanColumns]:
        """What `finish` would add, in columns of some thousand spans: first `to` itself, then new ones."""
        for span in self._all():
            put(span, to, self._losses, self._resources)
            if len(to) >= _BATCH:
                yield to
                to = SpanColumns()
        if len(to):
            yield to

    def _all(self) -> Iterator[Span]:
        for _, packed in self._held.groups():
            try:
                yield from self._spans([self._loads(p) for p in packed], self._losses)
            except UnusableError as error:
                self._losses.lose(error.reason, error.example)

    def _keep(self, key: bytes, record: Any) -> None:
        try:
            packed = record if isinstance(record, bytes) else pack(record)
        except UnusableError as error:
            self._losses.lose(error.reason, error.example)
        else:
            self._held.add(key, packed)


def put(span: Span, to: SpanColumns, losses: Losses, resources: Resources) -> None:
    """Add a span whose ids and times may be impossible: put right or lost, and counted."""
    if not (is_id(span.trace_id, 32) and is_id(span.span_id, 16)):
        losses.lose(NO_ID, f"{span.trace_id}/{span.span_id}")
        return
    parent = ids.ZERO_SPAN
    if span.parent_id is not None and is_id(span.parent_id, 16):
        parent = ids.span_bytes(span.parent_id)
    elif span.parent_id and span.parent_id.strip("0"):
        losses.repair(BAD_PARENT, span.parent_id)
    if not 0 < span.start_ns <= LAST_NS or span.end_ns > LAST_NS:
        losses.lose(NO_TIME, f"{span.span_id} {span.name}")
        return
    if span.end_ns < span.start_ns:
        losses.repair(ENDS_EARLY, f"{span.span_id} {span.name}")
    links = [link for link in span.links if is_id(link.trace_id, 32) and is_id(link.span_id, 16)]
    if len(links) < len(span.links):
        losses.lose(BAD_LINK, span.name, len(span.links) - len(links))
    append(
        to,
        (ids.trace_bytes(span.trace_id), ids.span_bytes(span.span_id), parent),
        (span.start_ns, max(span.start_ns, span.end_ns)),
        name=utf8(span.name),
        kind=int(span.kind),
        service=utf8(span.service),
        status=int(span.status),
        message=utf8(span.status_message),
        attributes=_utf8(span.attributes),
        resource=resources.index(_utf8(span.resource), to),
        scope=utf8(span.scope_name),
        trace_state=utf8(span.trace_state),
        events=((clamped(e.time_ns), utf8(e.name), _utf8(e.attributes)) for e in span.events),
        links=((ids.trace_bytes(link.trace_id), ids.span_bytes(link.span_id)) for link in links),
    )


def _utf8(pairs: Mapping[str, str]) -> dict[str, str]:
    return {utf8(key): utf8(value) for key, value in pairs.items()}


def pack(value: Any) -> bytes:
    """A JSON value as bytes that `unpack` reads. Raises UnusableError when it cannot be written."""
    try:
        packed = orjson.dumps(value)
        if b"null" not in packed:  # which it also writes for NaN and infinities
            return packed
    except TypeError:  # lone surrogates, integers beyond 64 bits, more than 254 levels
        pass
    try:
        return _ODD + json.dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        raise UnusableError(NO_JSON_VALUE) from None


def unpack(packed: bytes) -> Any:
    """The value that `pack` was given."""
    return json.loads(packed[1:]) if packed.startswith(_ODD) else orjson.loads(packed)


def text_of(value: Any) -> str:
    """A JSON value as text, as docs/span-table.md says. Raises UnusableError when it cannot be written."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**100 else double_text(float("inf"))
    if isinstance(value, float | Decimal):
        return double_text(float(value))
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError):
        raise UnusableError(NO_JSON_VALUE) from None


def _plain(value: Any) -> float | str:
    """A Decimal inside an array or object."""
    text = double_text(float(value))
    return float(value) if text[-1].isdigit() else text


def texts(value: Any, prefix: str = "") -> dict[str, str]:
    """The members of an object as text; empty for anything else. Members that are null are left out."""
    if not isinstance(value, dict):
        return {}
    return {f"{prefix}{key}": text_of(member) for key, member in value.items() if member is not None}


def flat(value: Mapping[str, Any], prefix: str = "", depth: int = 16) -> Iterator[tuple[str, Any]]:
    """The leaves of an object under dotted names; objects more than `depth` levels down stay whole."""
    for key, member in value.items():
        if isinstance(member, dict) and member and depth:
            yield from flat(member, f"{prefix}{key}.", depth - 1)
        else:
            yield prefix + key, member


def part(value: Any, key: str) -> dict[str, Any]:
    """The object under a key; empty when there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def items(value: Any, key: str) -> list[Any]:
    """The list under a key; empty when there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def word(value: Any, key: str) -> str:
    """The text under a key; numbers and booleans as text, empty when there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return text_of(found) if isinstance(found, str | int | float | Decimal) else ""


def samples(value: Any, depth: int = 3) -> list[dict[str, Any]]:
    """Objects among the first of a value: itself, or some of an array's, so that one bad one does not hide a format."""
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list) or not depth:
        return []
    return [found for element in [v for v in value[:8] if v][:3] for found in samples(element, depth - 1)]


def is_id(text: object, digits: int) -> bool:
    """Whether a text is an id of at most so many hex digits that are not all zero."""
    return isinstance(text, str) and len(text) <= digits and bool(_HEX.fullmatch(text)) and bool(text.strip("0"))


def rfc3339_ns(text: object) -> tuple[int, bool] | None:
    """(Unix nanoseconds, whether a zone was given) of a time as RFC 3339 and ISO 8601 write it; None for others.

    A space may stand for the `T`, a comma for the point; digits after the ninth are cut; without a zone it is UTC.
    """
    found = _RFC3339.fullmatch(text.strip()) if isinstance(text, str) and len(text) < 64 else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(g or 0) for g in found.groups()[:6])
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    if hour > 24 or minute > 59 or second > 60:  # a leap second is the next one
        return None
    fraction = int((found[7] or "0").ljust(9, "0")[:9])
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - _offset(found[8])
    return seconds * 1_000_000_000 + fraction, bool(found[8])


def _offset(zone: str | None) -> int:
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3_600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def scaled(value: object, unit_ns: int) -> int | None:
    """A number of units as whole nanoseconds, exact to the digits that were written; None for what is none.

    A float is taken by its shortest decimal form: what a sender wrote with up to 15 digits comes back exactly.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value * unit_ns
    if isinstance(value, float | Decimal | str):
        try:
            number = Decimal(value if isinstance(value, Decimal) else str(value)[:40]) * unit_ns
            return int(number.to_integral_value()) if number.is_finite() and abs(number) < 10**30 else None
        except ArithmeticError:  # no number, or an exponent beyond all bounds
            return None
    return None


def clamped(time_ns: int) -> int:
    """A time that the span table can hold."""
    return max(0, min(time_ns, LAST_NS))
