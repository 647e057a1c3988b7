SELECT p.service AS caller, c.service AS callee, COUNT(*) AS calls, CAST(0 AS BIGINT) AS errors
FROM span AS c
JOIN span AS p ON c.trace_hi = p.trace_hi AND c.trace_lo = p.trace_lo AND c.parent_id = p.span_id GROUP BY p.service, c.service ORDER BY caller NULLS LAST, callee NULLS LAST
