"""What a span is called, in every view."""

from __future__ import annotations

from typing import Final

from tracer_bullet.model import Span, SpanKind
from tracer_bullet.model import attributes as names

# Colours for services in waterfalls and flame views.
LANES: Final = 8


def span_label(span: Span) -> str:
    """What a span did: the guard's words where there are some; a database file by its last part."""
    operation = span.attributes.get(names.OPERATION)
    if operation and span.kind is SpanKind.CLIENT:
        return operation
    file = span.attributes.get("db.namespace") or span.attributes.get("db.name") or ""
    return span.name.replace(file, file.rpartition("/")[2]) if "/" in file else span.name
