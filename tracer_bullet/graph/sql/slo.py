"""Objectives against the table `span`: which calls are good, in windows of time.

`objective` holds what is asked: objective_id, service, operation ('' for all), threshold_ns (negative: availability),
window_ns and client_errors (1: a client's fault counts). Calls are entry spans (the table `entry`).
"""

from __future__ import annotations

from typing import Final

# Failed entry spans that are the client's fault: HTTP 4xx, and of gRPC the codes that OpenTelemetry's conventions for
# RPC spans do not take for a server's error (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
CLIENT_FAULTS: Final = """
SELECT DISTINCT s.row_id
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN source_attribute AS a ON s.trace_hi = a.trace_hi AND s.trace_lo = a.trace_lo AND s.span_id = a.span_id
WHERE
    s.failed
    AND (
        (a.key IN ('http.response.status_code', 'http.status_code') AND a.value LIKE '4__')
        OR (
            a.key IN ('rpc.grpc.status_code', 'rpc.response.status_code')
            AND a.value IN (
                '1', '3', '5', '6', '7', '8', '9', '10', '11', '16', 'CANCELLED', 'INVALID_ARGUMENT', 'NOT_FOUND',
                'ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED',
                'OUT_OF_RANGE', 'UNAUTHENTICATED'
            )
        )
    )
"""

JUDGED: Final = """
SELECT
    o.objective_id, o.window_ns, s.start_ns, s.duration_ns,
    CASE
        WHEN o.threshold_ns >= 0 THEN CASE WHEN s.duration_ns > o.threshold_ns THEN 1 ELSE 0 END
        WHEN s.failed AND (o.client_errors = 1 OR c.row_id IS NULL) THEN 1
        ELSE 0
    END AS bad
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN objective AS o ON s.service = o.service
LEFT JOIN client_fault AS c ON s.row_id = c.row_id
WHERE (o.operation = '' OR s.name = o.operation)
"""

# Windows begin at whole multiples of their length since the epoch; a call counts where it began.
WINDOWS: Final = """
SELECT objective_id, begin_ns, count(*) AS calls, CAST(sum(bad) AS BIGINT) AS bad
FROM (SELECT objective_id, bad, start_ns - start_ns % {window} AS begin_ns FROM judged) AS placed
GROUP BY objective_id, begin_ns
ORDER BY objective_id, begin_ns
"""

# The call that `beyond` calls were longer than.
QUANTILE: Final = """
SELECT duration_ns FROM judged WHERE objective_id = {objective} ORDER BY duration_ns DESC LIMIT 1 OFFSET {beyond}
"""

EXTENT: Final = "SELECT min(start_ns), max(start_ns), max(end_ns) FROM span"

CALLED_SERVICES: Final = "SELECT DISTINCT service FROM span ORDER BY service"

CALLED_OPERATIONS: Final = """
SELECT DISTINCT s.service, s.name FROM span AS s JOIN entry AS n ON s.row_id = n.row_id ORDER BY s.service, s.name
"""

# The calls of an outer objective; `outer_call` holds one row: service, operation ('' for all).
OUTER_CALLS: Final = """
SELECT s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.duration_ns
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN outer_call AS o ON s.service = o.service
WHERE (o.operation = '' OR s.name = o.operation)
ORDER BY s.duration_ns, s.trace_hi, s.trace_lo, s.span_id
"""

# How many spans each trace of an outer call has.
OUTER_SIZES: Final = """
SELECT s.trace_hi, s.trace_lo, count(*) AS spans
FROM span AS s
JOIN (
    SELECT DISTINCT c.trace_hi, c.trace_lo
    FROM span AS c
    JOIN entry AS n ON c.row_id = n.row_id
    JOIN outer_call AS o ON c.service = o.service
    WHERE (o.operation = '' OR c.name = o.operation)
) AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo
GROUP BY s.trace_hi, s.trace_lo
ORDER BY s.trace_hi, s.trace_lo
"""

# All spans of the traces in `drawn_trace`; times are corrected by `clock` (graph/skew.py).
DRAWN: Final = """
SELECT
    s.row_id, coalesce(p.parent, 0) AS parent, s.span_id, s.start_ns - coalesce(k.offset_ns, 0) AS start_ns,
    s.end_ns - coalesce(k.offset_ns, 0) AS end_ns, s.kind, s.machine, s.service, s.name
FROM span AS s
JOIN drawn_trace AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo
LEFT JOIN clock AS k ON s.machine = k.machine
LEFT JOIN (SELECT child, min(parent) AS parent FROM pair GROUP BY child) AS p ON s.row_id = p.child
ORDER BY s.trace_hi, s.trace_lo, s.span_id
"""
