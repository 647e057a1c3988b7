"""Calls that cost more than they must: from the prepared tables to `waste`, one row a time that it happened."""

from __future__ import annotations

from typing import Final

# Each call once, with the span that made it: client and producer spans, and entry spans whose caller left none. The
# harness's steps are a scenario's, in its order, and no waste.
CALLS: Final = """
SELECT
    c.row_id, c.span_id, c.name, c.start_ns, c.end_ns, c.duration_ns, c.failed,
    c.kind = 4 OR k.asynchronous = 1 AS asynchronous, k.edge_id, p.row_id AS parent, p.duration_ns AS parent_ns
FROM (
    SELECT u.span_row, min(u.edge_id) AS edge_id, min(CASE WHEN u.asynchronous THEN 1 ELSE 0 END) AS asynchronous
    FROM usage AS u
    JOIN edge AS e ON u.edge_id = e.edge_id
    WHERE u.counted AND u.rule <> 'link' AND e.source_kind <> 'queue'
    GROUP BY u.span_row
) AS k
JOIN span AS c ON k.span_row = c.row_id
JOIN pair ON c.row_id = pair.child
JOIN span AS p ON pair.parent = p.row_id
WHERE c.kind IN (3, 4) AND p.service <> 'tracer-bullet'
UNION ALL
SELECT
    c.row_id, c.span_id, c.name, c.start_ns, c.end_ns, c.duration_ns, c.failed,
    k.asynchronous, e.edge_id, p.row_id, p.duration_ns
FROM call AS k
JOIN span AS c ON k.callee = c.row_id
JOIN span AS p ON k.caller = p.row_id
JOIN edge AS e
    ON e.source_kind = 'service' AND e.target_kind = 'service' AND e.source_name = k.source AND e.target_name = k.target
WHERE p.kind NOT IN (3, 4) AND p.service <> 'tracer-bullet'
"""

# More than 10 calls of one name to one place under one span, all but a few of them within 2 × of their median.
REPEATED: Final = """
WITH
crowd AS (
    SELECT parent, edge_id, name, count(*) AS size FROM made GROUP BY parent, edge_id, name HAVING count(*) > 10
),
placed AS (
    SELECT
        m.*, k.size,
        row_number() OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.duration_ns, m.span_id) AS place
    FROM made AS m
    JOIN crowd AS k ON m.parent = k.parent AND m.edge_id = k.edge_id AND m.name = k.name
),
middle AS (
    SELECT parent, edge_id, name, duration_ns AS median_ns FROM placed WHERE place = floor((size + 1) / 2)
)
SELECT
    p.parent, p.edge_id, p.name, count(*) AS size,
    least(sum(p.duration_ns), max(p.end_ns) - min(p.start_ns)) - max(p.duration_ns) AS cost_ns
FROM placed AS p
JOIN middle AS m ON p.parent = m.parent AND p.edge_id = m.edge_id AND p.name = m.name
WHERE p.duration_ns >= m.median_ns - p.duration_ns AND p.duration_ns - m.median_ns <= m.median_ns
GROUP BY p.parent, p.edge_id, p.name
HAVING count(*) > 10
"""

# Client spans that say that they were sent again.
RESENT: Final = """
SELECT DISTINCT s.row_id
FROM (
    SELECT trace_hi, trace_lo, span_id
    FROM source
    WHERE kind = 3 AND coalesce(attributes['http.request.resend_count'], '') NOT IN ('', '0')
) AS r
JOIN span AS s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo AND r.span_id = s.span_id
"""

# A call that failed, and the same call again under the same span.
RETRIES: Final = """
SELECT r.parent, r.edge_id, r.name, r.cost_ns
FROM (
    SELECT
        m.parent, m.edge_id, m.name, m.row_id, m.start_ns,
        m.start_ns - lag(m.start_ns) OVER (
            PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id
        ) AS cost_ns,
        lag(m.end_ns) OVER (
            PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id
        ) AS before_ended_ns,
        lag(CASE WHEN m.failed THEN 1 ELSE 0 END) OVER (
            PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id
        ) AS before_failed
    FROM made AS m
    JOIN (
        SELECT parent, edge_id, name FROM made GROUP BY parent, edge_id, name HAVING count(*) > 1
    ) AS k ON m.parent = k.parent AND m.edge_id = k.edge_id AND m.name = k.name
) AS r
LEFT JOIN resent AS a ON r.row_id = a.row_id
WHERE r.before_ended_ns <= r.start_ns AND (r.before_failed = 1 OR a.row_id IS NOT NULL)
"""

# Two neighbouring calls of one span, the second right after the first: what the shorter takes could be saved, if it
# is 2 % of the span or more.
SEQUENTIAL: Final = """
SELECT parent, edge_id, name, before_edge, before_name, cost_ns
FROM (
    SELECT
        n.*,
        n.start_ns - n.before_ended_ns AS gap_ns,
        least(n.duration_ns, n.before_ns) AS cost_ns
    FROM (
        SELECT
            m.parent, m.edge_id, m.name, m.start_ns, m.duration_ns, m.parent_ns,
            lag(m.edge_id) OVER (PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_edge,
            lag(m.name) OVER (PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_name,
            lag(m.duration_ns) OVER (PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_ns,
            lag(m.end_ns) OVER (PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_ended_ns,
            lag(CASE WHEN m.failed THEN 1 ELSE 0 END) OVER (
                PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id
            ) AS before_failed,
            max(m.end_ns) OVER (
                PARTITION BY m.parent ORDER BY m.start_ns, m.end_ns, m.span_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS all_ended_ns
        FROM made AS m
        JOIN (
            SELECT parent FROM made WHERE NOT asynchronous GROUP BY parent HAVING count(*) > 1
        ) AS k ON m.parent = k.parent
        LEFT JOIN repeated AS r ON m.parent = r.parent AND m.edge_id = r.edge_id AND m.name = r.name
        WHERE NOT m.asynchronous AND r.parent IS NULL
    ) AS n
    WHERE n.before_failed = 0 AND n.before_ended_ns = n.all_ended_ns
) AS g
WHERE
    gap_ns >= 0 AND cost_ns > 0
    -- A wrong clock makes gaps of decades, of which ten leave 64 bits.
    AND CAST(gap_ns AS DOUBLE) * 10 <= cost_ns AND CAST(cost_ns AS DOUBLE) * 50 >= parent_ns
"""

# A callee that took over 1 ms longer than its caller waited before it failed; on one machine, that ended so much later.
OVERRUNS: Final = """
SELECT parent, edge_id, name, cost_ns
FROM (
    SELECT
        p.row_id AS parent, e.edge_id, c.name,
        CASE
            WHEN p.machine <> '' AND p.machine = c.machine
                THEN greatest(c.duration_ns - p.duration_ns, c.end_ns - p.end_ns)
            ELSE c.duration_ns - p.duration_ns
        END AS cost_ns
    FROM call AS k
    JOIN span AS p ON k.caller = p.row_id
    JOIN span AS c ON k.callee = c.row_id
    JOIN edge AS e
        ON e.source_kind = 'service' AND e.target_kind = 'service'
        AND e.source_name = k.source AND e.target_name = k.target
    WHERE p.kind = 3 AND p.failed AND NOT k.asynchronous
) AS o
WHERE cost_ns > 1000000
"""

# All together: the edge says whose calls they are, the span `parent` under what operation.
FOUND: Final = """
SELECT
    f.waste, e.source_name AS service, p.name AS operation, f.edge_id, f.name, f.before_edge, f.before_name,
    f.size, f.cost_ns, p.trace_hi, p.trace_lo
FROM (
    SELECT 'repeated-calls' AS waste, parent, edge_id, name, 0 AS before_edge, '' AS before_name, size, cost_ns
    FROM repeated
    UNION ALL
    SELECT 'retry', parent, edge_id, name, 0, '', 1, cost_ns FROM retried
    UNION ALL
    SELECT 'sequential-calls', parent, edge_id, name, before_edge, before_name, 1, cost_ns FROM sequential
    UNION ALL
    SELECT 'timeout-beyond-caller', parent, edge_id, name, 0, '', 1, cost_ns FROM overrun
) AS f
JOIN span AS p ON f.parent = p.row_id
JOIN edge AS e ON f.edge_id = e.edge_id
"""

# The {most} places that cost most, each with medians (the lower one of two).
PLACES: Final = """
SELECT
    waste, service, operation, edge_id, name, before_edge, before_name, count(*) AS times,
    sum(cost_ns) AS total_ns,
    max(CASE WHEN cost_place = floor((size_all + 1) / 2) THEN cost_ns END) AS cost_ns,
    max(CASE WHEN size_place = floor((size_all + 1) / 2) THEN size END) AS size
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name ORDER BY cost_ns
        ) AS cost_place,
        row_number() OVER (
            PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name ORDER BY size
        ) AS size_place,
        count(*) OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name) AS size_all
    FROM waste
) AS placed
GROUP BY waste, service, operation, edge_id, name, before_edge, before_name
ORDER BY total_ns DESC, waste, service, operation, edge_id, name, before_edge, before_name
LIMIT {most}
"""

# How many traces a place is in, and the first three of them.
EXAMPLES: Final = """
SELECT waste, service, operation, edge_id, name, before_edge, before_name, CAST(traces AS BIGINT), trace_hi, trace_lo
FROM (
    SELECT
        *,
        count(*) OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name) AS traces,
        row_number() OVER (
            PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name ORDER BY trace_hi, trace_lo
        ) AS place
    FROM (
        SELECT DISTINCT w.waste, w.service, w.operation, w.edge_id, w.name, w.before_edge, w.before_name,
            w.trace_hi, w.trace_lo
        FROM waste AS w
        JOIN waste_place AS p
            ON w.waste = p.waste AND w.service = p.service AND w.operation = p.operation AND w.edge_id = p.edge_id
            AND w.name = p.name AND w.before_edge = p.before_edge AND w.before_name = p.before_name
    ) AS single
) AS placed
WHERE place <= 3
ORDER BY waste, service, operation, edge_id, name, before_edge, before_name, place
"""

EDGES: Final = """
SELECT edge_id, source_kind, source_name, source_system, target_kind, target_name, target_system FROM edge
"""

# Client calls of an edge, those that failed and the others.
WAITED: Final = """usage AS u
JOIN span AS c ON u.span_row = c.row_id
WHERE u.counted AND c.kind = 3 AND NOT u.asynchronous"""

# Traces in which a client call of an edge failed after about its ceiling.
AT_CEILING: Final = """
SELECT trace_hi, trace_lo, count(*)
FROM (
    SELECT c.trace_hi, c.trace_lo
    FROM usage AS u
    JOIN span AS c ON u.span_row = c.row_id
    WHERE u.counted AND c.kind = 3 AND c.failed AND u.edge_id = {edge_id} AND c.duration_ns >= {least_ns}
) AS late
GROUP BY trace_hi, trace_lo
ORDER BY trace_hi, trace_lo
"""
