SELECT r.trace_hi AS trace_hi, r.trace_lo AS trace_lo, r.row_id AS row_id, r.start_ns AS start_ns, r.end_ns AS end_ns, r.duration_ns AS duration_ns, r.service AS service, r.name AS name, CAST(DENSE_RANK() OVER (ORDER BY r.service, r.name) AS Nullable(Int32)) AS stratum, CASE WHEN NOT (f.leaf IS NULL) THEN 'error' WHEN NOT (s.row_id IS NULL) THEN 'slow' ELSE '' END AS symptom, ABS(((r.trace_lo % 1000003) * 7919 + (r.trace_hi % 999983) * 104729) % 1000003) AS lot
FROM trace_root AS r LEFT
JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo LEFT
JOIN slow_trace AS s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo
