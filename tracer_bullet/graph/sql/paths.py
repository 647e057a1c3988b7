"""What the critical path reads: spans of whole traces with numbers for their texts, a part of the traces at a time."""

from __future__ import annotations

from typing import Final

# How many spans, and in how many of them both times are whole multiples of a grain: 1 ms, 1 µs, 100 ns.
GRAINS: Final = """
SELECT
    count(*),
    sum(CASE WHEN start_ns % 1000000 = 0 AND end_ns % 1000000 = 0 THEN 1 ELSE 0 END),
    sum(CASE WHEN start_ns % 1000 = 0 AND end_ns % 1000 = 0 THEN 1 ELSE 0 END),
    sum(CASE WHEN start_ns % 100 = 0 AND end_ns % 100 = 0 THEN 1 ELSE 0 END)
FROM span
"""

# operation_id, service_id, service, name; numbers from 1.
OPERATIONS: Final = """
SELECT
    CAST(row_number() OVER (ORDER BY service, name) AS INTEGER) AS operation_id,
    CAST(dense_rank() OVER (ORDER BY service) AS INTEGER) AS service_id,
    service, name
FROM (SELECT service, name FROM span GROUP BY service, name) AS known
"""

NAMES: Final = "SELECT service, name FROM path_operation ORDER BY operation_id"

# machine_id, machine and by how much its clock is ahead; 0 is the unknown machine.
MACHINES: Final = """
SELECT
    CASE WHEN m.machine = '' THEN 0 ELSE CAST(row_number() OVER (ORDER BY m.machine) AS INTEGER) END AS machine_id,
    m.machine, coalesce(k.offset_ns, 0) AS offset_ns
FROM (SELECT machine FROM span GROUP BY machine) AS m
LEFT JOIN clock AS k ON m.machine = k.machine
"""

# Spans that link to their own parent: how OpenTelemetry writes down that one follows from the other.
LINKS: Final = """
SELECT DISTINCT l.later AS row_id
FROM linked AS l
JOIN pair ON l.later = pair.child AND l.earlier = pair.parent
"""

# Part {part} of {parts} of the traces. A prime spreads ids of which only some bits are random.
_IN_PART: Final = "abs(trace_lo % 1000003 + trace_hi % 1000003) % {parts} = {part}"
PART: Final = f"""
SELECT
    s.row_id, coalesce(p.row_id, 0) AS parent, s.trace_hi, s.trace_lo, s.span_id,
    s.start_ns - m.offset_ns AS start_ns, s.end_ns - m.offset_ns AS end_ns,
    s.kind, m.machine_id, o.operation_id, o.service_id,
    CASE WHEN s.parent_id IS NOT NULL AND s.parent_id <> s.span_id AND p.row_id IS NULL THEN 1 ELSE 0 END AS orphan,
    CASE WHEN l.row_id IS NULL THEN 0 ELSE 1 END AS linked
FROM (SELECT * FROM span WHERE {_IN_PART}) AS s
LEFT JOIN (SELECT trace_hi, trace_lo, span_id, row_id FROM span WHERE {_IN_PART}) AS p
    ON s.trace_hi = p.trace_hi AND s.trace_lo = p.trace_lo AND s.parent_id = p.span_id AND s.row_id <> p.row_id
LEFT JOIN path_link AS l ON s.row_id = l.row_id
JOIN path_machine AS m ON s.machine = m.machine
JOIN path_operation AS o ON s.service = o.service AND s.name = o.name
"""
