"""Feeding values to a format's reader, and traces to write in a format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.base import Format
from tracer_bullet.traces.table import table_to_spans

GOLDEN = Path(__file__).parents[1] / "golden"
START_NS = 1_714_557_600_000_000_000
DAY_US = 86_400_000_000


def read(form: Format, *values: Any) -> tuple[list[Span], Losses]:
    """The spans of an input with these values, and what was lost."""
    losses = Losses()
    columns = SpanColumns()
    reader = form.reader(losses)
    for value in values:
        reader.feed(value, columns)
    reader.finish(columns)
    return table_to_spans(pa.Table.from_batches([columns.to_arrow()])), losses


def ordered(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=repr)


def counts(losses: Losses) -> tuple[dict[str, int], dict[str, int]]:
    return dict(losses.lost), dict(losses.repaired)


def golden(path: str) -> list[Any]:
    """The JSON values of a golden file, one after the other."""
    text, at, found = (GOLDEN / path).read_text(), 0, []
    decoder = json.JSONDecoder()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
names = st.text("abcdefghijklmnop /.", min_size=1, max_size=8)
services = st.sampled_from(["web", "shop", "stock"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1", "0" * 16, "a" * 16, "b" * 32, "2024-01-01T00:00:00Z", "1-00000001-" + "1" * 24]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def traces(draw: st.DrawFn, *, kinds: Iterable[SpanKind] = tuple(SpanKind), grain_ns: int = 1_000) -> list[Span]:
    """One trace as a tree; times are whole multiples of `grain_ns`."""
    trace_id = draw(st.integers(1 << 100, (1 << 128) - 1).map("{:032x}".format))
    span_ids = draw(st.lists(st.integers(1, (1 << 64) - 1), min_size=1, max_size=8, unique=True))
    made: list[Span] = []
    for number, span_id in enumerate(span_ids):
        parent = draw(st.integers(0, number - 1)) if number else None
        start = START_NS + draw(st.integers(0, DAY_US)) * grain_ns
        service = draw(services)
        made.append(
            Span(
                trace_id=trace_id,
                span_id=f"{span_id:016x}",
                parent_id=None if parent is None else made[parent].span_id,
                name=draw(names),
                kind=draw(st.sampled_from(list(kinds))),
                service=service,
                start_ns=start,
                end_ns=start + draw(st.integers(0, DAY_US)) * grain_ns,
                status=draw(st.sampled_from([SpanStatus.UNSET, SpanStatus.ERROR])),
                attributes=draw(st.dictionaries(names.map("x.{}".format), texts, max_size=2)),
                resource={"service.name": service},
            )
        )
    return made


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one member somewhere replaced by anything, or gone."""
    copy = json.loads(json.dumps(value))
    places: list[tuple[Any, Any]] = []
    stack = [copy]
    while stack:
        found = stack.pop()
        inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        for key, member in inside:
            places.append((found, key))
            stack.append(member)
    if places:
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(json_values)
        else:
            del holder[key]
    return copy
