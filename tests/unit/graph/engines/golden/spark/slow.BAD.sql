SELECT 'error' AS symptom, f.trace_hi, f.trace_lo, f.leaf, 0 AS weight, g.error_type, g.error_message
FROM failed_trace AS f
JOIN failing AS g ON f.leaf = g.row_id UNION ALL SELECT 'swallowed', s.trace_hi, s.trace_lo, s.leaf, 0, g.error_type, g.error_message
FROM swallowed_trace AS s
JOIN failing AS g ON s.leaf = g.row_id UNION ALL SELECT 'slow', e.trace_hi, e.trace_lo, e.leaf, j.duration_ns, '', ''
FROM excess AS e
JOIN judged AS j ON e.trace_hi = j.trace_hi AND e.trace_lo = j.trace_lo
