"""The span table's one schema (docs/span-table.md), as Arrow and as it lies in Parquet."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

VERSION: Final = 1
VERSION_KEY: Final = b"tracer_bullet.span_table"

TEXT_MAP: Final = pa.map_(pa.string(), pa.string())

EVENT: Final = pa.struct(
    [
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("attributes", TEXT_MAP, nullable=False),
    ]
)
LINK: Final = pa.struct(
    [
        pa.field("trace_hi", pa.int64(), nullable=False),
        pa.field("trace_lo", pa.int64(), nullable=False),
        pa.field("span_id", pa.int64(), nullable=False),
    ]
)

SPAN_SCHEMA: Final = pa.schema(
    [
        pa.field("trace_hi", pa.int64(), nullable=False),
        pa.field("trace_lo", pa.int64(), nullable=False),
        pa.field("span_id", pa.int64(), nullable=False),
        pa.field("parent_id", pa.int64()),
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("service", pa.string(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("status", pa.int8(), nullable=False),
        pa.field("status_message", pa.string(), nullable=False),
        pa.field("attributes", TEXT_MAP, nullable=False),
        pa.field("resource", TEXT_MAP, nullable=False),
        pa.field("scope_name", pa.string(), nullable=False),
        pa.field("trace_state", pa.string(), nullable=False),
        pa.field("events", pa.list_(EVENT), nullable=False),
        pa.field("links", pa.list_(LINK), nullable=False),
    ],
    metadata={VERSION_KEY: str(VERSION).encode()},
)
