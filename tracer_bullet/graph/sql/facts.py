"""The spans and who called whom: from the span table to the tables `fact`, `span` and `pair`.

Plain SQL over integers (BIGINT ids, INTEGER row numbers), in the subset that DuckDB, ClickHouse and
Spark share. `source` is the span table (docs/span-table.md). Kinds: 2 server, 3 client, 4 producer,
5 consumer; status 2 is an error.
"""

from __future__ import annotations

from typing import Final


def first(*keys: str, of: str = "attributes") -> str:
    """The first of a map's values that says something, or ''. Whether a missing key is '' or NULL differs by engine."""
    values = ", ".join(f"nullif({of}['{key}'], '')" for key in keys)
    return f"coalesce({values}, '')"


def _outbound(*keys: str) -> str:
    """As `first`, of spans alone that may name a target: reading a map is what costs most here."""
    return f"CASE WHEN kind IN (3, 4, 5) THEN {first(*keys)} ELSE '' END"


def covered_by(clipped: str) -> str:
    """The WITH of own times: `covered` has (parent, covered_ns), the length of the union of `clipped`'s intervals.

    `clipped` is a query for (parent, start_ns, end_ns), each interval cut to its parent.
    """
    return f"""
WITH
clipped AS ({clipped}),
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
)"""


def asynchronous(caller: str, callee: str) -> str:
    """The one test of a pair of `span` rows (by their aliases) for a caller that does not wait: it sends a message,
    or the other takes one. Links are asynchronous by themselves."""
    return f"({caller}.kind = 4 OR {callee}.kind = 5)"


# One row a span copy, with what the rules need out of its attributes. Old and new semantic
# conventions are read alike, the new name first.
FACTS: Final = rf"""
WITH
read AS (
    SELECT
        trace_hi, trace_lo, span_id, parent_id, service, name, kind, status, start_ns, end_ns,
        cardinality(attributes) AS attribute_count,
        {first("tb.guard.decision")} AS decision,
        -- Whose clock a span was timed by, as far as its resource says.
        {first("host.id", "host.name", "k8s.pod.name", "container.id", of="resource")} AS machine,
        CASE WHEN status = 2 THEN status_message ELSE '' END AS error_message,
        CASE
            WHEN status = 2 THEN {
    first("error.type", "exception.type", "http.response.status_code", "http.status_code", "rpc.grpc.status_code")
}
            ELSE ''
        END AS error_type,
        {_outbound("db.system.name", "db.system")} AS db_system,
        {_outbound("db.namespace", "db.name", "db.redis.database_index")} AS db_name,
        {_outbound("messaging.system")} AS queue_system,
        CASE
            WHEN kind NOT IN (3, 4, 5) THEN ''
            WHEN {first("messaging.destination.temporary")} = 'true'
                OR {first("messaging.destination.anonymous")} = 'true'
                THEN '(temporary)'
            ELSE {first("messaging.destination.template", "messaging.destination.name", "messaging.destination")}
        END AS queue_name,
        {_outbound("messaging.operation.type", "messaging.operation")} AS queue_operation,
        {_outbound("url.full", "http.url")} AS url,
        lower({_outbound("server.address", "net.peer.name")}) AS named_host,
        {_outbound("server.port", "net.peer.port")} AS named_port,
        {_outbound("network.peer.address", "net.sock.peer.addr", "net.peer.ip")} AS peer_address,
        {_outbound("peer.service")} AS peer_service
    FROM source
    WHERE name <> 'tracer-bullet seal'
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
        coalesce(nullif(named_host, ''), nullif(url_host, ''), lower(peer_address)) AS host,
        CASE
            WHEN named_host = '' THEN url_port
            WHEN named_port = '' AND named_host = url_host THEN url_port
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
        WHEN queue_name = '' OR queue_operation IN ('create', 'settle', 'ack') THEN ''
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

# Where a service's work begins: server and consumer spans; spans below another service's, since many captures have no
# kinds; and for the same reason roots without one.
ENTRIES: Final = """
SELECT s.row_id
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
LEFT JOIN span AS p ON pair.parent = p.row_id
WHERE
    s.kind IN (2, 5)
    OR p.service <> s.service
    OR (s.kind = 0 AND (s.parent_id IS NULL OR s.parent_id = s.span_id))
"""
