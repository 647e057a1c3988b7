"""The edges: from `span` and `pair` to the tables `call`, `linked`, `hop`, `edge` and `usage`, one rule after the
other."""

from __future__ import annotations

from typing import Final

from tracer_bullet.graph.sql.facts import asynchronous

# Calls seen from both sides: one row a child span that work of another span led to.
CALLS: Final = f"""
SELECT
    p.row_id AS caller, c.row_id AS callee, p.service AS source, c.service AS target,
    CASE WHEN p.kind = 3 AND c.kind = 2 THEN 'client-server' ELSE 'parent-child' END AS rule,
    CASE WHEN p.kind = 3 THEN p.duration_ns ELSE c.duration_ns END AS duration_ns,
    c.failed OR (p.kind = 3 AND p.failed) AS failed,
    {asynchronous("p", "c")} AS asynchronous
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id
WHERE
    (p.kind = 3 AND c.kind = 2)
    -- A message goes by way of its queue, where its name is known.
    OR (p.service <> c.service AND NOT (p.direction = 'out' AND (c.kind = 5 OR c.direction = 'in')))
"""

# Span links, of any traces: `later` names `earlier` as what led to it.
LINKS: Final = """
SELECT DISTINCT s.row_id AS later, t.row_id AS earlier
FROM source_link AS l
JOIN span AS s ON l.trace_hi = s.trace_hi AND l.trace_lo = s.trace_lo AND l.span_id = s.span_id
JOIN span AS t ON l.linked_hi = t.trace_hi AND l.linked_lo = t.trace_lo AND l.linked_span = t.span_id
WHERE s.row_id <> t.row_id
"""

# Client and producer spans below which the call shows already: an answer, or an inner client span.
ANSWERED: Final = """
SELECT DISTINCT caller AS row_id FROM call
UNION
SELECT DISTINCT p.row_id
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id
WHERE p.target_kind = 'address' AND p.service = c.service AND c.kind IN (3, 4)
"""

# Inner spans of a client library over another: the outer one counts, both may carry a decision.
NESTED: Final = """
SELECT c.row_id
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id
WHERE
    c.target_kind IN ('store', 'queue') AND c.service = p.service AND c.target_kind = p.target_kind
    AND c.target_name = p.target_name AND c.target_system = p.target_system AND c.direction = p.direction
"""

ADDRESSES: Final = """
SELECT DISTINCT host, port FROM span WHERE target_kind = 'address' AND host <> '' ORDER BY host, port
"""

# Every use of an edge: from service to node or from queue to service. `span_row` is whose decision counts. What is
# not counted is seen by another rule already: a link is evidence then, and an inner span may carry a decision.
HOPS: Final = """
SELECT
    'service' AS source_kind, k.source AS source_name, '' AS source_system,
    'service' AS target_kind, k.target AS target_name, '' AS target_system,
    k.rule, k.caller AS span_row, k.duration_ns, k.failed, k.asynchronous, TRUE AS counted
FROM call AS k
UNION ALL
SELECT
    'service', s.service, '', s.target_kind, s.target_name, s.target_system,
    CASE s.target_kind WHEN 'store' THEN 'database' ELSE 'messaging' END,
    s.row_id, s.duration_ns, s.failed, s.target_kind = 'queue', n.row_id IS NULL
FROM span AS s
LEFT JOIN answered AS a ON s.row_id = a.row_id
LEFT JOIN nested AS n ON s.row_id = n.row_id
WHERE (s.target_kind = 'store' AND a.row_id IS NULL) OR (s.target_kind = 'queue' AND s.direction = 'out')
UNION ALL
SELECT
    'queue', s.target_name, s.target_system, 'service', s.service, '',
    'messaging', s.row_id, s.duration_ns, s.failed, TRUE, n.row_id IS NULL
FROM span AS s
LEFT JOIN nested AS n ON s.row_id = n.row_id
WHERE s.target_kind = 'queue' AND s.direction = 'in'
UNION ALL
-- A consumer that does not name its queue, below a producer that does.
SELECT
    'queue', p.target_name, p.target_system, 'service', c.service, '',
    'messaging', c.row_id, c.duration_ns, c.failed, TRUE, TRUE
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id
WHERE p.direction = 'out' AND c.kind = 5 AND c.target_kind <> 'queue'
UNION ALL
-- A link to what sent a message. Who says himself that he takes from a queue is counted by that; settling is no taking,
-- and sending links to the making of the same message.
SELECT
    'queue', CASE WHEN s.direction = 'in' THEN s.target_name ELSE t.target_name END,
    CASE WHEN s.direction = 'in' THEN s.target_system ELSE t.target_system END, 'service', s.service, '',
    'link', s.row_id, s.duration_ns, s.failed, TRUE, s.direction <> 'in' AND pair.child IS NULL
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id
LEFT JOIN pair ON l.later = pair.child AND l.earlier = pair.parent
WHERE
    t.target_kind = 'queue' AND t.direction <> 'in'
    AND (s.target_kind <> 'queue' OR s.direction = 'in' OR (s.direction = 'out' AND s.service <> t.service))
UNION ALL
-- Any other link between services is an edge of its own, unless it repeats what the parent says.
SELECT
    'service', t.service, '', 'service', s.service, '',
    'link', t.row_id, s.duration_ns, s.failed, TRUE, pair.child IS NULL
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id
LEFT JOIN pair ON l.later = pair.child AND l.earlier = pair.parent
WHERE
    s.service <> t.service AND (t.target_kind <> 'queue' OR t.direction = 'in')
    AND (s.target_kind <> 'queue' OR s.direction <> '')
UNION ALL
SELECT
    'service', s.service, '',
    CASE
        WHEN t.host IS NOT NULL OR s.decision = 'stubbed' THEN 'third_party'
        WHEN known.service IS NOT NULL THEN 'service'
        ELSE 'peer'
    END,
    CASE
        WHEN t.host IS NULL AND coalesce(s.decision, '') <> 'stubbed' AND known.service IS NOT NULL THEN known.service
        ELSE s.target_name
    END,
    '',
    CASE WHEN t.host IS NOT NULL OR s.decision = 'stubbed' THEN 'third-party' ELSE 'peer' END,
    s.row_id, s.duration_ns, s.failed, s.kind = 4, TRUE
FROM span AS s
LEFT JOIN answered AS a ON s.row_id = a.row_id
LEFT JOIN third_party AS t ON s.host = t.host AND s.port = t.port
LEFT JOIN (SELECT DISTINCT service FROM span) AS known ON s.peer_service = known.service
WHERE s.target_kind = 'address' AND a.row_id IS NULL
"""

EDGES: Final = """
SELECT
    CAST(row_number() OVER (
        ORDER BY source_kind, source_name, source_system, target_kind, target_name, target_system
    ) AS INTEGER) AS edge_id,
    source_kind, source_name, source_system, target_kind, target_name, target_system
FROM hop
GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system
"""

USES: Final = """
SELECT e.edge_id, h.rule, h.span_row, h.duration_ns, h.failed, h.asynchronous, h.counted, s.decision,
    s.trace_hi, s.trace_lo
FROM hop AS h
JOIN edge AS e
    ON h.source_kind = e.source_kind AND h.source_name = e.source_name AND h.source_system = e.source_system
    AND h.target_kind = e.target_kind AND h.target_name = e.target_name AND h.target_system = e.target_system
JOIN span AS s ON h.span_row = s.row_id
"""
