"""Hypothesis strategies for spans."""

from __future__ import annotations

from hypothesis import strategies as st

from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus

LAST_NS = (1 << 63) - 1

texts = st.text(max_size=12)
keys = st.text(min_size=1, max_size=8)
text_maps = st.dictionaries(keys, texts, max_size=4)
trace_ids = st.integers(1, (1 << 128) - 1).map(lambda n: f"{n:032x}")
span_ids = st.integers(1, (1 << 64) - 1).map(lambda n: f"{n:016x}")
moments = st.integers(1, LAST_NS)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """Any span that OTLP can carry without loss."""
    start, end = sorted((draw(moments), draw(moments)))
    service = draw(st.text(min_size=1, max_size=8))
    return Span(
        trace_id=draw(trace_ids),
        span_id=draw(span_ids),
        parent_id=draw(st.none() | span_ids),
        name=draw(texts),
        kind=draw(st.sampled_from(SpanKind)),
        service=service,
        start_ns=start,
        end_ns=end,
        status=draw(st.sampled_from(SpanStatus)),
        status_message=draw(texts),
        attributes=draw(text_maps),
        resource={**draw(text_maps), "service.name": service},
        scope_name=draw(texts),
        trace_state=draw(texts),
        events=tuple(
            draw(st.lists(st.builds(SpanEvent, time_ns=moments, name=texts, attributes=text_maps), max_size=2))
        ),
        links=tuple(draw(st.lists(st.builds(SpanLink, trace_id=trace_ids, span_id=span_ids), max_size=2))),
    )
