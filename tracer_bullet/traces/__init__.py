"""Spans in: the OTLP receiver, the Zipkin client, the span table, and the rule for when a trace is complete.

Must not judge bullets, draw graphs or start runs. Telemetry fails soft: bad input is
refused with a reason and a count, and never spoils what is already here. The rule for
completeness fails closed: what cannot be shown to be all there is a gap.
"""

from tracer_bullet.traces.app import Limits
from tracer_bullet.traces.clickhouse import ClickHouseSource
from tracer_bullet.traces.complete import find_gaps
from tracer_bullet.traces.counters import Counters
from tracer_bullet.traces.query import JaegerSource, TempoSource
from tracer_bullet.traces.receiver import Receiver
from tracer_bullet.traces.recent import Recent
from tracer_bullet.traces.schema import SPAN_SCHEMA
from tracer_bullet.traces.source import TraceSource
from tracer_bullet.traces.table import read_table, spans_to_table, table_to_spans, write_table
from tracer_bullet.traces.zipkin import ZipkinSource

__all__ = [
    "SPAN_SCHEMA",
    "ClickHouseSource",
    "Counters",
    "JaegerSource",
    "Limits",
    "Receiver",
    "Recent",
    "TempoSource",
    "TraceSource",
    "ZipkinSource",
    "find_gaps",
    "read_table",
    "spans_to_table",
    "table_to_spans",
    "write_table",
]
