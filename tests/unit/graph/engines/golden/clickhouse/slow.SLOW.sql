SELECT p.trace_hi AS trace_hi, p.trace_lo AS trace_lo, p.row_id AS row_id
FROM paced AS p
JOIN pace_limit AS l ON p.service = l.service AND p.name = l.name WHERE p.log_ns > l.limit_log AND p.duration_ns - EXP(l.median) >= 1000000
