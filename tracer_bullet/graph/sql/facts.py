"""The spans and who called whom: from the span table to the tables `fact`, `span` and `pair`.

Plain SQL over integers (BIGINT ids, INTEGER row numbers), in the subset that DuckDB, ClickHouse and
Spark share. `source` is the span table (docs/span-table.md). Kinds: 2 server, 3 client, 4 producer,
5 consumer; status 2 is an error.
"""

from __future__ import annotations

from typing import Final

# One row a span copy, with what the rules need out of its attributes. Old and new semantic
# conventions are read alike, the new name first.
FACTS: Final = r"""
WITH
raw AS (
    SELECT
        trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns,
        cardinality(attributes) AS attribute_count,
        attributes['tb.guard.decision'] AS decision,
        -- Whose clock a span was timed by, as far as its resource says.
        coalesce(nullif(resource['host.id'], ''), nullif(resource['host.name'], ''),
            nullif(resource['k8s.pod.name'], ''), nullif(resource['container.id'], ''), '') AS machine,
        CASE WHEN status = 2 THEN status_message ELSE '' END AS error_message,
        CASE WHEN status = 2 THEN attributes END AS e,
        CASE WHEN kind IN (3, 4, 5) THEN attributes END AS a
    FROM source
    WHERE name <> 'tracer-bullet seal'
),
read AS (
    SELECT
        trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns,
        attribute_count, decision, machine, error_message,
        coalesce(
            nullif(e['error.type'], ''), nullif(e['exception.type'], ''), nullif(e['http.response.status_code'], ''),
            nullif(e['http.status_code'], ''), nullif(e['rpc.grpc.status_code'], ''), ''
        ) AS error_type,
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
    decision, machine, error_type, error_message, host, port, peer_service,
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
                f.decision, f.target_kind, f.target_name, f.target_system, f.direction, f.host, f.port, f.peer_service,
                f.machine, f.error_type, f.error_message
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
    machine, error_type, error_message, target_kind, target_name, target_system, direction, host, port, peer_service,
    CASE WHEN end_ns > start_ns THEN end_ns - start_ns ELSE 0 END AS duration_ns,
    status = 2 AS failed
FROM (SELECT * FROM single UNION ALL SELECT * FROM ranked WHERE copy = 1)
"""

# Child and parent rows, resolved once.
PAIRS: Final = """
SELECT c.row_id AS child, p.row_id AS parent
FROM span AS c
JOIN span AS p ON c.trace_hi = p.trace_hi AND c.trace_lo = p.trace_lo AND c.parent_id = p.span_id
WHERE c.row_id <> p.row_id
"""
