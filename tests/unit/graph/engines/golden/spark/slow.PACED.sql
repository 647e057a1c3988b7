SELECT r.row_id, r.trace_hi, r.trace_lo, r.service, r.name, r.duration_ns, LN(GREATEST(r.duration_ns, 1)) AS log_ns, ROW_NUMBER() OVER (PARTITION BY r.service, r.name ORDER BY r.duration_ns NULLS LAST) AS place, COUNT(*) OVER (PARTITION BY r.service, r.name) AS traces
FROM trace_root AS r LEFT
JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo WHERE f.leaf IS NULL
