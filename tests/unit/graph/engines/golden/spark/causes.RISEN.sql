SELECT f.row_id, f.trace_hi, f.trace_lo, f.span_id, f.service, f.name, f.kind, f.start_ns, f.end_ns, f.target_name, f.parent, f.cancelled, f.timed_out, CASE WHEN d.service = f.service OR (f.kind = 2 AND d.kind = 3) THEN COALESCE(q.far, f.parent) ELSE f.parent END AS above
FROM failing AS f LEFT
JOIN span AS d ON f.parent = d.row_id LEFT
JOIN passing AS q ON f.parent = q.row_id
