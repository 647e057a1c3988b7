"""What bad traces have in common: from `judged`, `span` and the attributes to counts by root operation."""

from __future__ import annotations

from typing import Final

# Which traces are looked at: the bad ones, and good ones of their root operations. Drawn by `lot`, so that ids need
# not be random; of each kind as many traces as have {bad_spans} or {good_spans} spans together, and the good ones
# spread over the root operations as the bad ones are.
LOOKED_AT: Final = """
WITH
sized AS (
    SELECT j.trace_hi, j.trace_lo, j.stratum, j.lot, CASE WHEN j.symptom <> '' THEN 1 ELSE 0 END AS bad, n.spans
    FROM judged AS j
    JOIN (SELECT trace_hi, trace_lo, count(*) AS spans FROM span GROUP BY trace_hi, trace_lo) AS n
        ON j.trace_hi = n.trace_hi AND j.trace_lo = n.trace_lo
),
mixed AS (
    SELECT stratum, sum(bad) AS bad_traces FROM sized GROUP BY stratum HAVING sum(bad) > 0 AND sum(bad) < count(*)
),
total AS (SELECT sum(bad_traces) AS bad_traces FROM mixed),
running AS (
    SELECT
        s.trace_hi, s.trace_lo, s.stratum, s.bad, s.spans, m.bad_traces / t.bad_traces AS part,
        sum(s.spans) OVER (
            PARTITION BY s.bad, CASE WHEN s.bad = 1 THEN 0 ELSE s.stratum END
            ORDER BY s.lot, s.trace_hi, s.trace_lo ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS so_far
    FROM sized AS s
    JOIN mixed AS m ON s.stratum = m.stratum
    CROSS JOIN total AS t
)
SELECT
    trace_hi, trace_lo, stratum, bad,
    CAST(row_number() OVER (ORDER BY trace_hi, trace_lo) AS INTEGER) AS trace_no
FROM running
WHERE so_far - spans < CASE WHEN bad = 1 THEN {bad_spans} ELSE greatest({good_spans} * part, {least_spans}) END
"""

# The error itself, and what tells of it, explains nothing.
_TELLING: Final = """(
    key LIKE 'tb.%' OR key LIKE 'exception.%' OR key LIKE 'error.%'
    OR key IN (
        'error', 'otel.status_code', 'otel.status_description', 'status', 'status.code', 'status_code',
        'status.message', 'http.status_code', 'http.status_text', 'http.response.status_code',
        'http.error_name', 'http.error_message',
        'http.response.body.size', 'http.response_content_length', 'http.response.header.content-length',
        'rpc.grpc.status_code', 'rpc.connect_rpc.error_code', 'rpc.jsonrpc.error_code', 'rpc.jsonrpc.error_message',
        'rpc.response.status_code', 'grpc.status_code', 'grpc.error_message', 'db.response.status_code',
        'messaging.response.status_code', 'event.outcome', 'outcome'
    )
)"""

LOOKED_SPANS: Final = """
SELECT s.trace_hi, s.trace_lo, s.span_id, s.service, l.trace_no, l.stratum, l.bad
FROM span AS s
JOIN looked AS l ON s.trace_hi = l.trace_hi AND s.trace_lo = l.trace_lo
"""

# Which values a trace has, each once: a service, a key and a value. Feature flags are kept whole, to be taken apart.
HELD: Final = f"""
SELECT DISTINCT
    s.trace_no, s.stratum, s.bad, s.service, v.key,
    CASE WHEN v.key = 'tb.flags' THEN v.value ELSE substr(v.value, 1, {{longest}}) END AS value
FROM (
    SELECT trace_hi, trace_lo, span_id, key, value
    FROM source_attribute
    WHERE (key = 'tb.flags' OR NOT {_TELLING}) AND value <> ''
    UNION ALL
    SELECT trace_hi, trace_lo, span_id, key, value
    FROM source_resource
    WHERE NOT {_TELLING} AND key <> 'service.name' AND value <> ''
) AS v
JOIN looked_span AS s ON v.trace_hi = s.trace_hi AND v.trace_lo = s.trace_lo AND v.span_id = s.span_id
"""

# Feature flags as `key=variant,key=variant`; `flag_part` has each of the variants of each such text.
FLAG_TEXTS: Final = "SELECT DISTINCT value FROM held WHERE key = 'tb.flags' ORDER BY value"
_TAKEN_APART: Final = """
    SELECT trace_no, stratum, bad, service, key, value FROM held WHERE key <> 'tb.flags'
    UNION ALL
    SELECT DISTINCT h.trace_no, h.stratum, h.bad, h.service, h.key, f.part
    FROM held AS h
    JOIN flag_part AS f ON h.value = f.value
    WHERE h.key = 'tb.flags'
"""

# Values that enough traces have, whichever, and not all: these are counted as looked at.
VALUES: Final = f"""
SELECT
    CAST(row_number() OVER (ORDER BY service, key, value) AS INTEGER) AS value_no,
    service, key, value, count(*) AS traces, sum(bad) AS bad
FROM ({_TAKEN_APART}) AS h
GROUP BY service, key, value
HAVING count(*) >= {{support}} AND count(*) < {{traces}}
"""

COUNTS: Final = f"""
SELECT v.value_no, h.stratum, sum(h.bad) AS bad, sum(1 - h.bad) AS good
FROM ({_TAKEN_APART}) AS h
JOIN held_value AS v ON h.service = v.service AND h.key = v.key AND h.value = v.value
WHERE v.bad >= {{support}}
GROUP BY v.value_no, h.stratum
ORDER BY v.value_no, h.stratum
"""

STRATA: Final = "SELECT stratum, sum(bad) AS bad, sum(1 - bad) AS good FROM looked GROUP BY stratum ORDER BY stratum"

LOOKED_FOR: Final = "SELECT count(*) FROM held_value"
NAMES: Final = "SELECT value_no, service, key, value FROM held_value WHERE bad >= {support}"
