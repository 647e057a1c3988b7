SELECT r.trace_hi, r.trace_lo, r.row_id, r.start_ns, r.end_ns, r.duration_ns, r.service, r.name, CAST(DENSE_RANK() OVER (ORDER BY r.service NULLS LAST, r.name NULLS LAST) AS INT) AS stratum, CASE WHEN NOT f.leaf IS NULL THEN 'error' WHEN NOT s.row_id IS NULL THEN 'slow' ELSE '' END AS symptom, ABS(((r.trace_lo % 1000003) * 7919 + (r.trace_hi % 999983) * 104729) % 1000003) AS lot
FROM trace_root AS r LEFT
JOIN failed_trace AS f ON r.trace_hi = f.trace_hi AND r.trace_lo = f.trace_lo LEFT
JOIN slow_trace AS s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo
