"""What the readers of single formats share: ids, numbers and texts taken as they come, and a row appended whole.

Importers read what somebody once wrote; so nothing here raises for a wrong type. What is put right is counted.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.otlp import LAST_NS, double_text

NO_ID: Final = "spans without a usable trace or span id"
NO_TIME: Final = "spans without a usable time"
NO_SPAN: Final = "values that are no span"
NO_MEANING: Final = "values of no known shape"
ONE_TIME: Final = "spans with only one time: given no duration"
ENDS_EARLY: Final = "spans that end before they start: given no duration"
PADDED: Final = "short ids: padded with zeros on the left"
BASE64_IDS: Final = "ids in base64 instead of hex"
BAD_PARENT: Final = "parent ids that are no ids: taken as roots"
BAD_LINK: Final = "links whose ids are no ids"
BAD_ATTRIBUTE: Final = "attributes that could not be read"
LINK_ATTRIBUTES: Final = "attributes of links"

Event = tuple[int, str, dict[str, str]]
Link = tuple[bytes, bytes]

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_fromhex: Final = bytes.fromhex


def trace_id(value: object, losses: Losses) -> bytes:
    """16 bytes of a trace id in hex (any case, padded on the left, `0x`) or base64; empty when it is none."""
    if type(value) is str and len(value) == 2 * ids.TRACE_BYTES:
        try:
            found = _fromhex(value)
        except ValueError:
            found = b""
        if len(found) == ids.TRACE_BYTES and found != ids.ZERO_TRACE:
            return found
    return _odd_id(value, ids.TRACE_BYTES, losses)


def span_id(value: object, losses: Losses) -> bytes:
    """8 bytes of a span id, as `trace_id` reads them; empty when it is none, all zero, or absent."""
    if type(value) is str and len(value) == 2 * ids.SPAN_BYTES:
        try:
            found = _fromhex(value)
        except ValueError:
            found = b""
        if len(found) == ids.SPAN_BYTES and found != ids.ZERO_SPAN:
            return found
    return _odd_id(value, ids.SPAN_BYTES, losses)


def parent_id(value: object, losses: Losses) -> bytes:
    """8 bytes of a parent's id; all zero for a root, and for what is no id (counted)."""
    if not value:
        return ids.ZERO_SPAN
    found = span_id(value, losses)
    if not found and not (isinstance(value, str) and set(value.removeprefix("0x")) <= {"0", "A", "="}):
        losses.repair(BAD_PARENT, value)
    return found or ids.ZERO_SPAN


def _odd_id(value: object, width: int, losses: Losses) -> bytes:
    """An id that is not plain hex of full width; empty for none."""
    if not isinstance(value, str):
        return b""
    text = value.removeprefix("0x").removeprefix("0X")
    if text and _HEX.issuperset(text):
        if len(text) > 2 * width:
            # A 64-bit id written with 128 bits, as some senders do.
            text, cut = text[-2 * width :], text[: -2 * width]
            if cut.strip("0"):
                return b""
        if len(text) < 2 * width:
            losses.repair(PADDED, value)
        number = int(text, 16)
        return number.to_bytes(width, "big") if number else b""
    try:
        found = b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if "-" in text or "_" in text else None, validate=True
        )
    except ValueError:
        return b""
    if len(found) != width or not any(found):
        return b""
    losses.repair(BASE64_IDS, value)
    return found


def whole(value: object) -> int | None:
    """An integer that is a number or text of one, or None. Huge ones are cut to 64 bits' range by the caller."""
    if type(value) is int:
        return value
    if type(value) is str:
        try:
            return int(value) if len(value) <= 32 else None
        except ValueError:
            try:
                number = float(value)
            except ValueError:
                return None
            return int(number) if isfinite(number) else None
    if type(value) is float and isfinite(value):
        return int(value)
    return None


def times(start: int | None, end: int | None, losses: Losses) -> tuple[int, int] | None:
    """Start and end in nanoseconds, put right where one is missing or they are reversed; None without any."""
    if start is not None and end is not None and 0 < start <= end <= LAST_NS:
        return start, end
    known = [t for t in (start, end) if t is not None and 0 < t <= LAST_NS]
    if not known:
        return None
    if len(known) == 1:
        losses.repair(ONE_TIME)
        return known[0], known[0]
    losses.repair(ENDS_EARLY)
    return known[0], known[0]


def moment(value: int | None) -> int:
    """Nanoseconds within the table's range; 0 for none."""
    return 0 if value is None or value < 0 else min(value, LAST_NS)


def text_of(value: object, losses: Losses) -> str:
    """Any JSON value as the span table's text (docs/span-table.md)."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if type(value) is float:
        return double_text(value)
    try:
        return str(value) if type(value) is int else compact(value)
    except (ValueError, TypeError, RecursionError) as error:
        losses.lose(BAD_ATTRIBUTE, error)
        return ""


def compact(value: object) -> str:
    """JSON without spaces. Raises ValueError for NaN, RecursionError for what is nested too deep."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def shown(value: object) -> str:
    """The beginning of a value, for an example in the loss report."""
    try:
        return compact(value)[:120]
    except (ValueError, TypeError, RecursionError):
        return type(value).__name__


def as_text(value: object) -> str:
    """A string as it is; empty for everything else."""
    return value if type(value) is str else ""


def as_dict(value: object) -> dict[str, Any]:
    """An object as it is; empty for everything else."""
    return value if type(value) is dict else {}


def as_list(value: object) -> list[Any]:
    """An array as it is; empty for everything else."""
    return value if type(value) is list else []


def dicts(value: object, losses: Losses, reason: str) -> list[dict[str, Any]]:
    """The objects of an array; what else is in it, or in its place, is counted as lost."""
    if value is None:
        return []
    if type(value) is not list:
        losses.lose(reason, value)
        return []
    for item in value:
        if type(item) is not dict:
            others = [v for v in value if type(v) is not dict]
            losses.lose(reason, others[0], len(others))
            return [v for v in value if type(v) is dict]
    return value


def texts(value: object, losses: Losses) -> dict[str, str]:
    """A JSON object as text to text."""
    return {key: v if type(v) is str else text_of(v, losses) for key, v in as_dict(value).items()}


def append(
    to: SpanColumns,
    ids_of: tuple[bytes, bytes, bytes],
    span_times: tuple[int, int],
    *,
    name: str,
    kind: int,
    service: str,
    status: int,
    message: str,
    attributes: Mapping[str, str],
    resource: int,
    scope: str,
    trace_state: str,
    events: Iterable[Event] = (),
    links: Iterable[Link] = (),
) -> None:
    """Append one span whose values are of the right types, `ids_of` being trace, span and parent.

    Cannot fail half way, so that the columns stay of one length.
    """
    to.trace_ids.append(ids_of[0])
    to.span_ids.append(ids_of[1])
    to.parent_ids.append(ids_of[2])
    to.names.append(name)
    to.kinds.append(kind)
    to.services.append(service)
    to.starts.append(span_times[0])
    to.ends.append(span_times[1])
    to.statuses.append(status)
    to.messages.append(message)
    maps = to.attributes
    maps.counts.append(len(attributes))
    maps.keys.extend(attributes)
    maps.values.extend(attributes.values())
    to.resource_of.append(resource)
    to.scopes.append(scope)
    to.trace_states.append(trace_state)
    count = 0
    for time_ns, event_name, event_attributes in events:
        to.event_times.append(time_ns)
        to.event_names.append(event_name)
        to.event_attributes.add(event_attributes)
        count += 1
    to.event_counts.append(count)
    count = 0
    for link_trace, link_span in links:
        to.link_trace_ids.append(link_trace)
        to.link_span_ids.append(link_span)
        count += 1
    to.link_counts.append(count)


class Resources:
    """Adds each distinct resource once to the columns it is asked for."""

    def __init__(self) -> None:
        self._to: SpanColumns | None = None
        self._known: dict[tuple[tuple[str, str], ...], int] = {}

    def index(self, resource: Mapping[str, str], to: SpanColumns) -> int:
        """The place of `resource` in `to.resources`."""
        if to is not self._to:
            self._to, self._known = to, {}
        key = tuple(resource.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(to.resources.counts)
            to.resources.add(resource)
        return found
