"""The request context on each log line: trace id, request type, user and account."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from opentelemetry import baggage, trace

from tracer_bullet.context.carriers import ACCOUNT_KEY, USER_KEY
from tracer_bullet.context.scope import current
from tracer_bullet.model import RequestType


def context_fields() -> dict[str, str]:
    """`trace_id`, `span_id`, `request_type`, and `run_id`, `user_id`, `account_id` where they are known."""
    fields = {}
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        fields["trace_id"] = trace.format_trace_id(span.trace_id)
        fields["span_id"] = trace.format_span_id(span.span_id)
    bullet = current()
    fields["request_type"] = (bullet.request_type if bullet else RequestType.STANDARD).value
    if bullet is not None:
        fields["run_id"] = bullet.run_id
    user = bullet.user_id if bullet else baggage.get_baggage(USER_KEY)
    account = bullet.account_id if bullet else baggage.get_baggage(ACCOUNT_KEY)
    fields.update({k: str(v) for k, v in (("user_id", user), ("account_id", account)) if v is not None})
    return fields


class ContextFilter(logging.Filter):
    """Standard-library filter that sets the fields on each record; absent ones become empty strings.

    Put it on a handler, so that records of every logger pass it.
    """

    _names = ("trace_id", "span_id", "request_type", "run_id", "user_id", "account_id")

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; keeps every record."""
        fields = context_fields()
        for name in self._names:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name, ""))
        return True


def add_context(_logger: object, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that adds the fields; what the caller set itself stays."""
    for name, value in context_fields().items():
        event_dict.setdefault(name, value)
    return event_dict
