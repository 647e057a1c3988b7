"""Counts and durations out of the prepared tables: what an answer reads."""

from __future__ import annotations

from typing import Final

from tracer_bullet.graph.sql.facts import covered_by

EDGE_FIGURES: Final = """
SELECT
    e.edge_id, e.source_kind, e.source_name, e.source_system, e.target_kind, e.target_name, e.target_system,
    u.calls, u.errors, u.asynchronous
FROM edge AS e
JOIN (
    SELECT
        edge_id, count(*) AS calls, sum(CASE WHEN failed THEN 1 ELSE 0 END) AS errors,
        min(CASE WHEN asynchronous THEN 1 ELSE 0 END) AS asynchronous
    FROM usage
    WHERE counted
    GROUP BY edge_id
) AS u ON e.edge_id = u.edge_id
ORDER BY e.edge_id
"""

EVIDENCE: Final = """
WITH
traced AS (
    SELECT edge_id, rule, trace_hi, trace_lo, count(*) AS times
    FROM usage
    WHERE counted OR rule = 'link'
    GROUP BY edge_id, rule, trace_hi, trace_lo
),
placed AS (
    SELECT
        *,
        sum(times) OVER (PARTITION BY edge_id, rule) AS total,
        row_number() OVER (PARTITION BY edge_id, rule ORDER BY trace_hi, trace_lo) AS place
    FROM traced
)
SELECT edge_id, rule, CAST(total AS BIGINT), trace_hi, trace_lo
FROM placed
WHERE place <= 3
ORDER BY edge_id, rule, place
"""

DECISIONS: Final = """
SELECT edge_id, decision, count(DISTINCT span_row)
FROM usage
WHERE decision <> ''
GROUP BY edge_id, decision
ORDER BY edge_id, decision
"""

# What entered a service.
SERVICES: Final = """
SELECT s.service, count(n.row_id), sum(CASE WHEN n.row_id IS NOT NULL AND s.failed THEN 1 ELSE 0 END)
FROM span AS s
LEFT JOIN entry AS n ON s.row_id = n.row_id
GROUP BY s.service
ORDER BY s.service
"""

ORPHANS: Final = """
SELECT s.service, count(*)
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
WHERE s.parent_id IS NOT NULL AND s.parent_id <> s.span_id AND pair.child IS NULL
GROUP BY s.service
ORDER BY s.service
"""

TOTALS: Final = """
SELECT
    (SELECT count(*) FROM (SELECT DISTINCT trace_hi, trace_lo FROM span)),
    (SELECT count(*) FROM span)
"""

# Self time of entry spans: a span's length without the union of its direct children's intervals, each cut to the span.
OWN_TIMES: Final = (
    covered_by("""
    SELECT
        pair.parent, greatest(c.start_ns, p.start_ns) AS start_ns, least(c.end_ns, p.end_ns) AS end_ns
    FROM pair
    JOIN entry AS n ON pair.parent = n.row_id
    JOIN span AS p ON pair.parent = p.row_id
    JOIN span AS c ON pair.child = c.row_id
    WHERE c.end_ns > p.start_ns AND c.start_ns < p.end_ns
""")
    + """
SELECT s.row_id, s.duration_ns - coalesce(c.covered_ns, 0) AS own_ns
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
LEFT JOIN covered AS c ON s.row_id = c.parent
"""
)

OPERATIONS: Final = """
SELECT s.service, s.name, count(*), sum(CASE WHEN s.failed THEN 1 ELSE 0 END)
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
GROUP BY s.service, s.name
ORDER BY s.service, s.name
"""

WANTED: Final = """
SELECT s.*
FROM source AS s
JOIN wanted AS w ON s.trace_hi = w.trace_hi AND s.trace_lo = w.trace_lo
"""
