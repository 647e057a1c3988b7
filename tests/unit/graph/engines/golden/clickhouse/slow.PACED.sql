SELECT r.row_id AS row_id, r.trace_hi AS trace_hi, r.trace_lo AS trace_lo, r.service AS service, r.name AS name, r.duration_ns AS duration_ns, LN(GREATEST(r.duration_ns, 1)) AS log_ns, ROW_NUMBER() OVER (PARTITION BY r.service, r.name ORDER BY r.duration_ns) AS place, COUNT(*) OVER (PARTITION BY r.service, r.name) AS traces
FROM trace_root AS r LEFT
JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo WHERE f.leaf IS NULL
