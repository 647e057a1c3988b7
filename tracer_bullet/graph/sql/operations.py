"""Who calls what by name: from the prepared tables to the rows of `OperationEdge`s."""

from __future__ import annotations

from typing import Final

# Whose work a span is part of: the nearest span at or above it that entered its service. An entry is a server or
# consumer span, one below another service's span, or one without a parent. `owner` starts as the parent and jumps on.
OWNERS: Final = """
SELECT
    s.row_id,
    CASE
        WHEN s.kind IN (2, 5) OR p.row_id IS NULL OR p.service <> s.service THEN s.row_id ELSE p.row_id
    END AS owner,
    s.kind IN (2, 5) OR p.row_id IS NULL OR p.service <> s.service AS found
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
LEFT JOIN span AS p ON pair.parent = p.row_id
"""

# One jump of all owners that are not found: to where their owner points. Doubles the way each time.
JUMP: Final = """
SELECT w.row_id, u.owner, u.found
FROM {owners} AS w
JOIN {owners} AS u ON w.owner = u.row_id
"""

UNFOUND: Final = "SELECT count(*) FROM {owners} WHERE NOT found"

# What a client span asked for, in few words: `SELECT orders`, `POST /charges/{id}`. A segment of a path that begins
# with a digit or holds two of them is an id.
ASKED: Final = r"""
SELECT
    trace_hi, trace_lo, span_id,
    max(trim(upper(verb) || ' ' || part)) AS statement,
    max(CASE WHEN method = '' OR path = '' THEN '' ELSE method || ' ' || path END) AS request
FROM (
    SELECT
        trace_hi, trace_lo, span_id,
        -- Some instrumentations put the database's name behind the operation.
        regexp_extract(coalesce(nullif(a['db.operation.name'], ''), nullif(a['db.operation'], ''), text),
            '^\s*([A-Za-z_]+)', 1) AS verb,
        coalesce(nullif(a['db.collection.name'], ''), nullif(a['db.sql.table'], ''),
            nullif(a['db.mongodb.collection'], ''), nullif(a['db.cassandra.table'], ''),
            regexp_extract(
                text, '(?i)\b(?:from|into|update|join)\s+(?:["`\[]?\w+["`\]]?\.)*["`\[]?(\w+)', 1)) AS part,
        coalesce(nullif(a['http.request.method'], ''), nullif(a['http.method'], ''), '') AS method,
        -- Thrice the first match, since engines do not agree on how to ask for all.
        coalesce(nullif(a['url.template'], ''), nullif(
            regexp_replace(regexp_replace(regexp_replace(
                regexp_extract(
                    coalesce(nullif(a['url.full'], ''), a['http.url'], ''), '^[^/?#]*://[^/?#]*(/[^?#]*)', 1),
                '/([0-9][^/]*|[^/0-9]+[0-9][^/0-9]*[0-9][^/]*)', '/{id}'),
                '/([0-9][^/]*|[^/0-9]+[0-9][^/0-9]*[0-9][^/]*)', '/{id}'),
                '/([0-9][^/]*|[^/0-9]+[0-9][^/0-9]*[0-9][^/]*)', '/{id}'), ''), '/') AS path
    FROM (
        SELECT
            trace_hi, trace_lo, span_id, attributes AS a,
            substr(coalesce(nullif(attributes['db.query.text'], ''), attributes['db.statement'], ''), 1, 2000) AS text
        FROM source
        WHERE kind IN (3, 4)
    ) AS client
) AS asked
GROUP BY trace_hi, trace_lo, span_id
"""

# One row a use of an edge, with who asked (`owner`: a row of `span`, the request it was part of) and for what.
ASKS: Final = """
SELECT
    'service' AS source_kind, k.source AS source_name, '' AS source_system, w.owner,
    'service' AS target_kind, k.target AS target_name, '' AS target_system,
    t.name AS operation, k.failed, k.asynchronous, c.start_ns
FROM call AS k
JOIN {owners} AS w ON k.caller = w.row_id
JOIN span AS t ON k.callee = t.row_id
JOIN span AS c ON k.caller = c.row_id
UNION ALL
SELECT
    e.source_kind, e.source_name, e.source_system, w.owner, e.target_kind, e.target_name, e.target_system,
    CASE
        WHEN e.target_kind = 'queue' THEN ''
        WHEN e.source_kind = 'queue' THEN o.name
        WHEN e.target_kind = 'store' THEN coalesce(nullif(a.statement, ''), c.name)
        ELSE coalesce(nullif(a.request, ''), c.name)
    END,
    u.failed, u.asynchronous, c.start_ns
FROM usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id
JOIN {owners} AS w ON u.span_row = w.row_id
JOIN span AS o ON w.owner = o.row_id
JOIN span AS c ON u.span_row = c.row_id
LEFT JOIN asked AS a ON c.trace_hi = a.trace_hi AND c.trace_lo = a.trace_lo AND c.span_id = a.span_id
WHERE
    u.counted AND u.rule NOT IN ('client-server', 'parent-child')
    AND (u.rule <> 'link' OR e.source_kind = 'queue')
UNION ALL
-- Links between services, by the rule of edges.HOPS: from the operation that is linked to, to the one that links.
SELECT
    'service', t.service, '', w.owner, 'service', s.service, '', o.name, s.failed, TRUE, t.start_ns
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id
JOIN {owners} AS w ON l.earlier = w.row_id
JOIN {owners} AS v ON l.later = v.row_id
JOIN span AS o ON v.owner = o.row_id
LEFT JOIN pair ON l.later = pair.child AND l.earlier = pair.parent
WHERE
    pair.child IS NULL AND s.service <> t.service AND (t.target_kind <> 'queue' OR t.direction = 'in')
    AND (s.target_kind <> 'queue' OR s.direction <> '')
"""

# The most used names of each edge; what a service calls by ever new names would have no end.
NAMES: Final = """
SELECT source_kind, source_name, source_system, target_kind, target_name, target_system, operation
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY source_kind, source_name, source_system, target_kind, target_name, target_system
            ORDER BY calls DESC, operation
        ) AS place
    FROM (
        SELECT
            source_kind, source_name, source_system, target_kind, target_name, target_system, operation,
            count(*) AS calls
        FROM ask
        GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system, operation
    ) AS counted
) AS ranked
WHERE place <= {most}
"""

OPERATION_EDGES: Final = """
SELECT
    source_kind, source_name, source_system, source_operation,
    target_kind, target_name, target_system, target_operation,
    count(*) AS calls, sum(CASE WHEN failed THEN 1 ELSE 0 END) AS errors,
    count(DISTINCT owner) AS requests,
    sum(CASE WHEN start_ns > began_ns THEN start_ns - began_ns ELSE 0 END) AS offset_ns,
    min(CASE WHEN asynchronous THEN 1 ELSE 0 END) AS asynchronous
FROM (
    SELECT
        k.source_kind, k.source_name, k.source_system,
        CASE WHEN k.source_kind = 'queue' THEN '' ELSE o.name END AS source_operation,
        k.target_kind, k.target_name, k.target_system,
        CASE WHEN n.operation IS NULL THEN '(other)' ELSE k.operation END AS target_operation,
        k.owner, k.failed, k.asynchronous, k.start_ns, o.start_ns AS began_ns
    FROM ask AS k
    JOIN span AS o ON k.owner = o.row_id
    LEFT JOIN ask_name AS n
        ON k.source_kind = n.source_kind AND k.source_name = n.source_name AND k.source_system = n.source_system
        AND k.target_kind = n.target_kind AND k.target_name = n.target_name AND k.target_system = n.target_system
        AND k.operation = n.operation
) AS asks
GROUP BY
    source_kind, source_name, source_system, source_operation, target_kind, target_name, target_system,
    target_operation
ORDER BY
    source_kind, source_name, source_system, source_operation, target_kind, target_name, target_system,
    target_operation
"""
