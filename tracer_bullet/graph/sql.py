"""All SQL of the graph, in the order in which it runs.

Plain SQL over integers (BIGINT ids, INTEGER row numbers) in a subset that DuckDB, ClickHouse
and Spark share but for a map's look-up and the quantiles. `source` is the span table
(docs/span-table.md). Kinds: 2 server, 3 client, 4 producer, 5 consumer; status 2 is an error.
"""

from __future__ import annotations

from typing import Final

# One row a span copy, with what the rules need out of its attributes. Old and new semantic
# conventions are read alike, the new name first.
FACTS: Final = r"""
CREATE TEMP TABLE fact AS
WITH
raw AS (
    SELECT
        trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns,
        cardinality(attributes) AS attribute_count,
        attributes['tb.guard.decision'] AS decision,
        CASE WHEN kind IN (3, 4, 5) THEN attributes END AS a
    FROM source
    WHERE name <> 'tracer-bullet seal'
),
read AS (
    SELECT
        trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns,
        attribute_count, decision,
        coalesce(a['db.system.name'], a['db.system']) AS db_system,
        coalesce(a['db.namespace'], a['db.name'], a['db.redis.database_index'], '') AS db_name,
        coalesce(a['messaging.system'], '') AS queue_system,
        CASE
            WHEN a['messaging.destination.temporary'] = 'true' OR a['messaging.destination.anonymous'] = 'true'
                THEN '(temporary)'
            ELSE coalesce(a['messaging.destination.template'], a['messaging.destination.name'],
                a['messaging.destination'])
        END AS queue_name,
        coalesce(a['messaging.operation.type'], a['messaging.operation'], '') AS queue_operation,
        coalesce(a['url.full'], a['http.url'], '') AS url,
        coalesce(a['server.address'], a['net.peer.name']) AS named_host,
        coalesce(a['server.port'], a['net.peer.port'], '') AS named_port,
        coalesce(a['network.peer.address'], a['net.sock.peer.addr'], a['net.peer.ip'], '') AS peer_address,
        coalesce(a['peer.service'], '') AS peer_service
    FROM raw
),
parsed AS (
    SELECT
        *,
        replace(replace(lower(
            regexp_extract(url, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]]+\]|[^/?#:]+)', 1)
        ), '[', ''), ']', '') AS url_host,
        coalesce(
            nullif(regexp_extract(url, '^[^/?#]*://(?:[^/?#@]*@)?(?:\[[^\]]+\]|[^/?#:]+):([0-9]+)', 1), ''),
            CASE WHEN url LIKE 'https:%' THEN '443' WHEN url LIKE 'http:%' THEN '80' ELSE '' END
        ) AS url_port
    FROM read
),
addressed AS (
    SELECT
        *,
        coalesce(nullif(lower(named_host), ''), nullif(url_host, ''), lower(peer_address)) AS host,
        CASE
            WHEN coalesce(named_host, '') = '' THEN url_port
            WHEN named_port = '' AND lower(named_host) = url_host THEN url_port
            ELSE named_port
        END AS port
    FROM parsed
),
shown AS (
    SELECT *, CASE WHEN host LIKE '%:%' THEN '[' || host || ']' ELSE host END AS shown_host FROM addressed
)
SELECT
    trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns, attribute_count,
    decision, host, port, peer_service,
    CASE
        WHEN queue_name <> '' THEN 'queue'
        WHEN kind = 3 AND db_system <> '' THEN 'store'
        WHEN kind IN (3, 4) AND (host <> '' OR peer_service <> '' OR decision = 'stubbed') THEN 'address'
        ELSE ''
    END AS target_kind,
    CASE
        WHEN queue_name <> '' THEN queue_name
        WHEN kind = 3 AND db_system <> '' THEN
            CASE
                WHEN host <> '' THEN
                    shown_host
                    || CASE
                        WHEN port = '' OR port = CASE db_system
                            WHEN 'postgresql' THEN '5432'
                            WHEN 'mysql' THEN '3306' WHEN 'mariadb' THEN '3306'
                            WHEN 'redis' THEN '6379'
                            WHEN 'mongodb' THEN '27017'
                            WHEN 'mssql' THEN '1433' WHEN 'microsoft.sql_server' THEN '1433'
                            ELSE ''
                        END THEN ''
                        ELSE ':' || port
                    END
                    || CASE WHEN db_name = '' THEN '' ELSE '/' || db_name END
                -- Without a host it is a file: an absolute path says which, anything else is the service's own.
                WHEN db_name LIKE '/%' OR db_name LIKE '_:%' THEN db_name
                WHEN db_name <> '' THEN service || '/' || db_name
                ELSE service || '/' || db_system
            END
        WHEN peer_service <> '' THEN peer_service
        WHEN host <> '' AND port NOT IN ('', '80', '443') THEN shown_host || ':' || port
        WHEN host <> '' THEN shown_host
        ELSE '(unknown)'
    END AS target_name,
    CASE
        WHEN queue_name <> '' THEN queue_system
        WHEN kind = 3 AND db_system <> '' THEN db_system
        ELSE ''
    END AS target_system,
    -- Which way a message went. Creating and settling are no transport, and would count it twice.
    CASE
        WHEN coalesce(queue_name, '') = '' OR queue_operation IN ('create', 'settle', 'ack') THEN ''
        WHEN kind = 5 OR (kind = 3 AND queue_operation IN ('receive', 'process', 'deliver')) THEN 'in'
        ELSE 'out'
    END AS direction
FROM shown
"""

# One row a span, numbered. Of copies the one that ends last counts, then the one that says most;
# the further order only makes the choice the same whatever came first.
SPANS: Final = """
CREATE TEMP TABLE span AS
WITH
repeated AS (
    SELECT trace_hi, trace_lo, span_id FROM fact GROUP BY trace_hi, trace_lo, span_id HAVING count(*) > 1
),
ranked AS (
    SELECT
        f.*,
        row_number() OVER (
            PARTITION BY f.trace_hi, f.trace_lo, f.span_id
            ORDER BY
                f.end_ns DESC, f.attribute_count DESC, f.start_ns, f.parent_id, f.service, f.name, f.kind, f.status,
                f.decision, f.target_kind, f.target_name, f.target_system, f.direction, f.host, f.port, f.peer_service
        ) AS copy
    FROM fact AS f
    JOIN repeated AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo AND f.span_id = r.span_id
),
single AS (
    SELECT f.*, 1 AS copy
    FROM fact AS f
    LEFT JOIN repeated AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo AND f.span_id = r.span_id
    WHERE r.span_id IS NULL
)
SELECT
    CAST(row_number() OVER () AS INTEGER) AS row_id,
    trace_hi, trace_lo, span_id, parent_id, service, name, kind, start_ns, end_ns, decision,
    target_kind, target_name, target_system, direction, host, port, peer_service,
    CASE WHEN end_ns > start_ns THEN end_ns - start_ns ELSE 0 END AS duration_ns,
    status = 2 AS failed
FROM (SELECT * FROM single UNION ALL SELECT * FROM ranked WHERE copy = 1)
"""

# Child and parent rows, resolved once.
PAIRS: Final = """
CREATE TEMP TABLE pair AS
SELECT c.row_id AS child, p.row_id AS parent
FROM span AS c
JOIN span AS p ON c.trace_hi = p.trace_hi AND c.trace_lo = p.trace_lo AND c.parent_id = p.span_id
WHERE c.row_id <> p.row_id
"""

# Calls seen from both sides: one row a child span that work of another span led to.
CALLS: Final = """
CREATE TEMP TABLE call AS
SELECT
    p.row_id AS caller, c.row_id AS callee, p.service AS source, c.service AS target,
    CASE WHEN p.kind = 3 AND c.kind = 2 THEN 'client-server' ELSE 'parent-child' END AS rule,
    CASE WHEN p.kind = 3 THEN p.duration_ns ELSE c.duration_ns END AS duration_ns,
    c.failed OR (p.kind = 3 AND p.failed) AS failed,
    p.kind = 4 OR c.kind = 5 AS asynchronous
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id
WHERE
    (p.kind = 3 AND c.kind = 2)
    -- A message goes by way of its queue, where its name is known.
    OR (p.service <> c.service AND NOT (p.direction = 'out' AND (c.kind = 5 OR c.direction = 'in')))
"""

# Client and producer spans below which the call shows already: an answer, or an inner client span.
ANSWERED: Final = """
CREATE TEMP TABLE answered AS
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
CREATE TEMP TABLE nested AS
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

THIRD_PARTIES: Final = "CREATE TEMP TABLE third_party (host VARCHAR, port VARCHAR)"
ADD_THIRD_PARTY: Final = "INSERT INTO third_party VALUES (?, ?)"

# Every use of an edge: from service to node or from queue to service. `span_row` is whose decision counts.
HOPS: Final = """
CREATE TEMP TABLE hop AS
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
CREATE TEMP TABLE edge AS
SELECT
    CAST(row_number() OVER (
        ORDER BY source_kind, source_name, source_system, target_kind, target_name, target_system
    ) AS INTEGER) AS edge_id,
    source_kind, source_name, source_system, target_kind, target_name, target_system
FROM hop
GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system
"""

USES: Final = """
CREATE TEMP TABLE usage AS
SELECT e.edge_id, h.rule, h.span_row, h.duration_ns, h.failed, h.asynchronous, h.counted, s.decision,
    s.trace_hi, s.trace_lo
FROM hop AS h
JOIN edge AS e
    ON h.source_kind = e.source_kind AND h.source_name = e.source_name AND h.source_system = e.source_system
    AND h.target_kind = e.target_kind AND h.target_name = e.target_name AND h.target_system = e.target_system
JOIN span AS s ON h.span_row = s.row_id
"""

EDGE_FIGURES: Final = """
SELECT
    e.edge_id, e.source_kind, e.source_name, e.source_system, e.target_kind, e.target_name, e.target_system,
    u.calls, u.errors, u.asynchronous, u.quantiles, u.longest
FROM edge AS e
JOIN (
    SELECT
        edge_id, count(*) AS calls, count(*) FILTER (failed) AS errors, bool_and(asynchronous) AS asynchronous,
        quantile_cont(CAST(duration_ns AS DOUBLE), [0.5, 0.9, 0.95, 0.99]) AS quantiles, max(duration_ns) AS longest
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
    WHERE counted
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

# What entered a service: server and consumer spans, and where kinds are missing, spans below another service's.
SERVICES: Final = """
SELECT s.service, count(*) FILTER (entry), count(*) FILTER (entry AND failed)
FROM (
    SELECT s.service, s.failed, s.kind IN (2, 5) OR coalesce(p.service <> s.service, FALSE) AS entry
    FROM span AS s
    LEFT JOIN pair ON s.row_id = pair.child
    LEFT JOIN span AS p ON pair.parent = p.row_id
) AS s
GROUP BY s.service
ORDER BY s.service
"""

# Self time: a span's length without the union of its direct children's intervals, each cut to the span.
OPERATIONS: Final = """
WITH
clipped AS (
    SELECT
        pair.parent, greatest(c.start_ns, p.start_ns) AS start_ns, least(c.end_ns, p.end_ns) AS end_ns
    FROM pair
    JOIN span AS p ON pair.parent = p.row_id
    JOIN span AS c ON pair.child = c.row_id
    WHERE p.kind IN (2, 5) AND c.end_ns > p.start_ns AND c.start_ns < p.end_ns
),
ordered AS (
    SELECT
        parent, start_ns, end_ns,
        max(end_ns) OVER (
            PARTITION BY parent ORDER BY start_ns, end_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS covered_to
    FROM clipped
),
covered AS (
    SELECT parent, sum(greatest(end_ns - greatest(start_ns, coalesce(covered_to, start_ns)), 0)) AS covered_ns
    FROM ordered
    GROUP BY parent
)
SELECT
    s.service, s.name, count(*), count(*) FILTER (s.failed),
    quantile_cont(CAST(s.duration_ns AS DOUBLE), [0.5, 0.9, 0.95, 0.99]), max(s.duration_ns),
    quantile_cont(CAST(s.duration_ns - coalesce(c.covered_ns, 0) AS DOUBLE), 0.5)
FROM span AS s
LEFT JOIN covered AS c ON s.row_id = c.parent
WHERE s.kind IN (2, 5)
GROUP BY s.service, s.name
ORDER BY s.service, s.name
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
