"""OpenTelemetry's `ConsoleSpanExporter` of Python: indented objects one after the other, as on a service's output.

Source: `ReadableSpan.to_json` of opentelemetry-sdk. Scope names are not in it; ids have `0x` before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats.lenient import rfc3339_ns
from tracer_bullet.traces.formats.otlp_spans import UNKNOWN_ENUM
from tracer_bullet.traces.otlp import SERVICE_NAME, UNKNOWN_SERVICE

_KINDS: Final = {
    f"SpanKind.{name}": number
    for number, name in enumerate(("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"), 1)
}
_STATUSES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
# `repr(TraceState)` is a list of `{key=a, value=b}`.
_STATE: Final = re.compile(r"\{key=([^,{}]+), value=([^{}]*)\}")


class Console:
    """What `ConsoleSpanExporter` prints."""

    name = "OpenTelemetry console exporter"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        first = value[0] if isinstance(value, list) and value else value
        return _is_span(first)

    def reader(self, losses: Losses) -> _Reader:
        """See Format."""
        return _Reader(losses)


def _is_span(value: object) -> bool:
    return (
        isinstance(value, dict)
        and "start_time" in value
        and isinstance(value.get("context"), dict)
        and "trace_id" in value["context"]
        and "span_id" in value["context"]
    )


class _Reader:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._resources = c.Resources()

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        for span in c.dicts(value if isinstance(value, list) else [value], self._losses, c.NO_SPAN):
            if _is_span(span):
                self._add(span, to)
            else:
                self._losses.lose(c.NO_SPAN, c.shown(span))

    def finish(self, to: SpanColumns) -> None:
        """See Reader."""

    def _add(self, span: dict[str, Any], to: SpanColumns) -> None:
        losses, context = self._losses, span["context"]
        trace_id, span_id = c.trace_id(context["trace_id"], losses), c.span_id(context["span_id"], losses)
        if not (trace_id and span_id):
            losses.lose(c.NO_ID, c.shown(span))
            return
        span_times = c.times(_time(span["start_time"]), _time(span.get("end_time")), losses)
        if span_times is None:
            losses.lose(c.NO_TIME, c.shown(span))
            return
        resource = c.as_dict(span.get("resource"))
        # Before SDK 1.0 the resource was its attributes.
        resource_texts = c.texts(resource.get("attributes", resource), losses)
        status = c.as_dict(span.get("status"))
        c.append(
            to,
            (trace_id, span_id, c.parent_id(span.get("parent_id"), losses)),
            span_times,
            name=c.as_text(span.get("name")),
            kind=self._enum(span.get("kind"), _KINDS),
            service=resource_texts.get(SERVICE_NAME) or UNKNOWN_SERVICE,
            status=self._enum(status.get("status_code"), _STATUSES),
            message=c.as_text(status.get("description")),
            attributes=c.texts(span.get("attributes"), losses),
            resource=self._resources.index(resource_texts, to),
            scope="",
            trace_state=",".join(f"{k}={v}" for k, v in _STATE.findall(c.as_text(context.get("trace_state")))),
            events=list(self._events(span.get("events"))),
            links=list(self._links(span.get("links"))),
        )

    def _enum(self, value: object, names: dict[str, int]) -> int:
        if value is None:
            return 0
        found = names.get(value) if isinstance(value, str) else None
        if found is None:
            self._losses.repair(UNKNOWN_ENUM, value)
        return found or 0

    def _events(self, values: object) -> Iterator[c.Event]:
        for event in c.dicts(values, self._losses, "events that are no objects"):
            attributes = c.texts(event.get("attributes"), self._losses)
            yield c.moment(_time(event.get("timestamp"))), c.as_text(event.get("name")), attributes

    def _links(self, values: object) -> Iterator[c.Link]:
        losses = self._losses
        for link in c.dicts(values, losses, c.BAD_LINK):
            context = c.as_dict(link.get("context"))
            trace_id, span_id = c.trace_id(context.get("trace_id"), losses), c.span_id(context.get("span_id"), losses)
            if not (trace_id and span_id):
                losses.lose(c.BAD_LINK, c.shown(link))
                continue
            if link.get("attributes"):
                losses.lose(c.LINK_ATTRIBUTES)
            yield trace_id, span_id


def _time(value: object) -> int | None:
    found = rfc3339_ns(value)
    return found[0] if found else None
