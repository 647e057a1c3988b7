"""Which traces are slow, and where their time went beyond the usual: from `trace_root`, `span` and `pair`."""

from __future__ import annotations

from typing import Final

from tracer_bullet.graph.sql.facts import covered_by

# Roots of traces that did not fail, ordered within their operation.
PACED: Final = """
SELECT
    r.row_id, r.trace_hi, r.trace_lo, r.service, r.name, r.duration_ns, ln(greatest(r.duration_ns, 1)) AS log_ns,
    row_number() OVER (PARTITION BY r.service, r.name ORDER BY r.duration_ns) AS place,
    count(*) OVER (PARTITION BY r.service, r.name) AS traces
FROM trace_root AS r
LEFT JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo
WHERE f.leaf IS NULL
"""

# The rule of docs/causes.md: beyond both twice the median and four robust standard deviations (of the logarithm,
# by the median of absolute deviations), by at least a millisecond. Half of the traces may be slow without hiding it,
# which no high quantile can say of itself.
LIMITS: Final = """
WITH
middle AS (
    SELECT service, name, max(CASE WHEN place = floor((traces + 1) / 2) THEN log_ns END) AS median
    FROM paced
    WHERE traces >= {fewest}
    GROUP BY service, name
),
apart AS (
    SELECT
        p.service, p.name, p.traces, m.median, abs(p.log_ns - m.median) AS distance,
        row_number() OVER (PARTITION BY p.service, p.name ORDER BY abs(p.log_ns - m.median)) AS place
    FROM paced AS p
    JOIN middle AS m ON p.service = m.service AND p.name = m.name
)
SELECT
    service, name, max(median) AS median,
    max(median) + greatest(
        ln(2), 4 * 1.4826 * max(CASE WHEN place = floor((traces + 1) / 2) THEN distance END)
    ) AS limit_log
FROM apart
GROUP BY service, name
"""

SLOW: Final = """
SELECT p.trace_hi, p.trace_lo, p.row_id
FROM paced AS p
JOIN pace_limit AS l ON p.service = l.service AND p.name = l.name
WHERE p.log_ns > l.limit_log AND p.duration_ns - exp(l.median) >= 1000000
"""

# Every trace that has a root: what it is (`error`, `slow` or ''), its operation (`stratum`), and a number by which
# any share of the traces is a fair sample, whatever their ids.
JUDGED: Final = """
SELECT
    r.trace_hi, r.trace_lo, r.row_id, r.start_ns, r.end_ns, r.duration_ns, r.service, r.name,
    CAST(dense_rank() OVER (ORDER BY r.service, r.name) AS INTEGER) AS stratum,
    CASE WHEN f.leaf IS NOT NULL THEN 'error' WHEN s.row_id IS NOT NULL THEN 'slow' ELSE '' END AS symptom,
    abs(((r.trace_lo % 1000003) * 7919 + (r.trace_hi % 999983) * 104729) % 1000003) AS lot
FROM trace_root AS r
LEFT JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo
LEFT JOIN slow_trace AS s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo
"""

# The slow traces, and some good ones of the same root operations to compare with.
TIMED: Final = """
SELECT trace_hi, trace_lo, stratum, start_ns, end_ns, symptom = 'slow' AS slow
FROM (
    SELECT
        j.trace_hi, j.trace_lo, j.stratum, j.start_ns, j.end_ns, j.symptom,
        row_number() OVER (PARTITION BY j.stratum, j.symptom ORDER BY j.lot, j.trace_hi, j.trace_lo) AS place
    FROM judged AS j
    JOIN (SELECT DISTINCT stratum FROM judged WHERE symptom = 'slow') AS w ON j.stratum = w.stratum
    WHERE j.symptom <> 'error'
) AS placed
WHERE symptom = 'slow' OR place <= {most}
"""

# Spans of those traces, cut to their roots.
TIMED_SPANS: Final = """
SELECT
    s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.target_name, t.stratum, t.slow,
    greatest(s.start_ns, t.start_ns) AS start_ns, least(s.end_ns, t.end_ns) AS end_ns
FROM span AS s
JOIN timed AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo
WHERE s.end_ns > t.start_ns AND s.start_ns < t.end_ns
"""

# The first end of all spans above a span: what goes on after it made nobody wait.
CUTS: Final = """
SELECT c.row_id, pair.parent AS far, p.end_ns AS cut_ns
FROM timed_span AS c
JOIN pair ON c.row_id = pair.child
JOIN timed_span AS p ON pair.parent = p.row_id
"""
JUMP_CUTS: Final = """
SELECT a.row_id, coalesce(b.far, a.far) AS far, least(a.cut_ns, coalesce(b.cut_ns, a.cut_ns)) AS cut_ns
FROM {name} AS a
LEFT JOIN {name} AS b ON a.far = b.row_id
"""
WITHIN: Final = """
SELECT
    s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.target_name, s.stratum, s.slow, s.start_ns,
    greatest(s.start_ns, least(s.end_ns, coalesce(c.cut_ns, s.end_ns))) AS end_ns
FROM timed_span AS s
LEFT JOIN {cut} AS c ON s.row_id = c.row_id
"""

# Own time of every span: without the union of its children's.
OWN: Final = (
    covered_by("""
    SELECT pair.parent, greatest(c.start_ns, p.start_ns) AS start_ns, least(c.end_ns, p.end_ns) AS end_ns
    FROM within_root AS p
    JOIN pair ON p.row_id = pair.parent
    JOIN within_root AS c ON pair.child = c.row_id
    WHERE c.end_ns > p.start_ns AND c.start_ns < p.end_ns
""")
    + """
SELECT
    w.row_id, w.trace_hi, w.trace_lo, w.span_id, w.stratum, w.slow, w.service, w.name, w.target_name,
    CAST(greatest(w.end_ns - w.start_ns, 0) - coalesce(c.covered_ns, 0) AS BIGINT) AS own_ns
FROM within_root AS w
LEFT JOIN covered AS c ON w.row_id = c.parent
"""
)

OWN_BY_OPERATION: Final = """
SELECT
    trace_hi, trace_lo, service, name, target_name, max(stratum) AS stratum,
    max(CASE WHEN slow THEN 1 ELSE 0 END) AS slow, CAST(sum(own_ns) AS BIGINT) AS own_ns
FROM own_each
GROUP BY trace_hi, trace_lo, service, name, target_name
"""

# The span of the operation whose own time is furthest beyond its usual: the median over the good traces, in which
# a trace without it counts as zero.
EXCESS: Final = """
WITH
goods AS (SELECT stratum, count(*) AS traces FROM timed WHERE NOT slow GROUP BY stratum),
ranked AS (
    SELECT
        stratum, service, name, target_name, own_ns,
        row_number() OVER (PARTITION BY stratum, service, name, target_name ORDER BY own_ns) AS place,
        count(*) OVER (PARTITION BY stratum, service, name, target_name) AS present
    FROM own_operation
    WHERE slow = 0
),
usual AS (
    SELECT
        r.stratum, r.service, r.name, r.target_name,
        max(CASE WHEN r.place = floor((g.traces + 1) / 2) - (g.traces - r.present) THEN r.own_ns END) AS own_ns
    FROM ranked AS r
    JOIN goods AS g ON r.stratum = g.stratum
    GROUP BY r.stratum, r.service, r.name, r.target_name
),
worst AS (
    SELECT
        o.trace_hi, o.trace_lo, o.service, o.name, o.target_name,
        row_number() OVER (
            PARTITION BY o.trace_hi, o.trace_lo
            ORDER BY o.own_ns - coalesce(u.own_ns, 0) DESC, o.service, o.name, o.target_name
        ) AS place
    FROM own_operation AS o
    LEFT JOIN usual AS u
        ON o.stratum = u.stratum AND o.service = u.service AND o.name = u.name AND o.target_name = u.target_name
    WHERE o.slow = 1
),
spans AS (
    SELECT
        w.trace_hi, w.trace_lo, e.row_id,
        row_number() OVER (PARTITION BY w.trace_hi, w.trace_lo ORDER BY e.own_ns DESC, e.span_id) AS place
    FROM worst AS w
    JOIN own_each AS e
        ON w.trace_hi = e.trace_hi AND w.trace_lo = e.trace_lo AND w.service = e.service AND w.name = e.name
        AND w.target_name = e.target_name
    WHERE w.place = 1
)
SELECT trace_hi, trace_lo, row_id AS leaf FROM spans WHERE place = 1
"""

# Each bad or swallowing trace once, with its leaf. `weight` orders examples: of slow ones the slowest comes first.
BAD: Final = """
SELECT 'error' AS symptom, f.trace_hi, f.trace_lo, f.leaf, 0 AS weight, g.error_type, g.error_message
FROM failed_trace AS f
JOIN failing AS g ON f.leaf = g.row_id
UNION ALL
SELECT 'swallowed', s.trace_hi, s.trace_lo, s.leaf, 0, g.error_type, g.error_message
FROM swallowed_trace AS s
JOIN failing AS g ON s.leaf = g.row_id
UNION ALL
SELECT 'slow', e.trace_hi, e.trace_lo, e.leaf, j.duration_ns, '', ''
FROM excess AS e
JOIN judged AS j ON e.trace_hi = j.trace_hi AND e.trace_lo = j.trace_lo
"""

SLOWEST: Final = """
SELECT trace_hi, trace_lo, service, name, duration_ns FROM judged ORDER BY duration_ns DESC, trace_hi, trace_lo LIMIT 1
"""
# Of each root operation the trace in the middle of its durations, the most used operation first.
TYPICAL: Final = """
SELECT trace_hi, trace_lo, service, name, duration_ns
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY stratum ORDER BY duration_ns, trace_hi, trace_lo) AS place,
        count(*) OVER (PARTITION BY stratum) AS traces
    FROM judged
    WHERE symptom = ''
) AS placed
WHERE place = floor((traces + 1) / 2)
ORDER BY traces DESC, service, name
LIMIT {most}
"""
