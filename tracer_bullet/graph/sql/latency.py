"""What latency.py and heatmap.py ask of the prepared tables."""

from __future__ import annotations

from typing import Final

EXTENT: Final = "SELECT min(start_ns), max(end_ns) FROM span"

# Entry spans with their self time, for distributions.
ENTRIES: Final = "span AS s JOIN own_time AS o ON s.row_id = o.row_id"

# Failed calls, and in how many traces there were any calls.
ENTRY_ERRORS: Final = """
SELECT service, name, sum(errors), count(*)
FROM (
    SELECT s.service, s.name, s.trace_hi, s.trace_lo, sum(CASE WHEN s.failed THEN 1 ELSE 0 END) AS errors
    FROM span AS s
    JOIN own_time AS o ON s.row_id = o.row_id
    GROUP BY s.service, s.name, s.trace_hi, s.trace_lo
) AS met
GROUP BY service, name
"""

# Calls that operations make, themselves or by spans below them in their service.
CALLS_MADE: Final = """
SELECT o.service, o.name, count(*)
FROM usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id
JOIN {owners} AS w ON u.span_row = w.row_id
JOIN entry AS n ON w.owner = n.row_id
JOIN span AS o ON w.owner = o.row_id
WHERE u.counted AND u.rule <> 'link' AND e.source_kind <> 'queue'
GROUP BY o.service, o.name
"""

EDGES: Final = """
SELECT
    e.edge_id, e.source_kind, e.source_name, e.source_system, e.target_kind, e.target_name, e.target_system,
    t.calls, t.errors, t.traces
FROM edge AS e
JOIN (
    SELECT edge_id, sum(calls) AS calls, sum(errors) AS errors, count(*) AS traces
    FROM (
        SELECT edge_id, trace_hi, trace_lo, count(*) AS calls, sum(CASE WHEN failed THEN 1 ELSE 0 END) AS errors
        FROM usage
        WHERE counted
        GROUP BY edge_id, trace_hi, trace_lo
    ) AS used
    GROUP BY edge_id
) AS t ON e.edge_id = t.edge_id
ORDER BY e.edge_id
"""

# Uses timed by who called, and those timed by who was called: nobody waits for a message or a link.
CALLERS: Final = """usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id
WHERE u.counted AND e.source_kind <> 'queue' AND u.rule <> 'link'"""
CALLEES: Final = """(
    SELECT u.edge_id, u.duration_ns
    FROM usage AS u
    JOIN edge AS e ON u.edge_id = e.edge_id
    WHERE u.counted AND (e.source_kind = 'queue' OR u.rule = 'link')
    UNION ALL
    SELECT e.edge_id, c.duration_ns
    FROM call AS k
    JOIN span AS c ON k.callee = c.row_id
    JOIN edge AS e
        ON e.source_kind = 'service' AND e.target_kind = 'service'
        AND e.source_name = k.source AND e.target_name = k.target
) AS u"""

# Spans without a parent, and where every trace lost its own, those whose parent is missing.
ROOTS: Final = """
SELECT s.start_ns, s.duration_ns,
    CASE WHEN s.parent_id IS NULL OR s.parent_id = s.span_id THEN 1 ELSE 0 END AS true_root
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
WHERE pair.child IS NULL
"""

ROOT_EXTENT: Final = """
SELECT true_root, min(start_ns), max(start_ns) FROM root GROUP BY true_root ORDER BY true_root DESC
"""

# Time slot and power of two of the duration in ns, with how many roots.
CELLS: Final = """
SELECT slot, octave, count(*)
FROM (
    SELECT
        CAST(floor((start_ns - {start_ns}) / {slot_ns}) AS INTEGER) AS slot,
        CAST(floor(ln(greatest(duration_ns, 1)) / ln(2)) AS INTEGER) AS octave
    FROM root
    WHERE true_root = {true_root}
) AS placed
GROUP BY slot, octave
ORDER BY slot, octave
"""
